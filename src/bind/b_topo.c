/* Queries about the machine that a topology file describes: module "kernbench.core.topo". */
#include <stdio.h>
#include <stdlib.h>

#include "bind/bind.h"
#include "hw/machine.h"
#include "topo/paramdoc.h"

static const char *type_name(kb_param_type type)
{
    switch (type) {
    case KB_PARAM_INT:
        return "integer";
    case KB_PARAM_REAL:
        return "number";
    case KB_PARAM_BOOL:
        return "boolean";
    case KB_PARAM_STRING:
        return "string";
    case KB_PARAM_CHOICE:
        return "choice";
    case KB_PARAM_INT_LIST:
        return "list of integers";
    case KB_PARAM_REAL_LIST:
        return "list of numbers";
    default:
        return "list of strings";
    }
}

static void set_string(lua_State *L, const char *key, const char *value)
{
    if (!value) return;
    lua_pushstring(L, value);
    lua_setfield(L, -2, key);
}

static void push_param(lua_State *L, const kb_param *param)
{
    lua_createtable(L, 0, 8);
    set_string(L, "name", param->name);
    set_string(L, "type", type_name(param->type));
    set_string(L, "unit", param->unit);
    set_string(L, "default", param->default_value);
    set_string(L, "choices", param->choices);
    set_string(L, "help", param->help);
    if (param->min != 0 || param->max != 0) {
        lua_pushnumber(L, param->min);
        lua_setfield(L, -2, "min");
        lua_pushnumber(L, param->max);
        lua_setfield(L, -2, "max");
    }
}

/* topo.sections(): every section of topology.yaml with its parameters, in order. */
static int sections(lua_State *L)
{
    kb_section all[KB_SECTION_MAX];
    size_t count = kb_machine_sections(all);
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        lua_createtable(L, 0, 4);
        set_string(L, "path", all[i].path);
        set_string(L, "help", all[i].help);
        lua_pushboolean(L, all[i].repeated);
        lua_setfield(L, -2, "repeated");
        lua_newtable(L);
        for (int p = 0; all[i].params[p].name; p++) {
            push_param(L, &all[i].params[p]);
            lua_rawseti(L, -2, p + 1);
        }
        lua_setfield(L, -2, "params");
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* topo.reference("markdown" | "yaml"): the parameter reference as text. */
static int reference(lua_State *L)
{
    static const char *const forms[] = {"markdown", "yaml", NULL};
    int form = luaL_checkoption(L, 1, "markdown", forms);
    kb_section all[KB_SECTION_MAX];
    size_t count = kb_machine_sections(all), size = 0;
    char *text = NULL;
    FILE *out = open_memstream(&text, &size);
    if (!out) return luaL_error(L, "no memory for the reference");
    if (form == 0)
        kb_paramdoc_markdown(out, all, count);
    else
        kb_paramdoc_yaml(out, all, count);
    fclose(out);
    lua_pushlstring(L, text, size);
    free(text);
    return 1;
}

static const luaL_Reg functions[] = {
    {"open", kb_topo_open}, {"sections", sections}, {"reference", reference}, {NULL, NULL}};

int luaopen_kernbench_core_topo(lua_State *L)
{
    kb_graph_open(L);
    luaL_newlib(L, functions);
    return 1;
}
