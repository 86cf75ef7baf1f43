/* Every way to take one kind of address for the other. KB_MIX=0 is the control and must compile;
 * each of the others must not. Compiled by run.sh, never linked. */
#include "addr/pagetable.h"

int use(const kb_addr_layout *layout, kb_pagetable *table, kb_paddr pa, kb_vaddr va);

int use(const kb_addr_layout *layout, kb_pagetable *table, kb_paddr pa, kb_vaddr va)
{
    kb_location where;
    uint64_t bytes;
#if KB_MIX == 1 /* decode a virtual address as a physical one */
    return kb_paddr_decode(layout, va, &where, NULL);
#elif KB_MIX == 2 /* translate a physical address */
    return kb_pagetable_translate(table, 0, pa, &pa, &bytes, NULL);
#elif KB_MIX == 3 /* assign */
    va = pa;
#elif KB_MIX == 4 /* map from physical to virtual */
    return kb_pagetable_map(table, pa, 1, va, 1, NULL);
#elif KB_MIX == 5 /* a bare number */
    return kb_paddr_decode(layout, 0x1000u, &where, NULL);
#endif
    return kb_pagetable_translate(table, 0, va, &pa, &bytes, NULL) +
           kb_paddr_decode(layout, pa, &where, NULL);
}
