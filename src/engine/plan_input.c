#include "engine/plan_input.h"

#include "blobferry/base/str.h"

#include <errno.h>

static const char *const names[PLAN_INPUT_COLUMNS] = {"source_path", "file_id",     "filename",
                                                      "user_id",     "target_key",  "checksum",
                                                      "size",        "content_type"};

enum plan_input_column plan_input_find(const char *name)
{
    int i = 0;

    while (i < PLAN_INPUT_COLUMNS && !str_eq(name, names[i]))
        i++;
    return (enum plan_input_column)i;
}

enum err_code plan_input_open(const char *path, FILE **in, const char **name, struct err *e)
{
    *name = str_eq(path, "-") ? "standard input" : path;
    *in = str_eq(path, "-") ? stdin : fopen(path, "re");
    if (*in == NULL)
        return err_set_errno(e, ERR_FILE, errno, "cannot read '%s'", path);
    return ERR_OK;
}

void plan_input_close(FILE *in)
{
    if (in != NULL && in != stdin)
        fclose(in);
}

void plan_input_note_unknown(const struct plan_job *j, const char *column)
{
    char text[256], shown[128];

    snprintf(text, sizeof text, "column '%s' is not known and not used",
             str_printable(shown, sizeof shown, column));
    engine_emit(j->g, &(struct engine_event){.kind = ENGINE_NOTE, .message = text});
}

enum err_code plan_input_take(struct plan_job *j, const char *const values[PLAN_INPUT_COLUMNS],
                              int64_t line, struct err *e)
{
    const char *size = values[PLAN_INPUT_SIZE];
    uint64_t bytes = 0;
    struct plan_row row = {.source_path = values[PLAN_INPUT_SOURCE_PATH],
                           .file_id = values[PLAN_INPUT_FILE_ID],
                           .filename = values[PLAN_INPUT_FILENAME],
                           .user_id = values[PLAN_INPUT_USER_ID],
                           .target_key = values[PLAN_INPUT_TARGET_KEY],
                           .checksum = values[PLAN_INPUT_CHECKSUM],
                           .content_type = values[PLAN_INPUT_CONTENT_TYPE],
                           .size = -1,
                           .line = line};

    if (!str_empty(size)) {
        if (!str_to_u64(size, &bytes) || bytes > INT64_MAX) {
            struct err why;
            err_init(&why);
            err_set(&why, ERR_PARSE, "'%s' is no size in bytes", size);
            plan_row_refuse(j, row.source_path, row.target_key, line, &why);
            return plan_row_pulse(j, e);
        }
        row.size = (int64_t)bytes;
    }
    return plan_row_take(j, &row, e);
}
