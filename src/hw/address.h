/* The section `address` of topology.yaml: the layout of physical addresses of a machine
 * (addr/physaddr.h), checked against what the machine has. */
#ifndef KB_HW_ADDRESS_H
#define KB_HW_ADDRESS_H

#include "hw/machine.h"

extern const kb_param kb_address_params[];

/* Fill m->layout; the graph must be there. Every refusal names the parameter and its place. */
int kb_address_configure(kb_machine *m, kb_err *err);

#endif
