#include "addr/physaddr.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#define MB (UINT64_C(1) << 20)
#define GB (UINT64_C(1) << 30)

#define PE_LOCAL   (128 * GB)
#define MCPU_LOCAL (144 * GB)
#define CUBE_SRAM  (160 * GB)
#define PE_STRIDE  (512 * MB)
#define MAX_PES    32 /* of PE_STRIDE, in the 16 GB of PE_LOCAL */

/* The IO chiplet's window is 1 TB, the larger one of the two kinds of die. */
enum { MIN_OFFSET_BITS = 40, MAX_BITS = 64 };

typedef enum count_rule { ONE, PER_SLICE, PER_PE } count_rule;

typedef struct unit_row {
    const char *name;
    const char *before, *after; /* the node's name, around the index if it has one */
    kb_die_kind die;
    count_rule count;
    uint64_t base;   /* of the first instance, within the die */
    uint64_t window; /* room for one instance; of HBM, whose slices are packed, for all of them */
} unit_row;

/* The map. Both directions, the check of a layout and the texts read this and nothing else. */
/* clang-format off */
static const unit_row UNITS[KB_UNIT_COUNT] = {
    [KB_UNIT_HBM]         = {"hbm",         "hbm_ctrl.slice",  "",         KB_DIE_CUBE, PER_SLICE, 0,                       128 * GB},
    [KB_UNIT_PE_TCM]      = {"pe_tcm",      "pe",              ".pe_tcm",  KB_DIE_CUBE, PER_PE,    PE_LOCAL,                256 * MB},
    [KB_UNIT_PE_IPCQ]     = {"pe_ipcq",     "pe",              ".pe_ipcq", KB_DIE_CUBE, PER_PE,    PE_LOCAL + 0x10000000,   64 * MB},
    [KB_UNIT_PE_CSR]      = {"pe_csr",      "pe",              ".csr",     KB_DIE_CUBE, PER_PE,    PE_LOCAL + 0x14000000,   MB},
    [KB_UNIT_PE_MMU]      = {"pe_mmu",      "pe",              ".pe_mmu",  KB_DIE_CUBE, PER_PE,    PE_LOCAL + 0x14100000,   MB},
    [KB_UNIT_MCPU_SRAM]   = {"mcpu_sram",   "m_cpu.sram",      "",         KB_DIE_CUBE, ONE,       MCPU_LOCAL,              256 * MB},
    [KB_UNIT_MCPU_DMA]    = {"mcpu_dma",    "m_cpu.dma",       "",         KB_DIE_CUBE, ONE,       MCPU_LOCAL + 0x10000000, MB},
    [KB_UNIT_MCPU_CSR]    = {"mcpu_csr",    "m_cpu.csr",       "",         KB_DIE_CUBE, ONE,       MCPU_LOCAL + 0x14000000, MB},
    [KB_UNIT_CUBE_SRAM]   = {"cube_sram",   "sram",            "",         KB_DIE_CUBE, ONE,       CUBE_SRAM,               16 * GB},
    [KB_UNIT_IO_SRAM]     = {"io_sram",     "io_cpu.sram",     "",         KB_DIE_IO,   ONE,       0,                       256 * MB},
    [KB_UNIT_IO_DMA]      = {"io_dma",      "io_cpu.dma",      "",         KB_DIE_IO,   ONE,       0x10000000,              MB},
    [KB_UNIT_IO_CSR]      = {"io_csr",      "io_cpu.csr",      "",         KB_DIE_IO,   ONE,       0x14000000,              MB},
    [KB_UNIT_IO_DOORBELL] = {"io_doorbell", "io_cpu.doorbell", "",         KB_DIE_IO,   ONE,       0x18000000,              64 * MB},
    [KB_UNIT_IO_PCIE_BAR] = {"io_pcie_bar", "pcie_ep.bar",     "",         KB_DIE_IO,   ONE,       512 * GB,                512 * GB},
};
/* clang-format on */

static const char *const INDEX_NAMES[] = {[ONE] = "index", [PER_SLICE] = "slice", [PER_PE] = "pe"};
static const char *const DIE_NAMES[] = {[KB_DIE_CUBE] = "cube", [KB_DIE_IO] = "io"};

