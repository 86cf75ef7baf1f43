#include "hw/pe/pe_dma.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "hw/atomic.h"
#include "hw/classes.h"
#include "hw/pe/pe_mmu.h"

static const kb_param params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "0", 0, 1e6, NULL, "time per transaction"},
    {"outstanding", KB_PARAM_INT, NULL, "1", 1, 4096, NULL,
     "transactions under way at a time, per channel"},
    {"vc_arbitration", KB_PARAM_CHOICE, NULL, "fcfs", 0, 0, "fcfs round_robin comm_first",
     "which of its virtual channels, vc_compute and vc_comm, a channel serves next"},
    {0}};

static int configure(kb_machine *m, const kb_spec *spec, void *block, kb_err *err)
{
    (void)m;
    (void)err;
    kb_dma_config *config = block;
    config->outstanding = (uint32_t)kb_spec_int(spec, "pe.pe_dma.outstanding");
    const char *arbitration = kb_spec_string(spec, "pe.pe_dma.vc_arbitration");
    config->arbitration = !strcmp(arbitration, "round_robin")  ? KB_VC_ROUND_ROBIN
                          : !strcmp(arbitration, "comm_first") ? KB_VC_COMM_FIRST
                                                               : KB_VC_FCFS;
    return KB_OK;
}

/* A command in or before its channel. */
typedef struct kb_dma_command {
    struct kb_dma_command *prev, *next; /* of the PE */
    struct kb_dma_command *behind;      /* in the queue of the virtual channel */
    kb_pe *pe;
    kb_pieces pieces;
    size_t started; /* pieces */
    int direction;
    kb_vc vc;
    uint64_t arrival;        /* of the present piece in the queue: its number */
    kb_time queued, granted; /* of the present piece */
    kb_time began;           /* grant of the first piece */
    kb_event_fn done;
    void *object;
    uint64_t arg;
    kb_event_fn left, committed; /* or null */
    void (*watch)(void *watcher, const kb_txn *txn);
    void *watcher;
    kb_event_fn perform; /* when the last piece of an atomic operation takes place */
    kb_atomic *atomic;   /* null: a plain move */
    uint32_t operands;   /* per element */
    kb_piece own;        /* a single physical piece lies here */
} dma_command;

static void forget(dma_command *c)
{
    if (c->prev)
        c->prev->next = c->next;
    else
        c->pe->moving = c->next;
    if (c->next) c->next->prev = c->prev;
    if (c->pieces.data != &c->own) kb_vec_free(&c->pieces);
    free(c->atomic);
    kb_pool_give(&c->pe->m->dma_commands, c);
}

void kb_pe_dma_pools_init(kb_machine *m)
{
    kb_pool_init(&m->dma_commands, sizeof(dma_command));
}

void kb_pe_dma_pools_fini(kb_machine *m)
{
    kb_pool_fini(&m->dma_commands);
}

void kb_pe_dma_fini(kb_pe *pe)
{
    while (pe->moving) forget(pe->moving);
    for (int d = 0; d < 2; d++)
        if (pe->dma_route[d]) kb_txn_route_give(pe->dma_route[d]);
}

static void start_piece(kb_sim *sim, void *object, uint64_t arg);

static void queue(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    dma_command *c = object;
    kb_pe *pe = c->pe;
    kb_dma_queue *q = &pe->dma_queue[c->direction][c->vc];
    c->queued = sim->now;
    c->arrival = pe->dma_arrival++;
    c->behind = NULL;
    if (q->head)
        q->tail->behind = c;
    else
        q->head = c;
    q->tail = c;
    kb_server_acquire_alike(&pe->dma[c->direction], sim, start_piece, pe, (uint64_t)c->direction);
}

/* Whose turn it is; somebody waits. */
static kb_vc arbitrate(const kb_pe *pe, int direction)
{
    const kb_dma_config *config = kb_machine_config(pe->m, KB_PE_DMA);
    const dma_command *compute = pe->dma_queue[direction][KB_VC_COMPUTE].head;
    const dma_command *comm = pe->dma_queue[direction][KB_VC_COMM].head;
    if (!compute || !comm) return comm ? KB_VC_COMM : KB_VC_COMPUTE;
    switch (config->arbitration) {
    case KB_VC_ROUND_ROBIN:
        return pe->dma_served[direction] == KB_VC_COMM ? KB_VC_COMPUTE : KB_VC_COMM;
    case KB_VC_COMM_FIRST:
        return KB_VC_COMM;
    default:
        return comm->arrival < compute->arrival ? KB_VC_COMM : KB_VC_COMPUTE;
    }
}

/* Take the command whose turn it is out of its queue. */
static dma_command *move_up(kb_pe *pe, int direction)
{
    kb_vc vc = arbitrate(pe, direction);
    kb_dma_queue *q = &pe->dma_queue[direction][vc];
    dma_command *c = q->head;
    q->head = c->behind;
    pe->dma_served[direction] = vc;
    return c;
}

static void piece_done(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    dma_command *c = object;
    kb_pe *pe = c->pe;
    pe->dma_books[c->direction][c->vc].held += sim->now - c->granted;
    kb_server_release(&pe->dma[c->direction], sim);
    if (c->started < c->pieces.count) {
        queue(sim, c, 0);
        return;
    }
    pe->dma_began = c->began;
    kb_event_fn done = c->done;
    void *whose = c->object;
    uint64_t what = c->arg;
    forget(c);
    done(sim, whose, what);
}

static void piece_performed(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    const dma_command *c = object;
    if (c->started == c->pieces.count) c->perform(sim, c->object, c->arg);
}

