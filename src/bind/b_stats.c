/* What a run can tell about itself: methods of the engine in Lua. */
#include <stdlib.h>

#include "bind/bind.h"
#include "engine/ipcq.h"
#include "engine/stats.h"
#include "hw/flow.h"
#include "hw/txn.h"
#include "topo/names.h"

static void set_number(lua_State *L, const char *key, double value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, key);
}

static void set_integer(lua_State *L, const char *key, uint64_t value)
{
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, key);
}

/* engine:machine(): its shape. */
static int machine(lua_State *L)
{
    const kb_engine *e = kb_check_engine(L, 1)->e;
    const kb_graph *g = e->m->graph;
    lua_createtable(L, 0, 13);
    set_integer(L, "sips", (uint64_t)g->sips);
    lua_pushstring(L, kb_grid_kind_name(g->grid.kind));
    lua_setfield(L, -2, "sip_grid");
    set_integer(L, "sip_w", (uint64_t)g->grid.w);
    set_integer(L, "sip_h", (uint64_t)g->grid.h);
    set_integer(L, "cubes", (uint64_t)kb_graph_cubes(g));
    set_integer(L, "mesh_w", (uint64_t)g->mesh_w);
    set_integer(L, "mesh_h", (uint64_t)g->mesh_h);
    set_integer(L, "pes", (uint64_t)g->cube_plan.pes);
    set_integer(L, "slices", (uint64_t)g->cube_plan.slices);
    set_integer(L, "flit_bytes", g->flit_bytes);
    set_integer(L, "nodes", kb_graph_node_count(g));
    set_integer(L, "links", kb_graph_edge_count(g));
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
        set_integer(L, "sip", (uint64_t)l->msgs[0].sip);
        lua_createtable(L, (int)l->sip_count, 0);
        for (uint32_t i = 0; i < l->sip_count; i++) {
            lua_pushinteger(L, l->msgs[i].sip);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        lua_setfield(L, -2, "sips");
        set_integer(L, "pes", l->pe_count);
        set_number(L, "sent_ns", kb_time_ns(kb_launch_sent(l)));
        set_number(L, "start_ns", kb_time_ns(l->start));
        set_number(L, "end_ns", kb_time_ns(l->end));
        if (e->m->energy->enabled) set_number(L, "joules", l->joules);
        set_number(L, "completed_ns", kb_time_ns(kb_launch_completed(l)));
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
    set_number(L, "busy_ns", kb_time_ns(use->busy));
    set_number(L, "utilization", use->utilization);
    lua_setfield(L, -2, key);
}

/* Bytes at the memories of each kind, and what their TLBs did. */
static void set_memories(lua_State *L, const kb_stats *s)
{
    lua_createtable(L, 0, KB_MEMORY_COUNT);
    for (int i = 0; i < KB_MEMORY_COUNT; i++) {
        lua_createtable(L, 0, 2);
        set_integer(L, "read", s->memory[i].read);
        set_integer(L, "written", s->memory[i].written);
        lua_setfield(L, -2, kb_memory_kind_name(i));
    }
    lua_setfield(L, -2, "memory");
    set_integer(L, "tlb_hits", s->tlb_hits);
    set_integer(L, "tlb_misses", s->tlb_misses);
}

/* Joules by part; absent unless energy.enabled. */
static void set_energy(lua_State *L, const kb_engine *e, const kb_stats *s)
{
    if (!e->m->energy->enabled) return;
    lua_createtable(L, 0, KB_ENERGY_COUNT + 1);
    for (int i = 0; i < KB_ENERGY_COUNT; i++) set_number(L, kb_energy_name(i), s->energy.joules[i]);
    set_number(L, "total", s->energy.total);
    lua_setfield(L, -2, "energy");
}

/* What went between PEs. */
static void set_ipcq(lua_State *L, const kb_engine *e)
{
    const kb_ipcq_books *books = &e->m->ipcq->books;
    lua_createtable(L, 0, 10);
    set_integer(L, "messages", books->messages);
    set_integer(L, "bytes", books->bytes);
    set_integer(L, "slots", books->parts);
    set_integer(L, "received", books->received);
    set_integer(L, "unread", kb_ipcq_unread_all(e));
    set_integer(L, "credits", books->credits_arrived);
    set_integer(L, "stalls", books->stalls);
    set_number(L, "stalled_ns", kb_time_ns(books->stalled));
    set_integer(L, "polls", books->polls);
    set_integer(L, "put_bytes", books->put_bytes);
    set_integer(L, "signals", books->signals);
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
    set_integer(L, "buffer_flits", flow->buffer_flits);
    set_integer(L, "die_buffer_flits", flow->die_buffer_flits);
    set_number(L, "in_buffers_ns", kb_time_ns(waits.in_buffers));
    set_number(L, "at_sources_ns", kb_time_ns(waits.at_sources));
    if (most) {
        char from[KB_NAME_MAX], to[KB_NAME_MAX], channel[KB_VCHANNEL_NAME_MAX];
        lua_pushfstring(L, "%s -> %s (%s, bound %s)", kb_node_name(e->m->graph, most->from, from),
                        kb_node_name(e->m->graph, most->to, to),
                        most->op == KB_TXN_READ ? "reads" : "writes",
                        kb_vchannel_name(most->channel, channel));
        lua_setfield(L, -2, "most_at");
        set_number(L, "most_ns", kb_time_ns(most->waiting_integral));
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
    set_number(L, "sim_ns", kb_time_ns(engine->e->sim->now));
    set_integer(L, "events", engine->e->sim->events);
    set_integer(L, "flit_hops", engine->e->m->flit_hops);
    set_integer(L, "transactions", engine->e->m->txns_completed);
    set_integer(L, "resumes", engine->resumes);
    set_integer(L, "submissions", engine->e->submissions);
    set_integer(L, "commands", s.commands);
    set_integer(L, "macs", s.macs);
    set_integer(L, "dma_bytes", s.dma_bytes);
    set_integer(L, "bytes_to_device", engine->e->host_bytes_written);
    set_integer(L, "bytes_to_host", engine->e->host_bytes_read);
    set_number(L, "kernel_ns", kb_time_ns(s.kernel_time));
    set_integer(L, "pes_used", s.pes_used);
    lua_createtable(L, 0, 8);
    for (int i = 0; i < KB_BYTES_COUNT; i++) set_integer(L, kb_bytes_name(i), s.bytes[i]);
    set_integer(L, "ipcq", books->bytes + books->put_bytes);
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
