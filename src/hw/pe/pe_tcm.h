/* Capacity and ports of TCM. */
#ifndef KB_HW_PE_PE_TCM_H
#define KB_HW_PE_PE_TCM_H

#include "hw/pe/pe.h"

typedef struct kb_tcm_config {
    uint64_t user_bytes, reserved_bytes;
    double read_gbs, write_gbs;
} kb_tcm_config;

#endif
