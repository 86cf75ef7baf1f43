/* A record of what the engines of PEs did: one row for each stage of each tile of a composite, and
 * for each simple command. Kept only when asked for (kb_machine.stages is null otherwise).
 *
 * Rows come in the order in which stages were scheduled, which is the same in every run. Stages of
 * commands that a failing kernel leaves behind are in it, too. */
#ifndef KB_HW_STAGES_H
#define KB_HW_STAGES_H

#include <stdbool.h>

#include "base/vec.h"
#include "sim/time.h"

typedef enum kb_stage {
    KB_STAGE_DMA_IN, /* of one operand; or a load */
    KB_STAGE_FETCH,
    KB_STAGE_GEMM,
    KB_STAGE_MATH, /* epilogue; or a command for the vector engine */
    KB_STAGE_STORE,
    KB_STAGE_DMA_WB, /* of a result; or a store, or an atomic operation */
    KB_STAGE_COUNT
} kb_stage;

/* "dma_in", and "pe_dma", the component that does it. */
const char *kb_stage_name(kb_stage stage);
const char *kb_stage_component(kb_stage stage);

/* Who issued a command. */
typedef struct kb_command_label {
    uint32_t launch;  /* number, in the order of submission */
    uint64_t number;  /* of the command, on its PE */
    const char *what; /* "tl.composite"; static text */
} kb_command_label;

typedef struct kb_stage_row {
    kb_command_label command;
    uint16_t sip, cube, pe;
    uint8_t stage;
    bool of_tile;        /* of a composite; else the rest does not count */
    bool whole_rows;     /* of all tiles of a block of rows; the number is the last one's */
    uint32_t tile;       /* number within the composite, in the order m, n, k */
    uint32_t m0, n0, k0; /* where it begins */
    kb_time start, end;
} kb_stage_row;

typedef struct kb_stages {
    kb_vec(kb_stage_row) rows;
} kb_stages;

#endif
