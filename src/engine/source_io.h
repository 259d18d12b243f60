/* source_io: reading of sources, shared by source and source_hash. */
#ifndef BLOBFERRY_SRC_ENGINE_SOURCE_IO_H
#define BLOBFERRY_SRC_ENGINE_SOURCE_IO_H

#include "blobferry/engine/source.h"

/* ERR_FILE_CHANGED, retryable: "the source <what> while it was read". */
enum err_code source_changed(struct err *e, const char *what);
/* Exactly n bytes at `offset`. */
enum err_code source_read_at(const struct source *s, void *to, size_t n, uint64_t offset,
                             struct err *e);
/* No byte behind the size that it had when it was opened. */
enum err_code source_ends_there(const struct source *s, struct err *e);

#endif
