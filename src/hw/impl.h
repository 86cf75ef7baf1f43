/* Which class a node is: the default of its kind, or an alternative that topology.yaml names. */
#ifndef KB_HW_IMPL_H
#define KB_HW_IMPL_H

#include "hw/machine.h"

/* A node that is not what its kind is. */
typedef struct kb_override {
    kb_node node;
    const kb_device_class *class;
} kb_override;

const kb_device_class *kb_impl_default(kb_kind kind);

/* Section "overrides". */
extern const kb_param kb_override_params[];

/* Fill m->classes and m->overrides from `impl` parameters and the overrides. */
int kb_impl_choose(kb_machine *m, kb_err *err);

#endif
