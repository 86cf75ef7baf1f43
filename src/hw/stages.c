#include "hw/stages.h"

static const struct {
    const char *name, *component;
} STAGES[KB_STAGE_COUNT] = {
    [KB_STAGE_DMA_IN] = {"dma_in", "pe_dma"},       [KB_STAGE_FETCH] = {"fetch", "pe_fetch_store"},
    [KB_STAGE_GEMM] = {"gemm", "pe_gemm"},          [KB_STAGE_MATH] = {"math", "pe_math"},
    [KB_STAGE_STORE] = {"store", "pe_fetch_store"}, [KB_STAGE_DMA_WB] = {"dma_wb", "pe_dma"},
};

const char *kb_stage_name(kb_stage stage)
{
    return STAGES[stage].name;
}

const char *kb_stage_component(kb_stage stage)
{
    return STAGES[stage].component;
}
