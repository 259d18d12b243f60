/* log: one event, one line, in text or JSON; secrets redacted, control characters escaped (F2).
 *
 *     struct log *l;
 *     log_open(&l, &(struct log_options){.dir = "logs", .command = "migrate",
 *                                    .level = LOG_INFO}, e);
 *     log_event(l, LOG_INFO, "file_completed", (struct log_field[]){
 *         {"file", LOG_TEXT, .text = id}, {"bytes", LOG_INT, .integer = n}, {0}});
 *     log_close(l);
 *
 * Lines are: {"time":"2026-11-21T12:00:00.123Z","level":"info","command":"migrate","run":"…","event":…}
 * or in text form: 2026-11-21T12:00:00.123Z info  file_completed file='…' bytes=12
 */
#ifndef BLOBFERRY_BASE_LOG_H
#define BLOBFERRY_BASE_LOG_H

#include "blobferry/base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_type { LOG_TEXT, LOG_INT };

struct log_field {
    const char *name; /* NULL ends the list */
    enum log_type type;
    const char *text; /* NULL prints null */
    int64_t integer;
};

struct log_options {
    const char *dir; /* created if absent, mode 0700 */
    const char
        *command; /* file is <dir>/<command>_YYYYMMDD_HHMMSS.log, with -2, -3 ... when taken */
    const char *run_id;
    bool json;
    enum log_level level;
};

struct log;
/* Creates the file (0600, O_EXCL). A NULL log is legal in every call below and drops everything. */
enum err_code log_open(struct log **out, const struct log_options *o, struct err *e);
const char *log_path(const struct log *l); /* borrowed, "" for a NULL log */
void log_event(struct log *l, enum log_level level, const char *event,
               const struct log_field *fields);
/* Between the two, lines are gathered and written together: for a caller that tells of many files at once. */
void log_hold(struct log *l);
void log_unhold(struct log *l);
void log_message(struct log *l, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* ERR_FILE_SPACE or ERR_FILE once a line could not be written; sticky. */
enum err_code log_status(const struct log *l, struct err *e);
void log_close(struct log *l);
bool log_level_parse(const char *name,
                     enum log_level *out); /* error|warn|warning|info|debug, any case */

#endif
