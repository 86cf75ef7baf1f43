#include "data/oplog.h"

#include <assert.h>
#include <pthread.h>

#include "data/share.h"

/* What is worth a task of its own, and what a batch should come to, by kb_log_entry_cost. */
enum { ALONE_NS = 50000, BATCH_NS = 100000 };

/* A batch has room for this many entries. Streams share so many batches that are being filled. */
enum { BATCH_ENTRIES = 512, STREAMS = 256 };

/* Work under way beyond which appending first executes down to the half. */
enum { MOST_ENTRIES = 16384, MOST_MIB = 256 };

/* Of scattered pieces, runs of this many are ordered by the extent that they have together. */
enum { PIECES_TOGETHER = 16 };

/* A task in one use of its batch. */
typedef struct task_use {
    kb_task *task;
    uint64_t serial;
} task_use;

typedef struct kb_log_batch {
    kb_task task; /* first: a task is its batch */
    kb_oplog *log;
    uint64_t serial; /* of this use: batches are used again */
    bool open;       /* is being filled; nothing comes after it */
    uint32_t stream;
    kb_vec(kb_log_entry) entries;
    kb_vec(task_use) after;
    const kb_task *waits_for_large; /* of those it comes after; or null */
    uint64_t cost, bytes;
    kb_memory_block doomed; /* to be freed at the end of the batch; contents may be null */
    struct kb_log_batch *next_spare, *next_made;
} kb_log_batch;

struct kb_oplog {
    kb_memory *memory;
    kb_executor *executor;

    /* the timing side's */
    kb_log_batch *open[STREAMS];
    uint32_t streams;           /* that are kept apart at present: a power of two */
    uint32_t cut_short, filled; /* batches, since that number was set */
    uint64_t not_woken;         /* cost of batches for which no thread was woken */
    kb_log_batch *spare, *made; /* not in use; all */
    kb_task_list found;         /* what the entry at hand comes after */
    kb_task_list after;         /* what the batch at hand comes after */
    uint64_t appended, appended_bytes, serials;
    uint64_t period; /* counts when everything has been executed */

    /* shared */
    atomic_ullong executed, executed_bytes;
    atomic_bool dropped;
    pthread_mutex_t failure_lock;
    kb_err failure; /* of the first entry that failed; code 0: none */
    uint64_t failure_index;
};

static kb_log_batch *batch_of(kb_task *task)
{
    return (kb_log_batch *)task;
}

/* ---- on any thread ---- */

static void record_failure(kb_oplog *log, uint64_t index, const kb_err *err)
{
    pthread_mutex_lock(&log->failure_lock);
    if (!log->failure.code || index < log->failure_index) {
        log->failure = *err;
        log->failure_index = index;
    }
    pthread_mutex_unlock(&log->failure_lock);
}

static void run_entry(kb_oplog *log, kb_executor *executor, kb_log_entry *entry)
{
    kb_err err; /* not cleared: large, and rarely in use */
    if (atomic_load_explicit(&log->dropped, memory_order_relaxed)) return;
    if (kb_log_entry_run(entry, executor, &err)) record_failure(log, entry->index, &err);
}

static void run_batch(kb_executor *executor, kb_task *task)
{
    kb_log_batch *batch = batch_of(task);
    kb_oplog *log = batch->log;
    for (size_t i = 0; i < batch->entries.count; i++) {
        run_entry(log, executor, &batch->entries.data[i]);
        kb_log_entry_fini(&batch->entries.data[i]);
    }
    if (batch->doomed.contents) kb_memory_block_fini(&batch->doomed);
    atomic_fetch_add_explicit(&log->executed, batch->entries.count, memory_order_relaxed);
    atomic_fetch_add_explicit(&log->executed_bytes, batch->bytes, memory_order_relaxed);
}

/* ---- batches ---- */

static void reap(kb_oplog *log)
{
    for (kb_task *task = kb_executor_reap(log->executor); task;) {
        kb_log_batch *batch = batch_of(task);
        task = task->next;
        batch->next_spare = log->spare;
        log->spare = batch;
    }
}

static kb_log_batch *open_batch(kb_oplog *log, uint32_t stream)
{
    if (!log->spare) reap(log);
    kb_log_batch *batch = log->spare;
    if (batch) {
        log->spare = batch->next_spare;
    } else {
        batch = kb_xcalloc(1, sizeof *batch);
        batch->log = log;
        batch->next_made = log->made;
        log->made = batch;
    }
    atomic_store_explicit(&batch->task.done, false, memory_order_relaxed);
    batch->task.next = NULL;
    batch->serial = ++log->serials;
    batch->open = true;
    batch->stream = stream;
    batch->entries.count = batch->after.count = 0;
    batch->waits_for_large = NULL;
    batch->cost = batch->bytes = 0;
    batch->doomed = (kb_memory_block){0};
    assert(!log->open[stream]);
    log->open[stream] = batch;
    return batch;
}