static uint32_t instances(const kb_addr_layout *layout, kb_unit unit)
{
    switch (UNITS[unit].count) {
    case PER_SLICE:
        return layout->hbm_slices_per_cube;
    case PER_PE:
        return layout->pes_per_cube;
    default:
        return 1;
    }
}

/* Distance from one instance to the next, and the room that each has. */
static uint64_t stride(const kb_addr_layout *layout, kb_unit unit)
{
    switch (UNITS[unit].count) {
    case PER_SLICE:
        return layout->unit_bytes[unit];
    case PER_PE:
        return PE_STRIDE;
    default:
        return UNITS[unit].window;
    }
}

static int check_number(const char *field, uint64_t value, uint64_t low, uint64_t high, kb_err *err)
{
    if (value >= low && value <= high) return 0;
    return kb_fail(err, KB_EINVAL, "%s %" PRIu64 " is out of range: allowed %" PRIu64 "..%" PRIu64,
                   field, value, low, high);
}

kb_addr_layout kb_addr_layout_default(void)
{
    kb_addr_layout layout = {.sip_bits = 4,
                             .die_bits = 5,
                             .offset_bits = 42,
                             .cube_dies = 16,
                             .io_dies = 5,
                             .hbm_slices_per_cube = 8,
                             .pes_per_cube = 8};
    for (int unit = 0; unit < KB_UNIT_COUNT; unit++) layout.unit_bytes[unit] = UNITS[unit].window;
    layout.unit_bytes[KB_UNIT_HBM] = 6 * GB;
    layout.unit_bytes[KB_UNIT_PE_TCM] = 16 * MB;
    layout.unit_bytes[KB_UNIT_CUBE_SRAM] = 32 * MB;
    return layout;
}

static int check_widths(const kb_addr_layout *layout, kb_err *err)
{
    if (check_number("offset_bits", layout->offset_bits, MIN_OFFSET_BITS, MAX_BITS - 2, err) ||
        check_number("sip_bits", layout->sip_bits, 1, MAX_BITS - MIN_OFFSET_BITS - 1, err) ||
        check_number("die_bits", layout->die_bits, 1, MAX_BITS - MIN_OFFSET_BITS - 1, err))
        return KB_EINVAL;
    uint32_t total = layout->sip_bits + layout->die_bits + layout->offset_bits;
    return check_number("sip_bits + die_bits + offset_bits", total, MIN_OFFSET_BITS + 2, MAX_BITS,
                        err);
}

static int check_unit_bytes(const kb_addr_layout *layout, kb_unit unit, kb_err *err)
{
    const unit_row *row = &UNITS[unit];
    uint32_t sharing = row->count == PER_SLICE ? layout->hbm_slices_per_cube : 1;
    assert(sharing > 0); /* checked before the sizes */
    uint64_t room = row->window / sharing;
    if (check_number("size", layout->unit_bytes[unit], 1, room, err) == 0) return 0;
    return kb_fail_at(err, "%s", row->name);
}

int kb_addr_layout_check(const kb_addr_layout *layout, kb_err *err)
{
    if (check_widths(layout, err)) return KB_EINVAL;
    uint64_t dies = UINT64_C(1) << layout->die_bits;
    if (check_number("cube_dies", layout->cube_dies, 1, dies - 1, err) ||
        check_number("io_dies", layout->io_dies, 1, dies - layout->cube_dies, err) ||
        check_number("pes_per_cube", layout->pes_per_cube, 1, MAX_PES, err) ||
        check_number("hbm_slices_per_cube", layout->hbm_slices_per_cube, 1, UINT16_MAX, err))
        return KB_EINVAL;
    for (int unit = 0; unit < KB_UNIT_COUNT; unit++)
        if (check_unit_bytes(layout, (kb_unit)unit, err)) return KB_EINVAL;
    return 0;
}

