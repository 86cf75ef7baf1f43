#include "out/stages_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long ull;

struct kb_stages_file {
    FILE *file;
    char *path, *part; /* its name when complete, and until then */
    bool json;
};

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length > tail && strcmp(text + length - tail, end) == 0;
}

int kb_stages_file_open(kb_stages_file **out, const char *path, kb_err *err)
{
    bool json = ends_with(path, ".json");
    if (!json && !ends_with(path, ".csv"))
        return kb_fail(err, KB_EINVAL, "%s: expected a name that ends in .csv or .json", path);
    kb_stages_file *file = kb_xcalloc(1, sizeof *file);
    file->json = json;
    file->path = kb_xstrdup(path);
    size_t size = strlen(path) + sizeof ".part";
    file->part = kb_xmalloc(size);
    snprintf(file->part, size, "%s.part", path);
    file->file = fopen(file->part, "w");
    if (!file->file) {
        int status = kb_fail(err, KB_EIO, "%s: %s", file->part, strerror(errno));
        kb_stages_file_abandon(file);
        return status;
    }
    *out = file;
    return KB_OK;
}

void kb_stages_file_abandon(kb_stages_file *file)
{
    if (!file) return;
    if (file->file) {
        fclose(file->file);
        remove(file->part);
    }
    free(file->part);
    free(file->path);
    free(file);
}

/* What the row is about: a command, a tile of a composite, or whole rows of one. */
static const char *scope(const kb_stage_row *row)
{
    return row->whole_rows ? "rows" : row->of_tile ? "tile" : "command";
}

static void write_csv(FILE *f, const kb_stages *stages)
{
    fputs("launch,sip,cube,pe,command,call,scope,tile,m,n,k,stage,component,start_ns,end_ns\n", f);
    for (size_t i = 0; i < stages->rows.count; i++) {
        const kb_stage_row *r = &stages->rows.data[i];
        fprintf(f, "%u,%u,%u,%u,%llu,%s,%s,", r->command.launch, r->sip, r->cube, r->pe,
                (ull)r->command.number, r->command.what, scope(r));
        if (r->of_tile)
            fprintf(f, "%u,%u,%u,%u,", r->tile, r->m0, r->n0, r->k0);
        else
            fputs(",,,,", f);
        fprintf(f, "%s,%s,%llu.%03u,%llu.%03u\n", kb_stage_name((kb_stage)r->stage),
                kb_stage_component((kb_stage)r->stage), (ull)(r->start / 1000),
                (unsigned)(r->start % 1000), (ull)(r->end / 1000), (unsigned)(r->end % 1000));
    }
}

static void write_json(FILE *f, const kb_stages *stages)
{
    fputs("{\"schema\": 1, \"stages\": [", f);
    for (size_t i = 0; i < stages->rows.count; i++) {
        const kb_stage_row *r = &stages->rows.data[i];
        fprintf(f,
                "%s\n{\"launch\": %u, \"sip\": %u, \"cube\": %u, \"pe\": %u, \"command\": %llu, "
                "\"call\": \"%s\", \"scope\": \"%s\", ",
                i ? "," : "", r->command.launch, r->sip, r->cube, r->pe, (ull)r->command.number,
                r->command.what, scope(r));
        if (r->of_tile)
            fprintf(f, "\"tile\": %u, \"m\": %u, \"n\": %u, \"k\": %u, ", r->tile, r->m0, r->n0,
                    r->k0);
        fprintf(f,
                "\"stage\": \"%s\", \"component\": \"%s\", \"start_ns\": %llu.%03u, "
                "\"end_ns\": %llu.%03u}",
                kb_stage_name((kb_stage)r->stage), kb_stage_component((kb_stage)r->stage),
                (ull)(r->start / 1000), (unsigned)(r->start % 1000), (ull)(r->end / 1000),
                (unsigned)(r->end % 1000));
    }
    fputs("\n]}\n", f);
}

int kb_stages_file_finish(kb_stages_file *file, const kb_stages *stages, kb_err *err)
{
    int status = KB_OK;
    if (file->json)
        write_json(file->file, stages);
    else
        write_csv(file->file, stages);
    bool bad = ferror(file->file) != 0;
    bad = fclose(file->file) != 0 || bad;
    file->file = NULL;
    if (bad || rename(file->part, file->path) != 0) {
        status = kb_fail(err, KB_EIO, "%s: %s", file->path, strerror(errno));
        remove(file->part);
    }
    kb_stages_file_abandon(file);
    return status;
}
