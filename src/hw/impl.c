#include "hw/impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hw/classes.h"
#include "topo/names.h"

static const kb_device_class *const defaults[KB_KIND_COUNT] = {
    [KB_HOST] = &kb_host_class,       [KB_SWITCH] = &kb_switch_class,
    [KB_PCIE_EP] = &kb_pcie_ep_class, [KB_IO_CPU] = &kb_io_cpu_class,
    [KB_IO_NOC] = &kb_io_noc_class,   [KB_IO_UCIE] = &kb_io_ucie_class,
    [KB_M_CPU] = &kb_m_cpu_class,     [KB_ROUTER] = &kb_router_class,
    [KB_UCIE] = &kb_ucie_class,       [KB_XBAR] = &kb_xbar_class,
    [KB_BRIDGE] = &kb_bridge_class,   [KB_HBM_CTRL] = &kb_hbm_ctrl_class,
    [KB_SRAM] = &kb_sram_class,       [KB_UAL_EP] = &kb_ual_ep_class,
    [KB_PE_CPU] = &kb_pe_cpu_class,   [KB_PE_SCHEDULER] = &kb_pe_scheduler_class,
    [KB_PE_DMA] = &kb_pe_dma_class,   [KB_PE_FETCH_STORE] = &kb_pe_fetch_store_class,
    [KB_PE_GEMM] = &kb_pe_gemm_class, [KB_PE_MATH] = &kb_pe_math_class,
    [KB_PE_TCM] = &kb_pe_tcm_class,   [KB_PE_MMU] = &kb_pe_mmu_class,
    [KB_PE_IPCQ] = &kb_pe_ipcq_class,
};

/* Alternatives of all kinds. */
static const kb_device_class *const alternatives[] = {&kb_hbm_flat_class};

const kb_param kb_override_params[] = {
    {"node", KB_PARAM_STRING, NULL, NULL, 0, 0, NULL,
     "name of the node, as in routes: sip0.cube3.hbm_ctrl.slice2"},
    {"impl", KB_PARAM_STRING, NULL, NULL, 0, 0, NULL, "implementation that it has instead"},
    {0}};

const kb_device_class *kb_impl_default(kb_kind kind)
{
    return defaults[kind];
}

static const kb_device_class *find(kb_kind kind, const char *impl)
{
    for (size_t i = 0; i < sizeof alternatives / sizeof *alternatives; i++)
        if (alternatives[i]->kind == kind && !strcmp(alternatives[i]->impl, impl))
            return alternatives[i];
    return NULL;
}

/* "flat", or "none" */
static const char *names_of(kb_kind kind, char *text, size_t size)
{
    snprintf(text, size, "none");
    size_t used = 0;
    for (size_t i = 0; i < sizeof alternatives / sizeof *alternatives && used < size; i++)
        if (alternatives[i]->kind == kind)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
                                     alternatives[i]->impl);
    return text;
}

static int read_override(kb_machine *m, size_t index, kb_err *err)
{
    char path[48], names[120];
    kb_override *o = &m->overrides[index];
    snprintf(path, sizeof path, "overrides[%zu].node", index);
    const char *name = kb_spec_string(m->spec, path);
    o->node = kb_node_parse(m->graph, name);
    if (o->node == KB_NO_NODE)
        return kb_spec_reject(m->spec, path, err, "there is no node \"%s\"", name);
    kb_kind kind = kb_graph_info(m->graph, o->node)->kind;
    snprintf(path, sizeof path, "overrides[%zu].impl", index);
    const char *impl = kb_spec_string(m->spec, path);
    o->class = find(kind, impl);
    if (o->class) return KB_OK;
    return kb_spec_reject(m->spec, path, err, "%s has no implementation \"%s\"; it has: %s",
                          kb_kind_name(kind), impl, names_of(kind, names, sizeof names));
}

static int by_node(const void *a, const void *b)
{
    const kb_override *p = a, *q = b;
    return (p->node > q->node) - (p->node < q->node);
}

int kb_impl_choose(kb_machine *m, kb_err *err)
{
    if (!strcmp(kb_spec_string(m->spec, "cube.hbm_ctrl.impl"), "flat"))
        m->classes[KB_HBM_CTRL] = &kb_hbm_flat_class;
    m->override_count = kb_spec_count(m->spec, "overrides");
    if (m->override_count == 0) return KB_OK;
    m->overrides = kb_xcalloc(m->override_count, sizeof *m->overrides);
    for (size_t i = 0; i < m->override_count; i++) {
        int status = read_override(m, i, err);
        if (status) return status;
    }
    qsort(m->overrides, m->override_count, sizeof *m->overrides, by_node);
    return KB_OK;
}

const kb_device_class *kb_machine_class(const kb_machine *m, kb_node node, kb_kind kind)
{
    if (m->override_count == 0) return m->classes[kind];
    kb_override key = {.node = node};
    const kb_override *o = bsearch(&key, m->overrides, m->override_count, sizeof key, by_node);
    return o ? o->class : m->classes[kind];
}
