/* Install plans: which directions the PEs of a machine have, and the memory of their rings.
 *
 * A plan names PEs and, for each, directions with the peer and the direction by which the peer
 * knows it. It is checked as a whole, memory for all its rings is taken, and IpcqInit messages go
 * to the PEs of every SIP; when the host has all reports, the directions exist. Directions of
 * different plans stand side by side; one of the same name on the same PE replaces the older,
 * unless something is under way there. Messages that nobody has received are dropped then. */
#ifndef KB_ENGINE_IPCQ_H
#define KB_ENGINE_IPCQ_H

#include "engine/engine.h"
#include "hw/msg.h"
#include "hw/pe/pe_ipcq.h"

typedef struct kb_ipcq_desc_direction {
    const char *name;
    int sip, cube, pe; /* the peer */
    const char *peer_direction;
} kb_ipcq_desc_direction;

typedef struct kb_ipcq_desc_pe {
    int sip, cube, pe;
    uint32_t first, count; /* of the directions */
} kb_ipcq_desc_pe;

typedef struct kb_ipcq_desc {
    kb_ipcq_shape shape; /* shape.plan: the plan's name */
    const kb_ipcq_desc_pe *pes;
    const kb_ipcq_desc_direction *directions;
    uint32_t pe_count, direction_count;
} kb_ipcq_desc;

typedef struct kb_ipcq_plan {
    kb_engine *engine;
    struct kb_ipcq_plan *next;
    char *name;
    kb_ipcq_shape shape;
    kb_vec(char *) names;  /* of directions */
    kb_ipcq_block *blocks; /* by sip, cube and PE */
    kb_ipcq_port *ports;
    kb_paddr *memory; /* of each block; 0: not taken */
    uint32_t block_count, port_count;
    uint32_t open_ports;
    bool pending; /* its messages are under way */
    bool removed; /* kept for what may still be under way */
} kb_ipcq_plan;

/* The messages of an installation or removal. Two references: the caller's, who may wait for
 * `done`, and its own until all reports are back; what is to happen then happens even if nobody
 * waits. */
typedef struct kb_ipcq_work {
    uint32_t refs;
    kb_engine *engine; /* null once that has ended */
    struct kb_ipcq_work *prev, *next;
    kb_ipcq_plan *plan;
    bool install;
    kb_completion done;
    kb_msg *messages; /* one for each SIP */
    uint32_t count;
} kb_ipcq_work;

/* KB_EINVAL, naming both ends, for a plan that contradicts itself or replaces what is in use;
 * KB_ENOSPC when a memory has no room for the rings. Then nothing has changed. */
int kb_ipcq_install(kb_engine *engine, const kb_ipcq_desc *desc, kb_ipcq_work **out, kb_err *err);

/* KB_EINVAL if there is no such plan, or something is under way in it. */
int kb_ipcq_remove(kb_engine *engine, const char *name, kb_ipcq_work **out, kb_err *err);

void kb_ipcq_work_release(kb_ipcq_work *work); /* null is fine */

void kb_ipcq_free_all(kb_engine *engine);

/* Messages that have been sent and that nobody has received, over all plans. */
uint64_t kb_ipcq_unread_all(const kb_engine *engine);

#endif
