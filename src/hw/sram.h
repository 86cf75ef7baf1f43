/* The cube's shared SRAM: as fast as the link to its router. Bytes are committed on arrival, and
 * read data leaves as the link takes it, so the link alone sets the pace (T2). */
#ifndef KB_HW_SRAM_H
#define KB_HW_SRAM_H

#include "hw/device.h"

typedef struct kb_sram {
    kb_device device;
    uint64_t bytes_read, bytes_written;
} kb_sram;

#endif
