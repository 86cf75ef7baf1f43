#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "data/npy.h"

#define DATA KB_SOURCE_DIR "/tests/data/"

/* Element i of every file that make_npy.py wrote. */
static double expected(kb_dtype dtype, size_t i)
{
    kb_dtype_class class = kb_dtype_class_of(dtype);
    if (class == KB_CLASS_BOOL) return (double)(i % 2);
    return class == KB_CLASS_UNSIGNED ? (double)i : (double)i - 5;
}

static kb_array *load(const char *name)
{
    char path[512];
    kb_array *a;
    kb_err err;
    snprintf(path, sizeof path, DATA "%s.npy", name);
    if (kb_npy_read(path, &a, &err)) fail_msg("%s", err.text);
    return a;
}

static void check(const char *name, kb_dtype dtype, int rank, const size_t *shape)
{
    kb_array *a = load(name);
    assert_int_equal(a->dtype, dtype);
    assert_int_equal(a->rank, rank);
    for (int i = 0; i < rank; i++) assert_int_equal(a->shape[i], shape[i]);
    for (size_t i = 0; i < a->count; i++) {
        double x;
        kb_convert(KB_F64, &x, dtype, (char *)a->data + i * kb_dtype_size(dtype), 1);
        assert_true(x == expected(dtype, i));
    }
    kb_array_release(a);
}

static void numpys_files_of_every_type_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        kb_dtype dtype;
    } FILES[] = {{"f2", KB_F16}, {"f4", KB_F32}, {"f8", KB_F64}, {"i1", KB_I8},
                 {"i2", KB_I16}, {"i4", KB_I32}, {"i8", KB_I64}, {"u1", KB_U8},
                 {"u2", KB_U16}, {"u4", KB_U32}, {"u8", KB_U64}, {"b1", KB_BOOL}};
    size_t shape[] = {3, 4};
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++)
        check(FILES[i].name, FILES[i].dtype, 2, shape);
}

static void both_orders_all_versions_and_odd_shapes_are_read(void **state)
{
    (void)state;
    check("fortran", KB_F32, 3, (size_t[]){2, 3, 4});
    check("scalar", KB_F64, 0, NULL);
    check("vector", KB_I16, 1, (size_t[]){7});
    check("empty", KB_F32, 2, (size_t[]){0, 3});
    check("version2", KB_I32, 2, (size_t[]){3, 4});
    check("version3", KB_I32, 2, (size_t[]){3, 4});
}

static void check_refused(const char *path, const char *message)
{
    kb_array *a = NULL;
    kb_err err;
    assert_int_not_equal(kb_npy_read(path, &a, &err), 0);
    assert_null(a);
    if (!strstr(err.text, message)) fail_msg("'%s' does not say '%s'", err.text, message);
}

static void unsupported_types_are_named(void **state)
{
    (void)state;
    check_refused(DATA "big_endian.npy", "byte 20: big-endian");
    check_refused(DATA "record.npy", "byte 20: records");
    check_refused(DATA "complex.npy", "byte 20: element type '<c8'");
    check_refused(DATA "no_such.npy", "No such file");
    check_refused(DATA, "regular file");
}

typedef struct scratch {
    char path[64];
} scratch;

static int make_scratch(void **state)
{
    static scratch s;
    snprintf(s.path, sizeof s.path, "/tmp/kb_npy_XXXXXX");
    int fd = mkstemp(s.path);
    *state = &s;
    return fd < 0 ? -1 : close(fd);
}

static int drop_scratch(void **state)
{
    return unlink(((scratch *)*state)->path);
}

/* A version 1.0 file with that header text and `bytes` bytes of elements. */
static void write_file(const char *path, const char *header, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    size_t length = strlen(header);
    fwrite("\x93NUMPY\x01\x00", 1, 8, file);
    fputc((int)(length & 255), file);
    fputc((int)(length >> 8), file);
    fwrite(header, 1, length, file);
    for (size_t i = 0; i < bytes; i++) fputc(0, file);
    fclose(file);
}

/* Byte numbers: the header text begins at byte 10. */
static void damaged_headers_say_where(void **state)
{
    const char *path = ((scratch *)*state)->path;
    static const struct {
        const char *header, *message;
    } CASES[] = {
        {"", "byte 10: expected '{'"},
        {"{'descr': '<f4', 'fortran_order': False, }", "lacks"},
        {"{'descr': '<f4', 'descr': '<f4'}", "byte 27: a key occurs twice"},
        {"{'color': 1}", "byte 11: an unknown key"},
        {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,)}", "byte 44: fortran_order"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,", "expected an extent"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", "byte 61: expected an extent"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1 2)}", "expected ',' or ')'"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", "more than 8"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999,)}",
         "too large"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (250000000000,)}", "bytes"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296,4294967296)}", "overflows"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1001,)}", "promises 4004 bytes"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (10,)}", "promises 40 bytes"},
        {"{'descr': '<f4", "without an end"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        write_file(path, CASES[i].header, 1000);
        check_refused(path, CASES[i].message);
    }
}