/* The last step of either direction: does this instance exist, and is it that large? */
static int check_place(const kb_addr_layout *layout, kb_unit unit, uint64_t index, uint64_t offset,
                       kb_err *err)
{
    const unit_row *row = &UNITS[unit];
    uint32_t count = instances(layout, unit);
    if (index >= count)
        return kb_fail(err, KB_EINVAL, "%s %" PRIu64 " of %s is out of range: allowed 0..%" PRIu32,
                       INDEX_NAMES[row->count], index, row->name, count - 1);
    if (offset >= layout->unit_bytes[unit])
        return kb_fail(err, KB_EINVAL,
                       "offset 0x%" PRIx64 " in %s is out of range: allowed 0x0..0x%" PRIx64,
                       offset, row->name, layout->unit_bytes[unit] - 1);
    return 0;
}

static int encode_die(const kb_addr_layout *layout, const kb_location *where, uint64_t *die_id,
                      kb_err *err)
{
    if ((unsigned)where->die_kind > KB_DIE_IO)
        return kb_fail(err, KB_EINVAL, "die kind %d is out of range: allowed 0 (cube), 1 (io)",
                       (int)where->die_kind);
    bool cube = where->die_kind == KB_DIE_CUBE;
    uint32_t count = cube ? layout->cube_dies : layout->io_dies;
    if (check_number(DIE_NAMES[where->die_kind], where->die, 0, count - 1, err)) return KB_EINVAL;
    *die_id = cube ? where->die : (uint64_t)layout->cube_dies + where->die;
    return 0;
}

/* Append to the message in `err` what is to be found on such a die, and where. */
static int list_units(const kb_addr_layout *layout, kb_die_kind die, kb_err *err)
{
    if (!err) return KB_EINVAL;
    char list[700] = "";
    size_t used = 0;
    for (int u = 0; u < KB_UNIT_COUNT; u++) {
        if (UNITS[u].die != die || used >= sizeof list) continue;
        kb_unit unit = (kb_unit)u;
        used +=
            (size_t)snprintf(list + used, sizeof list - used, "%s %s 0x%" PRIx64 " + 0x%" PRIx64,
                             used ? "," : "", UNITS[u].name, UNITS[u].base, layout->unit_bytes[u]);
        if (instances(layout, unit) > 1 && used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used,
                                     " (%" PRIu32 " every 0x%" PRIx64 ")", instances(layout, unit),
                                     stride(layout, unit));
    }
    kb_err cause = *err;
    return kb_fail(err, KB_EINVAL, "%.200s: allowed%s", cause.text, list);
}

static int encode_unit(const kb_addr_layout *layout, const kb_location *where, uint64_t *local,
                       kb_err *err)
{
    if ((unsigned)where->unit >= KB_UNIT_COUNT)
        return kb_fail(err, KB_EINVAL, "unit %d is out of range: allowed 0..%d", (int)where->unit,
                       KB_UNIT_COUNT - 1);
    const unit_row *row = &UNITS[where->unit];
    if (row->die != where->die_kind) {
        kb_fail(err, KB_EINVAL, "unit %s is not on a die of kind %s", row->name,
                DIE_NAMES[where->die_kind]);
        return list_units(layout, where->die_kind, err);
    }
    if (check_place(layout, where->unit, where->index, where->offset, err)) return KB_EINVAL;
    *local = row->base + where->index * stride(layout, where->unit) + where->offset;
    return 0;
}

int kb_paddr_encode(const kb_addr_layout *layout, const kb_location *where, kb_paddr *out,
                    kb_err *err)
{
    uint64_t die_id = 0, local = 0, sips = UINT64_C(1) << layout->sip_bits;
    if (check_number("sip_id", where->sip, 0, sips - 1, err) ||
        encode_die(layout, where, &die_id, err) || encode_unit(layout, where, &local, err))
        return KB_EINVAL;
    out->bits = (uint64_t)where->sip << (layout->die_bits + layout->offset_bits) |
                die_id << layout->offset_bits | local;
    return 0;
}

/* Does `local` lie in the room set aside for this unit? It may still be beyond what exists there.
 */
