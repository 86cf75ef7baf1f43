/* Control messages: from the host through io_cpu and m_cpu to PEs, and back (laws T5, T8).
 *
 * KernelLaunch, MmuMap, MmuUnmap and IpcqInit are one mechanism: a message goes to a set of PEs of
 * one SIP, is delivered to each, each reports when it is done, and the reports are gathered by
 * m_cpu and io_cpu until the host gets one. A synchronised message (KernelLaunch) is delivered at
 * the same picosecond everywhere: io_cpu stamps the moment at which even the farthest PE can have
 * it.
 *
 * io_cpu starts a synchronised message when the one before it has completed there, so launches of a
 * SIP run one after another, in the order in which the host sent them.
 *
 * A group is one synchronised message for each of several SIPs that all begin at the same
 * picosecond. The host stamps it: now + the longest way host -> io_cpu -> m_cpu -> PE over all
 * targets of all SIPs, by the routes that the messages take; io_cpu only passes it on. That holds
 * if nothing keeps a message waiting at its io_cpu, so the host sends a group when it has the
 * completion of every synchronised message that it sent to those SIPs before. What it is given for
 * one of those SIPs meanwhile goes out behind the group. */
#ifndef KB_HW_MSG_H
#define KB_HW_MSG_H

#include "hw/machine.h"

typedef struct kb_msg_target {
    int cube;
    uint32_t pe_mask;
    uint32_t remaining; /* PEs of this cube that have not reported */
} kb_msg_target;

typedef struct kb_msg {
    kb_machine *m;
    int sip;
    bool synchronised;
    kb_kind component; /* of the PE that receives it: KB_PE_CPU, KB_PE_MMU or KB_PE_IPCQ */
    kb_msg_target *targets;
    uint32_t target_count;
    void (*deliver)(struct kb_msg *msg, int target, int pe); /* index into targets */
    kb_event_fn done;                                        /* done(sim, object, 0) at the host */
    void *object;
    uint32_t remaining; /* cubes that have not reported */
    kb_time sent, at_io_cpu, target_start, reported, completed;
    bool grouped;
    struct kb_msg *peer; /* next of its group */
    struct kb_msg *next; /* in the host's queue (first of a group), then in io_cpu's */
} kb_msg;

/* Send the message from the host now. It must stay where it is until `done`. */
void kb_msg_send(kb_msg *msg);

/* Send synchronised messages for `count` > 0 different SIPs as a group. */
void kb_msg_send_group(kb_msg *const *messages, size_t count);

/* A PE has done what the message asked for; in any order, once per PE. */
void kb_msg_report(kb_msg *msg, int target, int pe);

/* ---- between the components ---- */

/* The host has the completion of a synchronised message. */
void kb_msg_completed(kb_msg *msg);

/* Longest way from io_cpu to any PE of the message. */
kb_time kb_io_cpu_to_pes(const kb_msg *msg);

void kb_io_cpu_receive(kb_sim *sim, void *msg, uint64_t arg);
void kb_io_cpu_report(kb_sim *sim, void *msg, uint64_t arg); /* a cube is done */
void kb_m_cpu_receive(kb_sim *sim, void *msg, uint64_t target);
void kb_m_cpu_report(kb_sim *sim, void *msg, uint64_t target_pe); /* a PE is done */

/* Time from m_cpu to a PE's component and back, from a table per cube template. */
kb_time kb_m_cpu_to_pe(const kb_machine *m, int pe, kb_kind component);
kb_time kb_m_cpu_from_pe(const kb_machine *m, int pe);

#endif
