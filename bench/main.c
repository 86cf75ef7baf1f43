#include "bench.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/vec.h"

/* Every file that offers rates has one line here and one in bench.h. */
static const kb_rate *const tables[] = {
    bench_chain_rates, bench_lua_rates, bench_fabric_rates, bench_hold_rates, bench_data_rates,
};

enum { REPEAT_DEFAULT = 5, REPEAT_MAX = 1000 };

typedef struct options {
    bool json, list, help;
    int repeat;
    kb_vec(const char *) only;
} options;

/* What --repeat runs of one rate gave, in operations per second. */
typedef struct result {
    const kb_rate *rate;
    int count;
    double *runs;
    double median;
} result;

double bench_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void bench_abort(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("kb_bench: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static const kb_rate *find_rate(const char *name)
{
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const kb_rate *rate = tables[t]; rate->name; rate++)
            if (strcmp(rate->name, name) == 0) return rate;
    return NULL;
}

static bool wanted(const options *o, const kb_rate *rate)
{
    for (size_t i = 0; i < o->only.count; i++)
        if (strcmp(o->only.data[i], rate->name) == 0) return true;
    return o->only.count == 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *values, int count)
{
    size_t size = (size_t)count * sizeof *values;
    double *sorted = memcpy(kb_xmalloc(size), values, size);
    qsort(sorted, (size_t)count, sizeof *sorted, compare);
    double middle = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
    free(sorted);
    return middle;
}

static result measure(const kb_rate *rate, int repeat)
{
    result r = {rate, repeat, kb_xmalloc((size_t)repeat * sizeof(double)), 0};
    for (int i = 0; i < repeat; i++) {
        kb_run run = rate->measure(rate->parameter);
        r.runs[i] = (double)run.operations / run.seconds;
    }
    r.median = median(r.runs, repeat);
    return r;
}

static void print_text(const result *r)
{
    printf("%-20s %10.2f M %s/s\n", r->rate->name, r->median / 1e6, r->rate->unit);
    fflush(stdout);
}

/* Names are identifiers of ours: nothing in them needs escaping. */
static void print_json(const result *r, bool first)
{
    printf("%s\n{\"name\":\"%s\",\"unit\":\"%s\",\"per_second\":%.0f,\"runs\":[", first ? "" : ",",
           r->rate->name, r->rate->unit, r->median);
    for (int i = 0; i < r->count; i++) printf("%s%.0f", i ? "," : "", r->runs[i]);
    fputs("]}", stdout);
}

static void run_rates(const options *o)
{
    bool first = true;
    if (o->json) fputs("{\"schema\":1,\"rates\":[", stdout);
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        for (const kb_rate *rate = tables[t]; rate->name; rate++) {
            if (!wanted(o, rate)) continue;
            result r = measure(rate, o->repeat);
            if (o->json)
                print_json(&r, first);
            else
                print_text(&r);
            first = false;
            free(r.runs);
        }
    }
    if (o->json) fputs("\n]}\n", stdout);
}

static void list_rates(void)
{
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const kb_rate *rate = tables[t]; rate->name; rate++)
            printf("%-20s %s/s: %s\n", rate->name, rate->unit, rate->help);
}

static void print_help(void)
{
    printf("usage: kb_bench [options]\n"
           "Measure how fast the simulator's parts run.\n\n"
           "  --json         print the rates as JSON\n"
           "  --list         list the rates and measure nothing\n"
           "  --only NAME    measure this rate; may be given several times\n"
           "  --repeat N     runs per rate, of which the median counts (default %d)\n"
           "  --help         print this\n",
           REPEAT_DEFAULT);
}

static bool parse_repeat(options *o, const char *text)
{
    char *end;
    long repeat = strtol(text, &end, 10);
    if (end == text || *end || repeat < 1 || repeat > REPEAT_MAX) {
        fprintf(stderr, "kb_bench: --repeat takes a number from 1 to %d, not '%s'\n", REPEAT_MAX,
                text);
        return false;
    }
    o->repeat = (int)repeat;
    return true;
}

static bool parse_only(options *o, const char *name)
{
    if (!find_rate(name)) {
        fprintf(stderr, "kb_bench: there is no rate '%s'; --list shows all\n", name);
        return false;
    }
    kb_vec_push(&o->only, name);
    return true;
}

/* False if the command line is not understood; why has been printed. */
static bool parse(options *o, int argc, char **argv)
{
    static const struct option flags[] = {
        {"json", no_argument, NULL, 'j'},       {"list", no_argument, NULL, 'l'},
        {"only", required_argument, NULL, 'o'}, {"repeat", required_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},       {0},
    };
    for (int flag; (flag = getopt_long(argc, argv, "h", flags, NULL)) != -1;) {
        bool ok = true;
        switch (flag) {
        case 'j':
            o->json = true;
            break;
        case 'l':
            o->list = true;
            break;
        case 'h':
            o->help = true;
            break;
        case 'r':
            ok = parse_repeat(o, optarg);
            break;
        case 'o':
            ok = parse_only(o, optarg);
            break;
        default:
            ok = false;
        }
        if (!ok) return false;
    }
    if (optind == argc) return true;
    fprintf(stderr, "kb_bench: unexpected argument '%s'\n", argv[optind]);
    return false;
}

int main(int argc, char **argv)
{
    options o = {.repeat = REPEAT_DEFAULT};
    bool understood = parse(&o, argc, argv);
    if (!understood)
        fputs("Try 'kb_bench --help'.\n", stderr);
    else if (o.help)
        print_help();
    else if (o.list)
        list_rates();
    else
        run_rates(&o);
    kb_vec_free(&o.only);
    return understood ? 0 : 2;
}
