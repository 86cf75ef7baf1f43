/* A record of stages (hw/stages.h) as a file, CSV or JSON by the ending of its name.
 *
 * The file appears under its name when it is complete, by renaming; until then it is NAME.part. */
#ifndef KB_OUT_STAGES_FILE_H
#define KB_OUT_STAGES_FILE_H

#include "base/err.h"
#include "hw/stages.h"

typedef struct kb_stages_file kb_stages_file;

/* KB_EINVAL for other endings than .csv and .json; KB_EIO if the file cannot be written. */
int kb_stages_file_open(kb_stages_file **out, const char *path, kb_err *err);

/* Write all rows and close. On failure nothing is left, and an older file stays. */
int kb_stages_file_finish(kb_stages_file *file, const kb_stages *stages, kb_err *err);

/* Close and leave nothing; NULL is fine. */
void kb_stages_file_abandon(kb_stages_file *file);

#endif