/* The memory operation of a piece, at `request`'s place. */
static int start_atomic(dma_command *c, const kb_txn_request *request, kb_err *err)
{
    kb_atomic_request atomic = {.requester = request->requester,
                                .memory = request->memory,
                                .offset = request->offset,
                                .rows = request->rows,
                                .row_bytes = request->row_bytes,
                                .stride = request->stride,
                                .operands = c->operands,
                                .perform = piece_performed,
                                .done = piece_done,
                                .object = c};
    return kb_atomic_start(c->atomic, c->pe->m, &atomic, err);
}

static void piece_left(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    const dma_command *c = object;
    c->left(sim, c->object, c->arg);
}

static void piece_committed(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    const dma_command *c = object;
    c->committed(sim, c->object, c->arg);
}

static void piece_seen(void *object, const kb_txn *txn)
{
    const dma_command *c = object;
    c->watch(c->watcher, txn);
}

/* The channel in `arg` has room for one more. */
static void start_piece(kb_sim *sim, void *object, uint64_t arg)
{
    kb_pe *pe = object;
    dma_command *c = move_up(pe, (int)arg);
    kb_dma_books *books = &pe->dma_books[c->direction][c->vc];
    c->granted = sim->now;
    if (c->started == 0) c->began = sim->now;
    books->grants++;
    books->waited += sim->now - c->queued;
    const kb_piece *piece = &c->pieces.data[c->started++];
    bool last = c->started == c->pieces.count;
    kb_txn_request request = {.op = c->direction == KB_DMA_READ ? KB_TXN_READ : KB_TXN_WRITE,
                              .requester = pe->dma_node,
                              .rows = piece->rows,
                              .row_bytes = piece->row_bytes,
                              .stride = piece->stride,
                              .recent = &pe->dma_route[c->direction],
                              .done = piece_done,
                              .left = c->left && last ? piece_left : NULL,
                              .committed = c->committed && last ? piece_committed : NULL,
                              .object = c,
                              .watch = c->watch ? piece_seen : NULL};
    kb_err err = {0};
    int status = kb_machine_memory(pe->m, piece->pa, &request.memory, &request.offset, &err);
    if (!status)
        status = c->atomic ? start_atomic(c, &request, &err) : kb_txn_start(pe->m, &request, &err);
    assert(!status); /* translation only yields memories, and every memory has a route */
    (void)status;
}

/* Begin with a command whose fields say what it is; its pieces are taken over. */
static dma_command *begin(kb_pe *pe, const dma_command *command, kb_pieces *pieces)
{
    dma_command *c = kb_pool_take(&pe->m->dma_commands);
    *c = *command;
    c->pe = pe;
    c->pieces = *pieces;
    c->next = pe->moving;
    if (c->next) c->next->prev = c;
    pe->moving = c;
    *pieces = (kb_pieces){0};
    return c;
}

static void submit(kb_pe *pe, const dma_command *command, kb_pieces *pieces)
{
    dma_command *c = begin(pe, command, pieces);
    kb_time translation = kb_pe_mmu_time(pe, &c->pieces);
    if (translation)
        kb_sim_after(pe->m->sim, translation, queue, c, 0);
    else
        queue(pe->m->sim, c, 0);
}

void kb_pe_dma_vc(kb_pe *pe, int direction, kb_vc vc, kb_pieces *pieces, kb_event_fn done,
                  void *object, uint64_t arg)
{
    dma_command c = {.direction = direction, .vc = vc, .done = done, .object = object, .arg = arg};
    submit(pe, &c, pieces);
}

static void cut(dma_command *c, const kb_piece *piece, uint64_t chunk)
{
    for (uint64_t at = 0; at < piece->row_bytes; at += chunk) {
        uint64_t bytes = piece->row_bytes - at < chunk ? piece->row_bytes - at : chunk;
        kb_piece part = {
            .pa = kb_paddr_plus(piece->pa, at), .rows = 1, .row_bytes = bytes, .stride = bytes};
        kb_vec_push(&c->pieces, part);
    }
}

void kb_pe_dma_physical(kb_pe *pe, int direction, const kb_piece *piece, const kb_dma_post *post)
{
    dma_command c = {.direction = direction,
                     .vc = KB_VC_COMM,
                     .left = post->left,
                     .committed = post->committed,
                     .watch = post->watch,
                     .watcher = post->watcher,
                     .done = post->done,
                     .object = post->object,
                     .arg = post->arg};
    dma_command *begun = begin(pe, &c, &(kb_pieces){0});
    if (post->chunk && post->chunk < piece->row_bytes) {
        assert(piece->rows == 1);
        cut(begun, piece, post->chunk);
    } else {
        begun->own = *piece;
        begun->pieces = (kb_pieces){.data = &begun->own, .count = 1, .capacity = 1};
    }
    queue(pe->m->sim, begun, 0);
}

void kb_pe_dma_atomic(kb_pe *pe, uint32_t operands, kb_pieces *pieces, kb_event_fn perform,
                      kb_event_fn done, void *object)
{
    dma_command c = {.direction = KB_DMA_WRITE,
                     .vc = KB_VC_COMPUTE,
                     .atomic = kb_xmalloc(sizeof *c.atomic),
                     .operands = operands,
                     .perform = perform,
                     .done = done,
                     .object = object};
    submit(pe, &c, pieces);
}

const kb_device_class kb_pe_dma_class = {.kind = KB_PE_DMA,
                                         .help =
                                             "the PE's DMA engine: one read and one write channel",
                                         .params = params,
                                         .config_size = sizeof(kb_dma_config),
                                         .configure = configure,
                                         .transit = kb_txn_forward};
