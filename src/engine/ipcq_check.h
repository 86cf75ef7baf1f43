/* Checks of install plans, before anything of them is made: that a plan fits the machine and does
 * not contradict itself, and that nothing is in use which it would replace. */
#ifndef KB_ENGINE_IPCQ_CHECK_H
#define KB_ENGINE_IPCQ_CHECK_H

#include "engine/ipcq.h"

/* A described plan with what is needed to look things up in it. */
typedef struct kb_ipcq_draft {
    kb_engine *engine;
    const kb_ipcq_desc *desc;
    int32_t *entry; /* by number of the PE in the machine: index into desc's pes, or -1 */
    kb_err *err;
} kb_ipcq_draft;

/* Number of a PE in the machine: by SIP, cube and PE. With one SIP more than there are: how many
 * PEs there are. */
size_t kb_ipcq_pe_number(const kb_engine *engine, int sip, int cube, int pe);

/* Check all of it, and fill `entry`, which comes with -1 everywhere. KB_EINVAL, naming both ends of
 * what is wrong. */
int kb_ipcq_check(kb_ipcq_draft *draft);

/* KB_EINVAL if something is under way in the plan, or the plan itself. */
int kb_ipcq_check_plan_idle(const kb_ipcq_plan *plan, kb_err *err);

/* The installed plan of that name, or NULL. */
kb_ipcq_plan *kb_ipcq_find_plan(const kb_engine *engine, const char *name);

#endif