static bool in_window(const kb_addr_layout *layout, kb_unit unit, uint64_t local, uint64_t *index,
                      uint64_t *offset)
{
    const unit_row *row = &UNITS[unit];
    if (local < row->base) return false;
    uint64_t step = stride(layout, unit);
    uint64_t span = row->count == PER_PE ? MAX_PES * PE_STRIDE : row->window;
    uint64_t relative = local - row->base;
    if (relative >= span) return false;
    *index = relative / step;
    *offset = relative % step;
    return *offset < row->window;
}

static int decode_unit(const kb_addr_layout *layout, uint64_t local, kb_location *out, kb_err *err)
{
    for (int u = 0; u < KB_UNIT_COUNT; u++) {
        uint64_t index, offset;
        kb_unit unit = (kb_unit)u;
        if (UNITS[u].die != out->die_kind || !in_window(layout, unit, local, &index, &offset))
            continue;
        out->unit = unit;
        out->index = (uint32_t)index; /* if 32 bits are too few, it is refused below */
        out->offset = offset;
        return check_place(layout, unit, index, offset, err);
    }
    kb_fail(err, KB_EINVAL, "local_offset 0x%" PRIx64 " belongs to no unit of a die of kind %s",
            local, DIE_NAMES[out->die_kind]);
    return list_units(layout, out->die_kind, err);
}

static int decode_die(const kb_addr_layout *layout, uint64_t die_id, kb_location *out, kb_err *err)
{
    uint64_t cubes = layout->cube_dies, dies = cubes + layout->io_dies;
    if (die_id >= dies)
        return kb_fail(err, KB_EINVAL,
                       "die_id %" PRIu64 " is reserved: allowed 0..%" PRIu64 " (cubes) and %" PRIu64
                       "..%" PRIu64 " (IO chiplets)",
                       die_id, cubes - 1, cubes, dies - 1);
    out->die_kind = die_id < cubes ? KB_DIE_CUBE : KB_DIE_IO;
    out->die = (uint32_t)(die_id < cubes ? die_id : die_id - cubes);
    return 0;
}

static int decode(const kb_addr_layout *layout, uint64_t bits, kb_location *out, kb_err *err)
{
    uint32_t low = layout->die_bits + layout->offset_bits;
    uint64_t sip = bits >> low;
    if (sip >> layout->sip_bits)
        return kb_fail(err, KB_EINVAL,
                       "sip_id %" PRIu64 " is out of range: allowed 0..%" PRIu64
                       " (bits above %" PRIu32 " must be 0)",
                       sip, (UINT64_C(1) << layout->sip_bits) - 1, low + layout->sip_bits - 1);
    uint64_t die_id = (bits >> layout->offset_bits) & ((UINT64_C(1) << layout->die_bits) - 1);
    uint64_t local = bits & ((UINT64_C(1) << layout->offset_bits) - 1);
    out->sip = (uint32_t)sip;
    if (decode_die(layout, die_id, out, err)) return KB_EINVAL;
    return decode_unit(layout, local, out, err);
}

int kb_paddr_decode(const kb_addr_layout *layout, kb_paddr address, kb_location *out, kb_err *err)
{
    kb_location where = {0};
    if (decode(layout, address.bits, &where, err))
        return kb_fail_at(err, "physical address 0x%" PRIx64, address.bits);
    *out = where;
    return 0;
}

const char *kb_unit_name(kb_unit unit)
{
    return (unsigned)unit < KB_UNIT_COUNT ? UNITS[unit].name : "?";
}

const char *kb_paddr_format(const kb_addr_layout *layout, kb_paddr address, char *text, size_t size)
{
    kb_location at = {0};
    if (kb_paddr_decode(layout, address, &at, NULL)) {
        snprintf(text, size, "0x%" PRIx64 " (not a valid physical address)", address.bits);
        return text;
    }
    const unit_row *row = &UNITS[at.unit];
    char index[16] = "";
    if (row->count != ONE) snprintf(index, sizeof index, "%" PRIu32, at.index);
    snprintf(text, size, "sip%" PRIu32 ".%s%" PRIu32 ".%s%s%s+0x%" PRIx64, at.sip,
             DIE_NAMES[at.die_kind], at.die, row->before, index, row->after, at.offset);
    return text;
}
