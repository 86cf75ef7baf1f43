#include "topo/yaml_problem.h"

#include <stdbool.h>
#include <string.h>

#include "topo/message.h"

static const struct {
    const char *libyaml, *ours;
} words[] = {
    {"mapping values are not allowed in this context",
     "a \":\" is not expected here; check the indentation, or quote the text"},
    {"block sequence entries are not allowed in this context",
     "a \"- \" is not expected here; check the indentation, or quote the text"},
    {"did not find expected key", "expected a key here; check the indentation"},
    {"could not find expected ':'", "expected \":\" after the key"},
    {"did not find expected '-' indicator", "expected \"- \" here; check the indentation"},
    {"did not find expected ',' or ']'", "expected \",\" or \"]\" here"},
    {"did not find expected ',' or '}'", "expected \",\" or \"}\" here"},
    {"did not find expected node content", "expected a value here"},
    {"did not find expected <document start>", "expected the end of the file here"},
    {"found unexpected end of stream", "the file ends inside quotes"},
    {"found unknown escape character", "unknown escape after \"\\\" inside double quotes"},
    {"while parsing a block mapping", "in the mapping"},
    {"while parsing a flow mapping", "in the mapping"},
    {"while parsing a block collection", "in the list"},
    {"while parsing a flow sequence", "in the list"},
    {"while scanning a quoted scalar", "in the text"},
    {"while parsing a quoted scalar", "in the text"},
    {"while scanning a simple key", "in the line"},
};

static const char *reworded(const char *problem)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i].libyaml, problem) == 0) return words[i].ours;
    return problem;
}

static bool starts_character(char byte)
{
    return ((unsigned char)byte & 0xC0) != 0x80;
}

/* libyaml gives byte offsets for undecodable input, places everywhere else. */
static yaml_mark_t mark_of_offset(const char *text, size_t size, size_t offset)
{
    yaml_mark_t mark = {.index = offset};
    for (size_t i = 0; i < offset && i < size; i++) {
        if (text[i] == '\n')
            mark.line++, mark.column = 0;
        else if (starts_character(text[i]))
            mark.column++;
    }
    return mark;
}

/* A mark's index counts characters, not bytes. */
static char byte_at_mark(const char *text, size_t size, yaml_mark_t mark)
{
    size_t characters = 0;
    for (size_t i = 0; i < size; i++) {
        if (!starts_character(text[i])) continue;
        if (characters++ == mark.index) return text[i];
    }
    return '\0';
}

static void describe_bytes(const yaml_parser_t *parser, kb_text *out)
{
    unsigned value = (unsigned)parser->problem_value;
    if (strcmp(parser->problem, "control characters are not allowed") == 0)
        kb_text_add(out, "the character 0x%02X is not allowed in a text file", value);
    else
        kb_text_add(out, "not UTF-8 text: %s", parser->problem);
}

static void describe_character(char c, kb_text *out)
{
    if (c == '\t')
        kb_text_add(out, "a tab is not allowed here; indent with spaces");
    else
        kb_text_add(out, "a value cannot start with '%c'; quote the text", c);
}

/* What the problem is in, when that started at another place than the one reported. */
static void describe_context(const yaml_parser_t *parser, kb_text *out)
{
    yaml_mark_t start = parser->context_mark, here = parser->problem_mark;
    if (!parser->context || (start.line == here.line && start.column == here.column)) return;
    kb_text_add(out, " (%s that starts at %zu:%zu)", reworded(parser->context), start.line + 1,
                start.column + 1);
}

yaml_mark_t kb_yaml_problem(const yaml_parser_t *parser, const char *text, size_t size,
                            char *message, size_t message_size)
{
    kb_text out = kb_text_start(message, message_size);
    if (parser->error == YAML_MEMORY_ERROR || !parser->problem) {
        kb_text_add(&out, "too large to read");
        return parser->mark;
    }
    if (parser->error == YAML_READER_ERROR) {
        describe_bytes(parser, &out);
        return mark_of_offset(text, size, parser->problem_offset);
    }
    if (strcmp(parser->problem, "found character that cannot start any token") == 0) {
        describe_character(byte_at_mark(text, size, parser->problem_mark), &out);
    } else {
        kb_text_add(&out, "malformed YAML: %s", reworded(parser->problem));
        describe_context(parser, &out);
    }
    return parser->problem_mark;
}
