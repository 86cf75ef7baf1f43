/* Every device class of the machine, one per file of this folder. */
#ifndef KB_HW_CLASSES_H
#define KB_HW_CLASSES_H

#include "hw/txn.h"

extern const kb_device_class kb_host_class, kb_switch_class, kb_pcie_ep_class, kb_io_cpu_class,
    kb_io_noc_class, kb_io_ucie_class, kb_m_cpu_class, kb_router_class, kb_ucie_class,
    kb_xbar_class, kb_bridge_class, kb_hbm_ctrl_class, kb_hbm_flat_class, kb_sram_class,
    kb_ual_ep_class, kb_pe_cpu_class, kb_pe_scheduler_class, kb_pe_dma_class,
    kb_pe_fetch_store_class, kb_pe_gemm_class, kb_pe_math_class, kb_pe_tcm_class, kb_pe_mmu_class,
    kb_pe_ipcq_class;

#endif
