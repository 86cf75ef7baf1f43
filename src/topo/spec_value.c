#include "topo/spec_value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "topo/nearest.h"

bool kb_param_limits(const kb_param *param, double *min, double *max)
{
    *min = param->min;
    *max = param->max;
    if (param->min != 0 || param->max != 0) return true;
    *max = KB_LONGEST_NS;
    return param->type == KB_PARAM_REAL && param->unit && strcmp(param->unit, "ns") == 0;
}

static void add_range(const kb_param *param, kb_text *out)
{
    double min, max;
    bool limited = kb_param_limits(param, &min, &max);
    if (limited && isfinite(min)) {
        kb_text_add(out, isfinite(max) ? " from " : " of at least ");
        kb_text_number(out, min);
    }
    if (limited && isfinite(max)) {
        kb_text_add(out, isfinite(min) ? " to " : " of at most ");
        kb_text_number(out, max);
    }
    if (param->unit) kb_text_add(out, limited ? " %s" : " in %s", param->unit);
}

const char *kb_param_next_choice(const char *after, size_t *length)
{
    const char *word = after + *length;
    word += strspn(word, " ");
    *length = strcspn(word, " ");
    return *length ? word : NULL;
}

static void add_choices(const char *choices, kb_text *out)
{
    size_t length = 0;
    const char *separator = " ";
    for (const char *word = choices; (word = kb_param_next_choice(word, &length));) {
        kb_text_add(out, "%s%.*s", separator, (int)length, word);
        separator = ", ";
    }
}

void kb_param_expected_element(const kb_param *param, kb_text *out)
{
    switch (param->type) {
    case KB_PARAM_INT:
    case KB_PARAM_INT_LIST:
        kb_text_add(out, "an integer");
        add_range(param, out);
        break;
    case KB_PARAM_REAL:
    case KB_PARAM_REAL_LIST:
        kb_text_add(out, "a number");
        add_range(param, out);
        break;
    case KB_PARAM_BOOL:
        kb_text_add(out, "true or false");
        break;
    case KB_PARAM_STRING:
    case KB_PARAM_CHOICE:
    case KB_PARAM_STRING_LIST:
        kb_text_add(out, param->choices ? "one of" : "text");
        if (param->choices) add_choices(param->choices, out);
        break;
    }
}

void kb_param_expected(const kb_param *param, kb_text *out)
{
    if (param->type == KB_PARAM_INT_LIST || param->type == KB_PARAM_REAL_LIST) {
        bool whole = param->type == KB_PARAM_INT_LIST;
        kb_text_add(out, whole ? "a list of integers" : "a list of numbers");
        add_range(param, out);
        kb_text_add(out, whole ? ", such as [1, 2]" : ", such as [1.5, 2]");
    } else if (param->type == KB_PARAM_STRING_LIST) {
        kb_text_add(out, param->choices ? "a list, such as [a, b], of" : "a list, such as [a, b]");
        if (param->choices) add_choices(param->choices, out);
    } else {
        kb_param_expected_element(param, out);
    }
}

void kb_yaml_describe(const kb_yaml_node *node, kb_text *out)
{
    char excerpt[KB_EXCERPT];
    if (node->kind == KB_YAML_MAPPING)
        kb_text_add(out, "a mapping");
    else if (node->kind == KB_YAML_SEQUENCE)
        kb_text_add(out, "a list");
    else if (kb_yaml_is_blank(node))
        kb_text_add(out, "nothing");
    else
        kb_text_add(out, "\"%s\"", kb_excerpt(excerpt, sizeof excerpt, node->text));
}

static bool in_range(const kb_param *param, double number)
{
    double min, max;
    return !kb_param_limits(param, &min, &max) || (number >= min && number <= max);
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return 99;
}

static bool parse_int(const char *text, int64_t *out)
{
    bool negative = *text == '-';
    if (*text == '-' || *text == '+') text++;
    bool hex = text[0] == '0' && text[1] == 'x';
    if (hex) text += 2;
    if (!*text) return false;
    /* Built up below zero, where int64_t has one number more. */
    int64_t base = hex ? 16 : 10, number = 0;
    for (; *text; text++) {
        int64_t digit = digit_value(*text);
        if (digit >= base || number < (INT64_MIN + digit) / base) return false;
        number = number * base - digit;
    }
    if (!negative && number == INT64_MIN) return false;
    *out = negative ? number : -number;
    return true;
}

/* strtod alone would take "nan", "inf", hexadecimal fractions and leading blanks. */
static bool parse_real(const char *text, double *out)
{
    if (text[strspn(text, "0123456789+-.eE")] != '\0' || !*text) return false;
    char *end;
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

static bool is_choice(const char *choices, const char *text, kb_nearest *nearest)
{
    size_t length = 0;
    for (const char *word = choices; (word = kb_param_next_choice(word, &length));) {
        if (strlen(text) == length && memcmp(text, word, length) == 0) return true;
        kb_nearest_offer(nearest, word, length);
    }
    return false;
}

static bool parse_text(const kb_param *param, const char *text, kb_atom *out, kb_nearest *nearest)
{
    if (param->choices && !is_choice(param->choices, text, nearest)) return false;
    out->text = kb_xstrdup(text);
    return true;
}

/* A quoted number is text: YAML says so, and a file read by other tools must mean the same. */
static bool parse_scalar(const kb_param *param, const kb_yaml_node *node, kb_atom *out,
                         kb_nearest *nearest)
{
    const char *text = node->text;
    switch (param->type) {
    case KB_PARAM_INT:
    case KB_PARAM_INT_LIST:
        return !node->quoted && parse_int(text, &out->integer) &&
               in_range(param, (double)out->integer);
    case KB_PARAM_REAL:
    case KB_PARAM_REAL_LIST:
        return !node->quoted && parse_real(text, &out->real) && in_range(param, out->real);
    case KB_PARAM_BOOL:
        out->boolean = strcmp(text, "true") == 0;
        return !node->quoted && (out->boolean || strcmp(text, "false") == 0);
    case KB_PARAM_STRING:
    case KB_PARAM_CHOICE:
    case KB_PARAM_STRING_LIST:
        break;
    }
    return parse_text(param, text, out, nearest);
}

int kb_atom_parse(const kb_param *param, const kb_yaml_node *node, kb_atom *out, kb_err *err)
{
    bool scalar = node->kind == KB_YAML_SCALAR;
    kb_nearest nearest = kb_nearest_start(node->text);
    if (scalar && !kb_yaml_is_blank(node) && parse_scalar(param, node, out, &nearest)) return KB_OK;

    char buffer[600];
    kb_text text = kb_text_start(buffer, sizeof buffer);
    kb_text_add(&text, "expected ");
    kb_param_expected_element(param, &text);
    kb_text_add(&text, ", got ");
    kb_yaml_describe(node, &text);
    if (scalar && node->quoted && !kb_param_is_text(param)) kb_text_add(&text, " in quotes");
    if (nearest.match)
        kb_text_add(&text, "; did you mean \"%.*s\"?", (int)nearest.length, nearest.match);
    return kb_fail(err, KB_EINVAL, "%s", buffer);
}
