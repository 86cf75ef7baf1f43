/* What a run can tell about itself: methods of the engine in Lua. */
#include <stdlib.h>

#include "bind/bind.h"
#include "engine/ipcq.h"
#include "engine/stats.h"
#include "hw/flow.h"
#include "hw/txn.h"
#include "topo/names.h"

/* engine:machine(): its shape. */
static int machine(lua_State *L)
{
    const kb_engine *e = kb_check_engine(L, 1)->e;
    const kb_graph *g = e->m->graph;
    lua_createtable(L, 0, 13);
    kb_set_count(L, "sips", (uint64_t)g->sips);
    lua_pushstring(L, kb_grid_kind_name(g->grid.kind));
    lua_setfield(L, -2, "sip_grid");
    kb_set_count(L, "sip_w", (uint64_t)g->grid.w);
    kb_set_count(L, "sip_h", (uint64_t)g->grid.h);
    kb_set_count(L, "cubes", (uint64_t)kb_graph_cubes(g));
    kb_set_count(L, "mesh_w", (uint64_t)g->mesh_w);
    kb_set_count(L, "mesh_h", (uint64_t)g->mesh_h);
    kb_set_count(L, "pes", (uint64_t)g->cube_plan.pes);
    kb_set_count(L, "slices", (uint64_t)g->cube_plan.slices);
    kb_set_count(L, "flit_bytes", g->flit_bytes);
    kb_set_count(L, "nodes", kb_graph_node_count(g));
    kb_set_count(L, "links", kb_graph_edge_count(g));
    return 1;
}