static bool is_pending(const kb_log_batch *batch, uint64_t serial)
{
    return batch->serial == serial && !kb_task_is_done(&batch->task);
}

/* Hand a batch over to the executor. A thread is woken when there is enough for it to do. */
static void submit(kb_oplog *log, kb_log_batch *batch)
{
    log->open[batch->stream] = NULL;
    batch->open = false;
    log->after.count = 0;
    for (size_t i = 0; i < batch->after.count; i++) {
        task_use before = batch->after.data[i];
        if (is_pending(batch_of(before.task), before.serial)) kb_vec_push(&log->after, before.task);
    }
    log->not_woken += batch->cost;
    bool wake = log->not_woken >= BATCH_NS / 2;
    if (wake) log->not_woken = 0;
    kb_executor_submit(log->executor, &batch->task, log->after.data, log->after.count, wake);
}

static void submit_all(kb_oplog *log)
{
    for (uint32_t s = 0; s < log->streams; s++)
        if (log->open[s]) submit(log, log->open[s]);
}

static void come_after(kb_log_batch *batch, kb_task *task)
{
    task_use use = {task, batch_of(task)->serial};
    if (batch->after.count) { /* most repetitions are of the latest */
        const task_use *latest = &batch->after.data[batch->after.count - 1];
        if (latest->task == use.task && latest->serial == use.serial) return;
    }
    kb_vec_push(&batch->after, use);
}

/* Streams that talk to each other in small entries would cut each other's batches short: then fewer
 * are kept apart, in the end one. Streams that fill their batches are kept apart again. */
static void count_batches(kb_oplog *log, bool filled, uint32_t cut_short)
{
    log->filled += filled;
    log->cut_short += cut_short;
    bool fewer = log->cut_short > 2 * log->filled + 16 && log->streams > 1;
    bool more = log->filled > 4 * log->cut_short + 16 && log->streams < STREAMS;
    if (!fewer && !more) return;
    submit_all(log);
    log->streams = fewer ? log->streams / 2 : log->streams * 2;
    log->cut_short = log->filled = 0;
}

/* ---- what an entry comes after ---- */

static bool access_pending(const kb_block_access *access)
{
    return is_pending(batch_of(access->task), access->serial);
}

static void find_makers(kb_oplog *log, const kb_log_uses *uses)
{
    for (int i = 0; i < uses->count; i++) {
        const kb_value *value = uses->use[i].value;
        if (!value || !(uses->use[i].how & KB_LOG_READS) || !value->logged) continue;
        if (is_pending(value->made, value->made_serial))
            kb_vec_push(&log->found, &value->made->task);
    }
}

/* Register what a run of pieces of one block touches, and find who touched it before. */
static void add_access(kb_oplog *log, kb_log_batch *batch, kb_memory_block *block, kb_span span,
                       int how)
{
    if (!block->accesses) block->accesses = kb_access_index_create(block->bytes);
    kb_block_access access = {.span = span,
                              .serial = batch->serial,
                              .task = &batch->task,
                              .writes = (how & KB_LOG_WRITES) != 0};
    kb_access_add(block->accesses, &access, access_pending, &log->found);
}

static kb_memory_block *resolve(kb_oplog *log, kb_piece *piece)
{
    kb_memory_block *block = kb_memory_block_at(log->memory, piece->pa, kb_piece_span(piece));
    assert(block);
    piece->host = block->contents->data + (piece->pa.bits - block->base);
    return block;
}

/* Pieces from `first` on, together: their extent, as far as they are in one block and many. */
static size_t add_pieces(kb_oplog *log, kb_log_batch *batch, const kb_pieces *pieces, size_t first,
                         int how)
{
    kb_piece *piece = &pieces->data[first];
    kb_memory_block *block = resolve(log, piece);
    uint64_t start = piece->pa.bits - block->base, end = start + kb_piece_span(piece);
    size_t next = first + 1;
    for (; pieces->count > PIECES_TOGETHER && next < pieces->count; next++) {
        const kb_piece *more = &pieces->data[next];
        uint64_t at = more->pa.bits - block->base;
        if (more->pa.bits < block->base || at + kb_piece_span(more) > block->bytes) break;
        resolve(log, &pieces->data[next]);
        if (at < start) start = at;
        if (at + kb_piece_span(more) > end) end = at + kb_piece_span(more);
    }
    kb_span span = {.start = start, .rows = 1, .row_bytes = end - start, .stride = end - start};
    if (next == first + 1) span = (kb_span){start, piece->rows, piece->row_bytes, piece->stride};
    if (end > start) add_access(log, batch, block, span, how);
    return next;
}

