/* Reading YAML: the tree, where its nodes were written, and what is refused with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "topo/message.h"
#include "topo/nearest.h"
#include "topo/yaml.h"

static void expect_failure_of(const char *text, size_t size, const char *message)
{
    kb_err err = {0};
    kb_yaml *yaml = NULL;
    assert_int_equal(kb_yaml_parse("topology.yaml", text, size, &yaml, &err), KB_EINVAL);
    assert_null(yaml);
    assert_string_equal(err.text, message);
}

static void expect_failure(const char *text, const char *message)
{
    expect_failure_of(text, strlen(text), message);
}

static kb_yaml *parse(const char *text)
{
    kb_err err = {0};
    kb_yaml *yaml = NULL;
    if (kb_yaml_parse("topology.yaml", text, strlen(text), &yaml, &err)) fail_msg("%s", err.text);
    return yaml;
}

static void nodes_know_their_line_and_column(void **state)
{
    (void)state;
    kb_yaml *yaml = parse("# comment\n"
                          "cube:\n"
                          "  noc: {w: 6, \"h\": '7'}\n"
                          "  list:\n"
                          "    - a\n"
                          "    - b\n");
    const kb_yaml_node *cube = kb_yaml_get(kb_yaml_root(yaml), "cube");
    assert_int_equal(cube->kind, KB_YAML_MAPPING);
    assert_int_equal(cube->count, 2);
    assert_int_equal(cube->key->line, 2);
    assert_int_equal(cube->key->column, 1);

    const kb_yaml_node *w = kb_yaml_get(kb_yaml_get(cube, "noc"), "w");
    assert_string_equal(w->text, "6");
    assert_false(w->quoted);
    assert_int_equal(w->line, 3);
    assert_int_equal(w->column, 12); /* "  noc: {w: " is 11 characters */
    assert_true(w->next->quoted);
    assert_string_equal(w->next->text, "7");

    const kb_yaml_node *list = kb_yaml_get(cube, "list");
    assert_int_equal(list->kind, KB_YAML_SEQUENCE);
    assert_int_equal(list->count, 2);
    assert_string_equal(list->first->next->text, "b");
    assert_int_equal(list->first->next->line, 6);
    assert_null(kb_yaml_get(cube, "absent"));
    kb_yaml_destroy(yaml);
}

static void columns_count_characters_and_a_byte_order_mark_is_skipped(void **state)
{
    (void)state;
    kb_yaml *yaml = parse("\xEF\xBB\xBF{\xC3\xA9: 1}");
    const kb_yaml_node *value = kb_yaml_root(yaml)->first;
    assert_int_equal(value->key->column, 2);
    assert_int_equal(value->column, 5);
    kb_yaml_destroy(yaml);
}

static void a_key_without_a_value_is_blank_and_empty_quotes_are_not(void **state)
{
    (void)state;
    kb_yaml *yaml = parse("a:\nb: \"\"\n");
    assert_true(kb_yaml_is_blank(kb_yaml_get(kb_yaml_root(yaml), "a")));
    assert_false(kb_yaml_is_blank(kb_yaml_get(kb_yaml_root(yaml), "b")));
    kb_yaml_destroy(yaml);
}

static void malformed_text_is_explained_with_its_place(void **state)
{
    (void)state;
    expect_failure("a: b: c\n", "topology.yaml:1:5: malformed YAML: a \":\" is not expected here; "
                                "check the indentation, or quote the text");
    expect_failure("a: [1, 2\nb: 3\n", "topology.yaml:2:2: malformed YAML: expected \",\" or \"]\" "
                                       "here (in the list that starts at 1:4)");
    expect_failure("a:\n  b: 1\n c: 2\n",
                   "topology.yaml:3:2: malformed YAML: expected a key here; "
                   "check the indentation (in the mapping that starts at 1:1)");
    expect_failure("a: \"open\nb: 2\n", "topology.yaml:3:1: malformed YAML: the file ends inside "
                                        "quotes (in the text that starts at 1:4)");
    expect_failure("a:\n\tb: 1\n",
                   "topology.yaml:2:1: a tab is not allowed here; indent with spaces");
    expect_failure("a: @b\n", "topology.yaml:1:4: a value cannot start with '@'; quote the text");
    expect_failure("a: ]\n", "topology.yaml:1:4: malformed YAML: expected a value here");
}

