/* progress: files, bytes, rate and ETA: one line rewritten on a terminal, a plain line every ten seconds elsewhere. */
#ifndef BLOBFERRY_SRC_CLI_PROGRESS_H
#define BLOBFERRY_SRC_CLI_PROGRESS_H

#include "blobferry/engine/engine.h"
#include "cli/out.h"

struct progress {
    struct out *out;
    const char *verb;   /* "migrated" */
    const char *unit;   /* "files" */
    int64_t started_ms; /* monotonic */
    int64_t drawn_ms;
    bool on_line; /* a line is on the terminal */
    int64_t failures_shown;
};

void progress_init(struct progress *p, struct out *o, const char *verb);
/* An engine_event_fn with a struct progress * as user. Names failed and refused files on standard error (the first 20, then a
 * count at the end). */
void progress_event(void *user, const struct engine_event *ev);
void progress_end(struct progress *p); /* leaves the terminal's line clean */

#endif