static void find_accesses(kb_oplog *log, kb_log_batch *batch, const kb_log_uses *uses)
{
    for (int i = 0; i < uses->count; i++) {
        const kb_pieces *pieces = uses->use[i].pieces;
        for (size_t p = 0; pieces && p < pieces->count;)
            p = add_pieces(log, batch, pieces, p, uses->use[i].how);
    }
}

/* ---- appending ---- */

/* A large task that the values of an entry wait for, or null. */
static const kb_task *large_maker(const kb_oplog *log)
{
    for (size_t i = 0; i < log->found.count; i++) {
        const kb_log_batch *batch = batch_of(log->found.data[i]);
        if (!batch->open && batch->cost >= ALONE_NS && batch->entries.count == 1)
            return &batch->task;
    }
    return NULL;
}

static bool is_found(const kb_oplog *log, const kb_log_batch *batch)
{
    for (size_t i = 0; i < log->found.count; i++)
        if (log->found.data[i] == &batch->task) return true;
    return false;
}

/* The batch that an entry goes to. One that waits for a large task is not filled with what need not
 * wait for it, nor the other way round. */
static kb_log_batch *batch_for(kb_oplog *log, uint32_t stream, uint64_t cost)
{
    const kb_task *large = large_maker(log);
    kb_log_batch *batch = log->open[stream];
    bool joins = batch && cost < ALONE_NS;
    if (joins && batch->waits_for_large != large) joins = !large && is_found(log, batch);
    if (joins) return batch;
    if (batch) submit(log, batch);
    batch = open_batch(log, stream);
    batch->waits_for_large = large;
    return batch;
}

/* Whatever a batch comes after is filled no more, so batches never wait for each other in a circle.
 * Returns how many have been cut short by that. */
static uint32_t order(kb_oplog *log, kb_log_batch *batch)
{
    uint32_t cut = 0;
    for (size_t i = 0; i < log->found.count; i++) {
        kb_log_batch *before = batch_of(log->found.data[i]);
        if (before == batch) continue;
        if (before->open) {
            cut += before->cost < BATCH_NS / 8;
            submit(log, before);
        }
        come_after(batch, &before->task);
    }
    return cut;
}

static void find_tasks(kb_oplog *log, kb_access_index *accesses)
{
    log->found.count = 0;
    if (accesses) kb_access_tasks(accesses, access_pending, &log->found);
}

/* Give back what a block has had, after what has been found. */
static void doom(kb_oplog *log, const kb_memory_block *block)
{
    if (log->open[0]) submit(log, log->open[0]);
    kb_log_batch *batch = open_batch(log, 0);
    batch->doomed = *block;
    order(log, batch);
    submit(log, batch);
}

/* Blocks that are about to be written get contents of their own. Who has been found to read the
 * former ones may do so. */
static void prepare_writes(kb_oplog *log, const kb_log_uses *uses)
{
    for (int i = 0; i < uses->count; i++) {
        const kb_pieces *pieces = uses->use[i].pieces;
        if (!pieces || !(uses->use[i].how & KB_LOG_WRITES)) continue;
        for (size_t p = 0; p < pieces->count; p++) {
            const kb_piece *piece = &pieces->data[p];
            kb_memory_block *block =
                kb_memory_block_at(log->memory, piece->pa, kb_piece_span(piece));
            kb_memory_block former = {.contents = kb_share_write(block, log->period)};
            if (!former.contents) continue;
            find_tasks(log, block->accesses);
            doom(log, &former);
        }
    }
}

static uint64_t value_bytes(const kb_log_uses *uses)
{
    uint64_t bytes = 0;
    for (int i = 0; i < uses->count; i++)
        if (uses->use[i].value) bytes += kb_value_bytes(uses->use[i].value);
    return bytes;
}

static bool is_too_much(const kb_oplog *log, unsigned share)
{
    uint64_t entries = log->appended - atomic_load_explicit(&log->executed, memory_order_relaxed);
    uint64_t bytes =
        log->appended_bytes - atomic_load_explicit(&log->executed_bytes, memory_order_relaxed);
    return entries > MOST_ENTRIES / share || bytes > ((uint64_t)MOST_MIB << 20) / share;
}

