/* Physical addresses: a value that names one byte of one memory or register block of the machine.
 *
 *     [ 0 ... | sip_id | die_id | local_offset ]      default widths 4 | 5 | 42: bits [50:0]
 *
 * die_id counts the cubes (AHBM dies) first, then the IO chiplets; the rest is reserved. What a
 * die's local_offset means is one table, in physaddr.c:
 *
 *     cube  hbm         0, slices packed one after the other, at most 128 GB in all
 *           pe_tcm      128 GB + pe * 512 MB + 0x0000_0000   at most 256 MB
 *           pe_ipcq     128 GB + pe * 512 MB + 0x1000_0000   at most  64 MB
 *           pe_csr      128 GB + pe * 512 MB + 0x1400_0000   at most   1 MB
 *           pe_mmu      128 GB + pe * 512 MB + 0x1410_0000   at most   1 MB
 *           mcpu_sram   144 GB + 0x0000_0000                 at most 256 MB
 *           mcpu_dma    144 GB + 0x1000_0000                 at most   1 MB
 *           mcpu_csr    144 GB + 0x1400_0000                 at most   1 MB
 *           cube_sram   160 GB                               at most  16 GB
 *     io    io_sram     0x0000_0000                          at most 256 MB
 *           io_dma      0x1000_0000                          at most   1 MB
 *           io_csr      0x1400_0000                          at most   1 MB
 *           io_doorbell 0x1800_0000                          at most  64 MB
 *           io_pcie_bar 512 GB                               at most 512 GB
 *
 * (GB and MB are binary.) Encoding and decoding are exact inverses over all valid addresses;
 * whatever is not valid is an error that names the field, its value and what is allowed.
 *
 * A layout is a plain value, owned by whoever holds it. Check it once with kb_addr_layout_check;
 * the other functions take a checked layout. A kb_paddr is a struct of its own so that a virtual
 * address (kb_vaddr, addr/vaspace.h) in its place does not compile. */
#ifndef KB_ADDR_PHYSADDR_H
#define KB_ADDR_PHYSADDR_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct kb_paddr {
    uint64_t bits;
} kb_paddr;

typedef enum kb_die_kind { KB_DIE_CUBE, KB_DIE_IO } kb_die_kind;

typedef enum kb_unit {
    KB_UNIT_HBM, /* one slice */
    KB_UNIT_PE_TCM,
    KB_UNIT_PE_IPCQ,
    KB_UNIT_PE_CSR,
    KB_UNIT_PE_MMU,
    KB_UNIT_MCPU_SRAM,
    KB_UNIT_MCPU_DMA,
    KB_UNIT_MCPU_CSR,
    KB_UNIT_CUBE_SRAM,
    KB_UNIT_IO_SRAM,
    KB_UNIT_IO_DMA,
    KB_UNIT_IO_CSR,
    KB_UNIT_IO_DOORBELL,
    KB_UNIT_IO_PCIE_BAR,
    KB_UNIT_COUNT
} kb_unit;

/* The widths and sizes that a topology may choose. */
typedef struct kb_addr_layout {
    uint32_t sip_bits, die_bits, offset_bits;
    uint32_t cube_dies; /* die_id [0, cube_dies): at least the cubes of a SIP, 16 by default */
    uint32_t io_dies;   /* die_id [cube_dies, cube_dies + io_dies) */
    uint32_t hbm_slices_per_cube;
    uint32_t pes_per_cube;
    uint64_t unit_bytes[KB_UNIT_COUNT]; /* of one instance: one slice, one PE's TCM, ... */
} kb_addr_layout;

typedef struct kb_location {
    uint32_t sip;
    kb_die_kind die_kind;
    uint32_t die; /* number of the cube or of the IO chiplet within its SIP */
    kb_unit unit;
    uint32_t index;  /* slice (HBM) or PE (PE_*); 0 for units that exist once per die */
    uint64_t offset; /* bytes from the start of the unit */
} kb_location;

/* 2^4 SIPs of 16 cubes and 5 IO chiplets; 8 slices of 6 GB and 8 PEs per cube; 16 MB of TCM per PE,
 * 32 MB of SRAM per cube; every other unit fills the room that it has. */
kb_addr_layout kb_addr_layout_default(void);

/* KB_EINVAL, naming the parameter, when the layout contradicts itself or the map above. */
int kb_addr_layout_check(const kb_addr_layout *layout, kb_err *err);

int kb_paddr_encode(const kb_addr_layout *layout, const kb_location *where, kb_paddr *out,
                    kb_err *err);
int kb_paddr_decode(const kb_addr_layout *layout, kb_paddr address, kb_location *out, kb_err *err);

/* The address `bytes` further on. Staying inside the same unit is the caller's business. */
static inline kb_paddr kb_paddr_plus(kb_paddr address, uint64_t bytes)
{
    return (kb_paddr){address.bits + bytes};
}

/* "hbm", "pe_tcm", ... */
const char *kb_unit_name(kb_unit unit);

/* As "sip0.cube5.hbm_ctrl.slice3+0x100", "sip0.cube5.pe3.pe_tcm+0x0", "sip1.io0.io_cpu.dma+0x8";
 * what does not decode as "0x1234 (not a valid physical address)". Cut to `size`, which is not 0.
 * Returns `text`. */
const char *kb_paddr_format(const kb_addr_layout *layout, kb_paddr address, char *text,
                            size_t size);

#endif
