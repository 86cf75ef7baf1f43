#include "hw/pe/pe_mmu.h"

#include "hw/classes.h"

static const kb_param params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "0", 0, 1e6, NULL, "time to translate a command"},
    {"page_bytes", KB_PARAM_INT, "B", "4096", 256, 1073741824, NULL,
     "page size: alignment of tensors in the virtual address space"},
    {"tlb_entries", KB_PARAM_INT, NULL, "0", 0, 1048576, NULL,
     "pages that the TLB holds, the least recently used one giving way; 0: all there are"},
    {"miss_ns", KB_PARAM_REAL, "ns", "0", 0, 1e6, NULL,
     "time of a TLB miss, added to that of the command for each page that misses"},
    {0}};

static int configure(kb_machine *m, const kb_spec *spec, void *block, kb_err *err)
{
    (void)m;
    kb_mmu_config *config = block;
    config->translation = kb_spec_time(spec, "pe.pe_mmu.overhead_ns");
    config->miss = kb_spec_time(spec, "pe.pe_mmu.miss_ns");
    config->tlb_entries = (uint32_t)kb_spec_int(spec, "pe.pe_mmu.tlb_entries");
    config->page_bytes = (uint64_t)kb_spec_int(spec, "pe.pe_mmu.page_bytes");
    if (config->page_bytes & (config->page_bytes - 1))
        return kb_spec_reject(spec, "pe.pe_mmu.page_bytes", err,
                              "expected a power of two, got %llu",
                              (unsigned long long)config->page_bytes);
    return KB_OK;
}

static int fault(const kb_pe *pe, kb_vaddr va, kb_err *err)
{
    char text[256];
    if (!pe->m->va)
        return kb_fail(err, KB_EFAULT, "%s: address 0x%llx is not mapped", pe->name,
                       (unsigned long long)va.bits);
    return kb_fail(err, KB_EFAULT, "%s: the address is not mapped: %s", pe->name,
                   kb_vaspace_describe(pe->m->va, va, text, sizeof text));
}

static int translate(kb_pe *pe, kb_vaddr va, kb_paddr *pa, uint64_t *contiguous, kb_err *err)
{
    kb_pagetable *table = kb_machine_pagetable(pe->m, pe->sip, pe->cube);
    int status = kb_pagetable_translate(table, (uint32_t)pe->number, va, pa, contiguous, NULL);
    return status ? fault(pe, va, err) : KB_OK;
}

static int translate_row(kb_pe *pe, kb_vaddr va, uint64_t bytes, kb_pieces *pieces, kb_err *err)
{
    while (bytes) {
        kb_paddr pa;
        uint64_t here;
        int status = translate(pe, va, &pa, &here, err);
        if (status) return status;
        if (here > bytes) here = bytes;
        kb_vec_push(pieces,
                    ((kb_piece){.pa = pa, .rows = 1, .row_bytes = here, .stride = here, .va = va}));
        va = kb_vaddr_plus(va, here);
        bytes -= here;
    }
    return KB_OK;
}

int kb_pe_translate(kb_pe *pe, const kb_va_region *region, kb_pieces *pieces, kb_err *err)
{
    bool dense = region->rows == 1 || region->stride == region->row_bytes;
    if (dense) return translate_row(pe, region->va, region->rows * region->row_bytes, pieces, err);
    for (uint32_t row = 0; row < region->rows;) {
        kb_vaddr va = kb_vaddr_plus(region->va, row * region->stride);
        kb_paddr pa;
        uint64_t here;
        int status = translate(pe, va, &pa, &here, err);
        if (status) return status;
        uint32_t whole = 0; /* rows that lie in this extent altogether */
        if (here >= region->row_bytes) {
            uint64_t fit = (here - region->row_bytes) / region->stride + 1;
            whole = fit < region->rows - row ? (uint32_t)fit : region->rows - row;
        }
        if (whole) {
            kb_vec_push(pieces, ((kb_piece){.pa = pa,
                                            .rows = whole,
                                            .row_bytes = region->row_bytes,
                                            .stride = region->stride,
                                            .va = va}));
            row += whole;
            continue;
        }
        status = translate_row(pe, va, region->row_bytes, pieces, err);
        if (status) return status;
        row++;
    }
    return KB_OK;
}

/* ---- time ---- */

static void touch(kb_pe *pe, uint64_t page)
{
    if (kb_tlb_touch(&pe->tlb, page))
        pe->tlb_hits++;
    else
        pe->tlb_misses++;
}

/* The pages of a piece in order. Rows that lie in the page touched last do not touch it again, and
 * are skipped together, so the work is in pages. `last`: that page. */
static void touch_piece(kb_pe *pe, const kb_piece *piece, uint64_t page_bytes, uint64_t *last)
{
    for (uint64_t row = 0; row < piece->rows;) {
        uint64_t begin = piece->va.bits + row * piece->stride;
        uint64_t end = begin + piece->row_bytes;
        for (uint64_t page = begin / page_bytes; page <= (end - 1) / page_bytes; page++) {
            if (page != *last) touch(pe, page);
            *last = page;
        }
        uint64_t room = (*last + 1) * page_bytes - end; /* behind this row, in its page */
        row += 1 + (piece->stride ? room / piece->stride : piece->rows);
    }
}

kb_time kb_pe_mmu_time(kb_pe *pe, const kb_pieces *pieces)
{
    const kb_mmu_config *config = kb_machine_config(pe->m, KB_PE_MMU);
    if (!config->miss || !config->tlb_entries) return config->translation;
    if (!pe->tlb.entries) kb_tlb_init(&pe->tlb, config->tlb_entries);
    uint64_t misses = pe->tlb_misses, last = UINT64_MAX;
    for (size_t i = 0; i < pieces->count; i++)
        if (pieces->data[i].va.bits) touch_piece(pe, &pieces->data[i], config->page_bytes, &last);
    return config->translation + (pe->tlb_misses - misses) * config->miss;
}

const kb_device_class kb_pe_mmu_class = {
    .kind = KB_PE_MMU,
    .help = "the PE's memory management unit: virtual to physical addresses",
    .params = params,
    .config_size = sizeof(kb_mmu_config),
    .configure = configure,
    .transit = kb_txn_forward};
