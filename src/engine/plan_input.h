/* plan_input: what CSV and JSONL have in common: the columns, the file, one row of texts. */
#ifndef BLOBFERRY_SRC_ENGINE_PLAN_INPUT_H
#define BLOBFERRY_SRC_ENGINE_PLAN_INPUT_H

#include "engine/plan_job.h"

#include <stdio.h>

enum plan_input_column {
    PLAN_INPUT_SOURCE_PATH,
    PLAN_INPUT_FILE_ID,
    PLAN_INPUT_FILENAME,
    PLAN_INPUT_USER_ID,
    PLAN_INPUT_TARGET_KEY,
    PLAN_INPUT_CHECKSUM,
    PLAN_INPUT_SIZE,
    PLAN_INPUT_CONTENT_TYPE,
    PLAN_INPUT_COLUMNS /* also: no such column */
};

enum plan_input_column plan_input_find(const char *name);
/* "-" is standard input; *name is for messages, borrowed. */
enum err_code plan_input_open(const char *path, FILE **in, const char **name, struct err *e);
void plan_input_close(FILE *in);
void plan_input_note_unknown(const struct plan_job *j, const char *column);
/* values: NULL or "" absent. ERR_OK whether the row is planned or refused. */
enum err_code plan_input_take(struct plan_job *j, const char *const values[PLAN_INPUT_COLUMNS],
                              int64_t line, struct err *e);

#endif