static void duplicate_keys_are_refused_and_both_lines_named(void **state)
{
    (void)state;
    expect_failure("cube:\n  w: 1\n  h: 2\n  w: 3\n",
                   "topology.yaml:4:3: key \"w\" is given twice: on line 2 and on line 4");
    expect_failure("{b: 1, a: 2, 'b': 3}",
                   "topology.yaml:1:14: key \"b\" is given twice: on line 1 and on line 1");
}

static void anchors_aliases_and_tags_are_refused(void **state)
{
    (void)state;
    expect_failure("a: &here 1\n",
                   "topology.yaml:1:4: anchors (&here) are not supported; remove it");
    expect_failure("a: 1\nb: *here\n",
                   "topology.yaml:2:4: aliases (*here) are not supported; write the value again");
    expect_failure("a: !!int 1\n", "topology.yaml:1:4: tags (tag:yaml.org,2002:int) are not "
                                   "supported; remove it");
    expect_failure("- &x [1]\n", "topology.yaml:1:3: anchors (&x) are not supported; remove it");
    expect_failure("- !t {a: 1}\n", "topology.yaml:1:3: tags (!t) are not supported; remove it");
    expect_failure("*x : 1\n",
                   "topology.yaml:1:1: aliases (*x) are not supported; write the value again");
}

static void keys_must_be_scalars(void **state)
{
    (void)state;
    expect_failure("? [a, b]\n: 1\n", "topology.yaml:1:3: a key must be a single word");
}

static void only_one_document_is_accepted(void **state)
{
    (void)state;
    expect_failure("a: 1\n---\nb: 2\n",
                   "topology.yaml:2:1: a second document starts here; a file holds only one");
    kb_yaml_destroy(parse("---\na: 1\n...\n"));
}

static void an_empty_file_is_refused(void **state)
{
    (void)state;
    expect_failure("", "topology.yaml:1:1: the file is empty");
    expect_failure("# only a comment\n", "topology.yaml:1:1: the file is empty");
    expect_failure("---\n", "topology.yaml:1:1: the file is empty");
}

/* `depth` sequences around a scalar. */
static void nested(char *out, size_t depth)
{
    memset(out, '[', depth);
    out[depth] = '1';
    memset(out + depth + 1, ']', depth);
    out[2 * depth + 1] = '\0';
}

static void nesting_is_accepted_to_a_depth_of_32(void **state)
{
    (void)state;
    char text[80];
    nested(text, 32);
    kb_yaml_destroy(parse(text));
    nested(text, 33);
    expect_failure(text, "topology.yaml:1:33: nested more than 32 deep");
}

static void bytes_that_are_not_text_are_refused(void **state)
{
    (void)state;
    expect_failure_of("a: 1\nb: \0\n", 10,
                      "topology.yaml:2:4: the character 0x00 is not allowed in a text file");
    expect_failure("a: 1\nb: \x07\n",
                   "topology.yaml:2:4: the character 0x07 is not allowed in a text file");
    expect_failure("a: \xC3\xA9\xFF\n",
                   "topology.yaml:1:5: not UTF-8 text: invalid leading UTF-8 octet");
    expect_failure("a: \xC3", "topology.yaml:1:4: not UTF-8 text: incomplete UTF-8 octet sequence");
    expect_failure_of("\xFF\xFE"
                      "a\0",
                      4, "topology.yaml:1:1: not UTF-8 text: invalid leading UTF-8 octet");
    expect_failure("a: \"x\\0y\"\n",
                   "topology.yaml:1:4: text must not contain the NUL character (\\0)");
}

static void a_text_without_a_name_gets_messages_without_a_place(void **state)
{
    (void)state;
    kb_err err = {0};
    kb_yaml *yaml;
    assert_int_equal(kb_yaml_parse(NULL, "[1", 2, &yaml, &err), KB_EINVAL);
    assert_string_equal(err.text, "malformed YAML: expected \",\" or \"]\" here (in the list "
                                  "that starts at 1:1)");
    assert_int_equal(kb_yaml_parse(NULL, "", 0, &yaml, NULL), KB_EINVAL);
}

