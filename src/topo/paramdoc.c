#include "topo/paramdoc.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "topo/message.h"
#include "topo/schema.h"
#include "topo/spec_value.h"

static const char *type_name(kb_param_type type)
{
    switch (type) {
    case KB_PARAM_INT:
        return "integer";
    case KB_PARAM_REAL:
        return "number";
    case KB_PARAM_BOOL:
        return "true or false";
    case KB_PARAM_STRING:
        return "text";
    case KB_PARAM_CHOICE:
        return "choice";
    case KB_PARAM_INT_LIST:
        return "list of integers";
    case KB_PARAM_REAL_LIST:
        return "list of numbers";
    case KB_PARAM_STRING_LIST:
        return "list of texts";
    }
    return "";
}

/* A bar would end the cell of a Markdown table. */
static void write_cell(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|') fputc('\\', out);
        fputc(*text == '\n' ? ' ' : *text, out);
    }
}

static void write_range(FILE *out, const kb_param *param)
{
    char buffer[100];
    kb_text text = kb_text_start(buffer, sizeof buffer);
    double min, max;
    if (param->choices) {
        size_t length = 0;
        const char *separator = "";
        for (const char *word = param->choices; (word = kb_param_next_choice(word, &length));) {
            fprintf(out, "%s`%.*s`", separator, (int)length, word);
            separator = ", ";
        }
        return;
    }
    bool number = param->type == KB_PARAM_INT || param->type == KB_PARAM_REAL ||
                  param->type == KB_PARAM_INT_LIST || param->type == KB_PARAM_REAL_LIST;
    if (!number || !kb_param_limits(param, &min, &max)) return;
    if (!isfinite(min)) kb_text_add(&text, "at most ");
    if (!isfinite(max)) kb_text_add(&text, "at least ");
    if (isfinite(min)) kb_text_number(&text, min);
    if (isfinite(min) && isfinite(max)) kb_text_add(&text, " to ");
    if (isfinite(max)) kb_text_number(&text, max);
    fputs(buffer, out);
}

static void write_row(FILE *out, const kb_param *param)
{
    fprintf(out, "| `%s` | %s | %s | ", param->name, type_name(param->type),
            param->unit ? param->unit : "");
    if (param->default_value) {
        fputc('`', out);
        write_cell(out, *param->default_value ? param->default_value : "\"\"");
        fputc('`', out);
    } else {
        fputs("required", out);
    }
    fputs(" | ", out);
    write_range(out, param);
    fputs(" | ", out);
    write_cell(out, param->help ? param->help : "");
    fputs(" |\n", out);
}

static void write_section(FILE *out, const kb_section *section)
{
    fprintf(out, "### %s\n\n%s\n\n", *section->path ? section->path : "(top level)",
            section->help ? section->help : "");
    if (section->repeated)
        fprintf(out,
                "A list with one mapping of these parameters for each element: `%s[0]`, `%s[1]`, "
                "...\n\n",
                section->path, section->path);
    if (!section->params || !section->params->name) return;
    fputs("| parameter | type | unit | default | range | help |\n|---|---|---|---|---|---|\n", out);
    for (const kb_param *param = section->params; param->name; param++) write_row(out, param);
    fputc('\n', out);
}

void kb_paramdoc_markdown(FILE *out, const kb_section *sections, size_t count)
{
    for (size_t i = 0; i < count; i++) write_section(out, &sections[i]);
}

/* Where a line of YAML begins. */
typedef struct margin {
    FILE *out;
    int depth;
    int commented; /* deep in examples of repeated sections' elements */
} margin;

static FILE *start_line(const margin *m)
{
    for (int i = 0; i < m->commented; i++) fputs("# ", m->out);
    fprintf(m->out, "%*s", 2 * m->depth, "");
    return m->out;
}

static void write_help(const margin *m, const char *help)
{
    for (const char *line = help; line && *line;) {
        size_t length = strcspn(line, "\n");
        fprintf(start_line(m), "# %.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
}

static void write_param(const margin *m, const kb_param *param)
{
    char expected[600];
    kb_text text = kb_text_start(expected, sizeof expected);
    kb_param_expected(param, &text);
    write_help(m, param->help);
    fprintf(start_line(m), "# (%s)\n", expected);
    if (param->default_value)
        fprintf(start_line(m), "%s: %s\n", param->name,
                *param->default_value ? param->default_value : "\"\"");
    else
        fprintf(start_line(m), "# %s: required\n", param->name);
}

static void write_contents(margin m, const kb_schema *schema);

static void write_schema(margin m, const kb_schema *schema)
{
    int length = (int)schema->name_length;
    if (schema->section) write_help(&m, schema->section->help);
    if (!kb_schema_is_repeated(schema)) {
        fprintf(start_line(&m), "%.*s:\n", length, schema->name);
        m.depth++;
        write_contents(m, schema);
        return;
    }
    fprintf(start_line(&m), "# (a list; for elements, put this instead of the [])\n");
    fprintf(start_line(&m), "%.*s: []\n", length, schema->name);
    m.commented++;
    m.depth++;
    fprintf(start_line(&m), "-\n");
    m.depth++;
    write_contents(m, schema);
}

static void write_contents(margin m, const kb_schema *schema)
{
    for (const kb_param *param = kb_schema_params(schema); param->name; param++)
        write_param(&m, param);
    for (const kb_schema *child = schema->first; child; child = child->next) write_schema(m, child);
}

void kb_paramdoc_yaml(FILE *out, const kb_section *sections, size_t count)
{
    kb_schema *root = kb_schema_create(sections, count);
    write_contents((margin){.out = out}, root);
    kb_schema_destroy(root);
}
