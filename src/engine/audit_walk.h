/* audit_walk: every line in form of the trail, in order, with the hash of the one before it. */
#ifndef BLOBFERRY_SRC_ENGINE_AUDIT_WALK_H
#define BLOBFERRY_SRC_ENGINE_AUDIT_WALK_H

#include "blobferry/engine/audit.h"
#include "engine/journal_line.h"

/* number: of the line in the file, from 1. previous: 64 hex digits. */
typedef enum err_code audit_walk_fn(void *user, const struct journal_line *l, int64_t number,
                                    const char *previous, struct err *e);
/* What is appended meanwhile is not seen. */
enum err_code audit_walk(const char *dir, audit_walk_fn *fn, void *user, int64_t *damaged,
                         struct err *e);
/* Terminated copies of a line's parts. */
void audit_walk_copy(char *dst, size_t size, const char *s, size_t n);

#endif