static void execute_some(kb_oplog *log)
{
    if (!is_too_much(log, 1)) return;
    submit_all(log);
    while (is_too_much(log, 2) && kb_executor_help(log->executor)) continue;
}

/* Room for one more, with nothing in it. */
static kb_log_entry *new_entry(kb_log_batch *batch)
{
    size_t count = batch->entries.count;
    if (count == batch->entries.capacity) kb_vec_reserve(&batch->entries, count ? 2 * count : 8);
    return &batch->entries.data[batch->entries.count++];
}

void kb_oplog_append(kb_oplog *log, kb_log_entry *entry)
{
    kb_log_uses uses;
    if (kb_share_load(log->memory, log->period, entry)) {
        kb_log_entry done;
        kb_log_entry_move(&done, entry);
        kb_log_entry_fini(&done);
        log->appended++;
        atomic_fetch_add_explicit(&log->executed, 1, memory_order_relaxed);
        return;
    }
    kb_log_entry_uses(entry, &uses);
    prepare_writes(log, &uses);
    log->found.count = 0;
    find_makers(log, &uses);
    uint64_t cost = kb_log_entry_cost(entry);
    kb_log_batch *batch = batch_for(log, entry->stream % log->streams, cost);
    find_accesses(log, batch, &uses);
    uint32_t cut = order(log, batch);
    for (int i = 0; i < uses.count; i++) {
        if (!uses.use[i].value || !(uses.use[i].how & KB_LOG_WRITES)) continue;
        uses.use[i].value->logged = true;
        uses.use[i].value->made = batch;
        uses.use[i].value->made_serial = batch->serial;
    }
    uint64_t bytes = value_bytes(&uses);
    entry->index = log->appended++;
    log->appended_bytes += bytes;
    kb_log_entry_move(new_entry(batch), entry);
    batch->cost += cost;
    batch->bytes += bytes;
    bool full = batch->cost >= BATCH_NS || batch->entries.count == BATCH_ENTRIES;
    if (full || cost >= ALONE_NS) submit(log, batch);
    if (full || cut > 0) count_batches(log, full, cut);
    execute_some(log);
}

/* ---- waiting ---- */

static int first_failure(kb_oplog *log, kb_err *err)
{
    if (log->failure.code && err) *err = log->failure;
    return log->failure.code;
}

int kb_oplog_run(kb_oplog *log, kb_err *err)
{
    submit_all(log);
    kb_executor_wait(log->executor, NULL);
    log->period++;
    return first_failure(log, err);
}

static void wait_for(kb_oplog *log, kb_log_batch *batch)
{
    if (batch->open) submit(log, batch);
    kb_executor_wait(log->executor, &batch->task);
}

int kb_oplog_run_for(kb_oplog *log, const kb_value *value, kb_err *err)
{
    if (value->logged && is_pending(value->made, value->made_serial)) wait_for(log, value->made);
    return value->array ? KB_OK : kb_oplog_run(log, err);
}

void kb_oplog_run_block(kb_oplog *log, kb_paddr base)
{
    kb_memory_block *block = kb_memory_block_at(log->memory, base, 1);
    if (!block) return;
    find_tasks(log, block->accesses);
    for (size_t i = 0; i < log->found.count; i++) wait_for(log, batch_of(log->found.data[i]));
}

void kb_oplog_remove_block(kb_oplog *log, kb_paddr base)
{
    kb_memory_block block;
    if (!kb_memory_detach(log->memory, base, &block)) return;
    find_tasks(log, block.accesses);
    doom(log, &block);
}

/* ---- life ---- */

kb_oplog *kb_oplog_create(kb_memory *memory, int threads)
{
    kb_oplog *log = kb_xcalloc(1, sizeof *log);
    log->memory = memory;
    log->streams = STREAMS;
    log->period = 1;
    log->executor = kb_executor_create(threads, run_batch);
    pthread_mutex_init(&log->failure_lock, NULL);
    return log;
}

void kb_oplog_destroy(kb_oplog *log)
{
    if (!log) return;
    atomic_store(&log->dropped, true);
    submit_all(log);
    kb_executor_destroy(log->executor);
    for (kb_log_batch *batch = log->made; batch;) {
        kb_log_batch *next = batch->next_made;
        kb_vec_free(&batch->entries);
        kb_vec_free(&batch->after);
        kb_vec_free(&batch->task.dependents);
        free(batch);
        batch = next;
    }
    kb_vec_free(&log->found);
    kb_vec_free(&log->after);
    pthread_mutex_destroy(&log->failure_lock);
    free(log);
}

uint64_t kb_oplog_executed(const kb_oplog *log)
{
    return atomic_load(&log->executed);
}