static int launches(lua_State *L)
{
    const kb_engine *e = kb_check_engine(L, 1)->e;
    lua_createtable(L, (int)e->launch_count, 0);
    lua_Integer n = 0;
    for (const kb_launch *l = e->launches; l; l = l->next) {
        lua_createtable(L, 0, 8);
        lua_pushstring(L, l->name);
        lua_setfield(L, -2, "name");
        kb_set_count(L, "sip", (uint64_t)l->msgs[0].sip);
        lua_createtable(L, (int)l->sip_count, 0);
        for (uint32_t i = 0; i < l->sip_count; i++) {
            lua_pushinteger(L, l->msgs[i].sip);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        lua_setfield(L, -2, "sips");
        kb_set_count(L, "pes", l->pe_count);
        kb_set_number(L, "sent_ns", kb_time_ns(kb_launch_sent(l)));
        kb_set_number(L, "start_ns", kb_time_ns(l->start));
        kb_set_number(L, "end_ns", kb_time_ns(l->end));
        if (e->m->energy->enabled) kb_set_number(L, "joules", l->joules);
        kb_set_number(L, "completed_ns", kb_time_ns(kb_launch_completed(l)));
        lua_pushboolean(L, l->failed);
        lua_setfield(L, -2, "failed");
        lua_pushboolean(L, l->reported);
        lua_setfield(L, -2, "reported");
        char *text = l->failed ? kb_launch_error_text(l) : NULL;
        lua_pushstring(L, text);
        free(text);
        lua_setfield(L, -2, "errors");
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

static void set_engine(lua_State *L, const char *key, const kb_engine_use *use)
{
    lua_createtable(L, 0, 2);
    kb_set_number(L, "busy_ns", kb_time_ns(use->busy));
    kb_set_number(L, "utilization", use->utilization);
    lua_setfield(L, -2, key);
}

/* Bytes at the memories of each kind, and what their TLBs did. */
static void set_memories(lua_State *L, const kb_stats *s)
{
    lua_createtable(L, 0, KB_MEMORY_COUNT);
    for (int i = 0; i < KB_MEMORY_COUNT; i++) {
        lua_createtable(L, 0, 2);
        kb_set_count(L, "read", s->memory[i].read);
        kb_set_count(L, "written", s->memory[i].written);
        lua_setfield(L, -2, kb_memory_kind_name(i));
    }
    lua_setfield(L, -2, "memory");
    kb_set_count(L, "tlb_hits", s->tlb_hits);
    kb_set_count(L, "tlb_misses", s->tlb_misses);
}

/* Joules by part; absent unless energy.enabled. */
static void set_energy(lua_State *L, const kb_engine *e, const kb_stats *s)
{
    if (!e->m->energy->enabled) return;
    lua_createtable(L, 0, KB_ENERGY_COUNT + 1);
    for (int i = 0; i < KB_ENERGY_COUNT; i++)
        kb_set_number(L, kb_energy_name(i), s->energy.joules[i]);
    kb_set_number(L, "total", s->energy.total);
    lua_setfield(L, -2, "energy");
}

/* What went between PEs. */
static void set_ipcq(lua_State *L, const kb_engine *e)
{
    const kb_ipcq_books *books = &e->m->ipcq->books;
    lua_createtable(L, 0, 10);
    kb_set_count(L, "messages", books->messages);
    kb_set_count(L, "bytes", books->bytes);
    kb_set_count(L, "slots", books->parts);
    kb_set_count(L, "received", books->received);
    kb_set_count(L, "unread", kb_ipcq_unread_all(e));
    kb_set_count(L, "credits", books->credits_arrived);
    kb_set_count(L, "stalls", books->stalls);
    kb_set_number(L, "stalled_ns", kb_time_ns(books->stalled));
    kb_set_count(L, "polls", books->polls);
    kb_set_count(L, "put_bytes", books->put_bytes);
    kb_set_count(L, "signals", books->signals);
    lua_setfield(L, -2, "ipcq");
}

/* What finite buffers did; absent unless they are on. */
static void set_flow_control(lua_State *L, const kb_engine *e)
{
    kb_flow *flow = e->m->flow;
    if (!flow) return;
    kb_flow_waits waits = kb_flow_waiting(flow, e->sim->now);
    const kb_buffer *most = waits.most;
    lua_createtable(L, 0, 6);
    kb_set_count(L, "buffer_flits", flow->buffer_flits);
    kb_set_count(L, "die_buffer_flits", flow->die_buffer_flits);
    kb_set_number(L, "in_buffers_ns", kb_time_ns(waits.in_buffers));
    kb_set_number(L, "at_sources_ns", kb_time_ns(waits.at_sources));
    if (most) {
        char from[KB_NAME_MAX], to[KB_NAME_MAX], channel[KB_VCHANNEL_NAME_MAX];
        lua_pushfstring(L, "%s -> %s (%s, bound %s)", kb_node_name(e->m->graph, most->from, from),
                        kb_node_name(e->m->graph, most->to, to),
                        most->op == KB_TXN_READ ? "reads" : "writes",
                        kb_vchannel_name(most->channel, channel));
        lua_setfield(L, -2, "most_at");
        kb_set_number(L, "most_ns", kb_time_ns(most->waiting_integral));
    }
    lua_setfield(L, -2, "flow_control");
}

static void set_audit(lua_State *L, const kb_stats *s)
{
    lua_createtable(L, 0, 2);
    lua_pushboolean(L, s->violation_count == 0);
    lua_setfield(L, -2, "ok");
    lua_createtable(L, (int)s->violation_count, 0);
    for (uint32_t i = 0; i < s->violation_count && i < KB_VIOLATIONS_KEPT; i++) {
        lua_pushstring(L, s->violations[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "violations");
    lua_setfield(L, -2, "audit");
}

/* engine:stats(): totals, engine use, bytes by kind of link, audit. */
static int stats(lua_State *L)
{
    kb_lua_engine *engine = kb_check_engine(L, 1);
    const kb_ipcq_books *books = &engine->e->m->ipcq->books;
    kb_stats s;
    kb_stats_collect(engine->e, &s);
    lua_createtable(L, 0, 16);
    kb_set_number(L, "sim_ns", kb_time_ns(engine->e->sim->now));
    kb_set_count(L, "events", engine->e->sim->events);
    kb_set_count(L, "flit_hops", engine->e->m->flit_hops);
    kb_set_count(L, "transactions", engine->e->m->txns_completed);
    kb_set_count(L, "resumes", engine->resumes);
    kb_set_count(L, "submissions", engine->e->submissions);
    kb_set_count(L, "commands", s.commands);
    kb_set_count(L, "macs", s.macs);
    kb_set_count(L, "dma_bytes", s.dma_bytes);
    kb_set_count(L, "bytes_to_device", engine->e->host_bytes_written);
    kb_set_count(L, "bytes_to_host", engine->e->host_bytes_read);
    kb_set_number(L, "kernel_ns", kb_time_ns(s.kernel_time));
    kb_set_count(L, "pes_used", s.pes_used);
    lua_createtable(L, 0, 8);
    for (int i = 0; i < KB_BYTES_COUNT; i++) kb_set_count(L, kb_bytes_name(i), s.bytes[i]);
    kb_set_count(L, "ipcq", books->bytes + books->put_bytes);
    lua_setfield(L, -2, "bytes");
    lua_createtable(L, 0, 8);
    for (int i = 0; i < KB_USE_COUNT; i++) set_engine(L, kb_use_name(i), &s.use[i]);
    lua_setfield(L, -2, "engines");
    set_memories(L, &s);
    set_ipcq(L, engine->e);
    set_energy(L, engine->e, &s);
    set_flow_control(L, engine->e);
    set_audit(L, &s);
    return 1;
}

const luaL_Reg kb_stats_engine_methods[] = {
    {"machine", machine}, {"launches", launches}, {"stats", stats}, {NULL, NULL}};
