#include "data/oplog.h"

/* Entries that may wait before they are executed: bounds the memory that the log holds. */
enum { MOST_WAITING = 4096 };

void kb_oplog_init(kb_oplog *log, kb_memory *memory)
{
    *log = (kb_oplog){.memory = memory};
}

void kb_oplog_fini(kb_oplog *log)
{
    for (size_t i = 0; i < log->entries.count; i++) kb_log_entry_fini(&log->entries.data[i]);
    kb_vec_free(&log->entries);
}

int kb_oplog_run(kb_oplog *log, kb_err *err)
{
    for (size_t i = 0; i < log->entries.count; i++) {
        kb_log_entry *entry = &log->entries.data[i];
        if (!log->failure.code) log->failure.code = kb_log_entry_run(entry, &log->failure);
        kb_log_entry_fini(entry);
        log->executed++;
    }
    log->entries.count = 0;
    if (log->failure.code && err) *err = log->failure;
    return log->failure.code;
}

void kb_oplog_append(kb_oplog *log, kb_log_entry *entry)
{
    kb_log_uses uses;
    kb_log_entry_uses(entry, &uses);
    for (int i = 0; i < uses.count; i++)
        if (uses.use[i].pieces) kb_memory_resolve(log->memory, uses.use[i].pieces);
    kb_vec_push(&log->entries, *entry);
    *entry = (kb_log_entry){0};
    /* Any prefix of the log may run at any time; the next kb_oplog_run reports a failure. */
    if (log->entries.count >= MOST_WAITING) kb_oplog_run(log, NULL);
}