/* Every prefix of a good file, and every single byte of its header changed, must come back as an
 * error or an array, never as anything worse (the sanitizers watch). */
static void no_damage_is_fatal(void **state)
{
    const char *path = ((scratch *)*state)->path;
    unsigned char good[256];
    FILE *file = fopen(DATA "i2.npy", "rb");
    size_t size = fread(good, 1, sizeof good, file);
    fclose(file);
    assert_int_equal(size, 128 + 24); /* header padded to 64, 12 elements of 2 bytes */
    for (size_t i = 0; i < size + 128; i++) {
        unsigned char bad[256];
        memcpy(bad, good, size);
        if (i >= size) bad[i - size] ^= (unsigned char)(1 + i % 7);
        file = fopen(path, "wb");
        fwrite(bad, 1, i < size ? i : size, file);
        fclose(file);
        kb_array *a = NULL;
        int code = kb_npy_read(path, &a, NULL);
        assert_true(code != 0 || i >= size);
        kb_array_release(a);
    }
}

static void what_is_written_is_read_back(void **state)
{
    const char *path = ((scratch *)*state)->path;
    size_t shape[] = {3, 1, 5};
    for (int t = 0; t < KB_DTYPE_COUNT; t++) {
        kb_array *a, *b;
        kb_err err;
        assert_int_equal(kb_array_zeros((kb_dtype)t, 3, shape, &a, NULL), 0);
        for (size_t i = 0; i < a->nbytes; i++)
            ((uint8_t *)a->data)[i] = (uint8_t)(t == KB_BOOL ? i % 2 : i);
        int code = kb_npy_write(path, a, &err);
        if (t == KB_BF16 || kb_dtype_is_f8((kb_dtype)t)) {
            assert_int_equal(code, KB_EINVAL);
            assert_non_null(strstr(err.text, " has no code"));
        } else {
            assert_int_equal(code, 0);
            assert_int_equal(kb_npy_read(path, &b, &err), 0);
            assert_int_equal(b->dtype, t);
            assert_true(b->rank == 3 && b->shape[2] == 5);
            assert_memory_equal(a->data, b->data, a->nbytes);
            kb_array_release(b);
        }
        kb_array_release(a);
    }
}

static void a_file_that_cannot_be_written_is_an_error(void **state)
{
    (void)state;
    kb_array *a = load("f4");
    kb_err err;
    assert_int_equal(kb_npy_write("/no/such/folder/x.npy", a, &err), KB_EIO);
    assert_non_null(strstr(err.text, "/no/such/folder/x.npy: No such file"));
    kb_array_release(a);
}

static void numpy_reads_what_we_write(void **state)
{
    const char *path = ((scratch *)*state)->path;
    if (system("/usr/bin/python3 -c 'import numpy' 2>/dev/null") != 0) {
        print_message("skipped: /usr/bin/python3 has no numpy\n");
        skip();
    }
    static const char *const NAMES[] = {"f2",      "f4",     "i8",     "u1",   "b1",
                                        "fortran", "scalar", "vector", "empty"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        char command[1024];
        kb_array *a = load(NAMES[i]);
        assert_int_equal(kb_npy_write(path, a, NULL), 0);
        kb_array_release(a);
        snprintf(
            command, sizeof command,
            "/usr/bin/python3 -c 'import numpy as n; a, b = n.load(\"%s\"), n.load(\"%s%s.npy\"); "
            "assert a.dtype == b.dtype and a.shape == b.shape and (a == b).all()'",
            path, DATA, NAMES[i]);
        assert_int_equal(system(command), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numpys_files_of_every_type_are_read),
        cmocka_unit_test(both_orders_all_versions_and_odd_shapes_are_read),
        cmocka_unit_test(unsupported_types_are_named),
        cmocka_unit_test_setup_teardown(damaged_headers_say_where, make_scratch, drop_scratch),
        cmocka_unit_test_setup_teardown(no_damage_is_fatal, make_scratch, drop_scratch),
        cmocka_unit_test_setup_teardown(what_is_written_is_read_back, make_scratch, drop_scratch),
        cmocka_unit_test(a_file_that_cannot_be_written_is_an_error),
        cmocka_unit_test_setup_teardown(numpy_reads_what_we_write, make_scratch, drop_scratch),
    };
    return cmocka_run_group_tests_name("npy", tests, NULL, NULL);
}