static void a_file_that_cannot_be_read_is_an_io_error(void **state)
{
    (void)state;
    kb_err err = {0};
    kb_yaml *yaml;
    assert_int_equal(kb_yaml_load("/nonexistent/t.yaml", &yaml, &err), KB_EIO);
    assert_string_equal(err.text, "/nonexistent/t.yaml: cannot open: No such file or directory");
    assert_int_equal(kb_yaml_load("/", &yaml, &err), KB_EIO);
    assert_string_equal(err.text, "/: cannot read: Is a directory");
}

static void a_file_of_more_than_16_megabytes_is_refused(void **state)
{
    (void)state;
    char directory[] = "/tmp/kb_yaml_XXXXXX", path[64], message[128];
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/large.yaml", directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("a: 1 #", file);
    for (int i = 0; i < 16 * 1024; i++) fprintf(file, "%1024s", "");
    fclose(file);

    kb_err err = {0};
    kb_yaml *yaml;
    assert_int_equal(kb_yaml_load(path, &yaml, &err), KB_EINVAL);
    snprintf(message, sizeof message, "%s: larger than 16 MB", path);
    assert_string_equal(err.text, message);
    assert_int_equal(truncate(path, 16 * 1024 * 1024), 0);
    assert_int_equal(kb_yaml_load(path, &yaml, &err), KB_OK);
    kb_yaml_destroy(yaml);
    unlink(path);
    rmdir(directory);
}

static void excerpts_are_cut_between_characters_and_hide_control_characters(void **state)
{
    (void)state;
    char out[8];
    assert_string_equal(kb_excerpt(out, sizeof out, "1234567"), "1234567");
    assert_string_equal(kb_excerpt(out, sizeof out, "12345678"), "1234...");
    assert_string_equal(kb_excerpt(out, sizeof out, "123\xC3\xA9zzzz"), "123...");
    assert_string_equal(kb_excerpt(out, sizeof out, "a\n\x1B"), "a??");
}

static const char *nearest_of(const char *word, const char *const *words)
{
    kb_nearest nearest = kb_nearest_start(word);
    for (; *words; words++) kb_nearest_offer(&nearest, *words, strlen(*words));
    return nearest.match;
}

static void the_nearest_word_differs_in_at_most_a_third_of_its_letters(void **state)
{
    (void)state;
    static const char *const words[] = {"hbm_ctrl", "overhead_ns", "pitch_mm", "w", "h", NULL};
    assert_string_equal(nearest_of("hbm_ctl", words), "hbm_ctrl");     /* one left out */
    assert_string_equal(nearest_of("hmb_ctlr", words), "hbm_ctrl");    /* two swaps */
    assert_string_equal(nearest_of("overhead", words), "overhead_ns"); /* 3 of 11 */
    assert_string_equal(nearest_of("W", words), "w");
    assert_null(nearest_of("pitch", words)); /* 3 of 8 */
    assert_null(nearest_of("x", words));
    assert_null(nearest_of("", words));
}

static void a_word_of_any_length_can_be_looked_up(void **state)
{
    (void)state;
    static const char *const words[] = {"w", NULL};
    char word[1000];
    memset(word, 'w', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    assert_null(nearest_of(word, words));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_know_their_line_and_column),
        cmocka_unit_test(columns_count_characters_and_a_byte_order_mark_is_skipped),
        cmocka_unit_test(a_key_without_a_value_is_blank_and_empty_quotes_are_not),
        cmocka_unit_test(malformed_text_is_explained_with_its_place),
        cmocka_unit_test(duplicate_keys_are_refused_and_both_lines_named),
        cmocka_unit_test(anchors_aliases_and_tags_are_refused),
        cmocka_unit_test(keys_must_be_scalars),
        cmocka_unit_test(only_one_document_is_accepted),
        cmocka_unit_test(an_empty_file_is_refused),
        cmocka_unit_test(nesting_is_accepted_to_a_depth_of_32),
        cmocka_unit_test(bytes_that_are_not_text_are_refused),
        cmocka_unit_test(a_text_without_a_name_gets_messages_without_a_place),
        cmocka_unit_test(a_file_that_cannot_be_read_is_an_io_error),
        cmocka_unit_test(a_file_of_more_than_16_megabytes_is_refused),
        cmocka_unit_test(excerpts_are_cut_between_characters_and_hide_control_characters),
        cmocka_unit_test(the_nearest_word_differs_in_at_most_a_third_of_its_letters),
        cmocka_unit_test(a_word_of_any_length_can_be_looked_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
