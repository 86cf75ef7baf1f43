/* Names of nodes: made and parsed here and nowhere else.
 *
 *   host  fabric.switch0  sip0.io0.pcie_ep  sip0.io0.ual_ep  sip0.io0.ucie2.conn1  sip0.cube5.r2c1
 *   sip0.cube5.ucie_e.conn0  sip0.cube5.xbar.top  sip0.cube5.bridge.left
 *   sip0.cube5.hbm_ctrl.slice3  sip0.cube5.pe3.pe_dma */
#ifndef KB_TOPO_NAMES_H
#define KB_TOPO_NAMES_H

#include "topo/graph.h"

enum { KB_NAME_MAX = 64 };

/* Writes at most KB_NAME_MAX bytes, ended by a zero; returns `out`. */
char *kb_node_name(const kb_graph *graph, kb_node node, char out[KB_NAME_MAX]);

/* The node of that name, or KB_NO_NODE. */
kb_node kb_node_parse(const kb_graph *graph, const char *name);

#endif
