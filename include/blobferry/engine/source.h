/* source: the user's files, opened confined and read-only (P2), hashed in slices so that a loop stays alive.
 *
 *     struct source s;  source_open(&s, g->source_root…, path, e);
 *     source_hash_begin(&s, part_size, e);
 *     while (source_hash_step(&s, 8 << 20, &done, e) == ERR_OK && !done) …run the loop…
 *     … send from s.fd …;  source_unchanged(&s, e);  source_close(&s);
 */
#ifndef BLOBFERRY_ENGINE_SOURCE_H
#define BLOBFERRY_ENGINE_SOURCE_H

#include "blobferry/base/err.h"
#include "blobferry/codec/checksum.h"
#include "blobferry/codec/digest.h"
#include "blobferry/model/record.h"

#include <stdbool.h>
#include <stdint.h>

struct source_root {
    int fd;
    char *path;         /* absolute, canonical */
    char *given;        /* as the operator wrote it; absolute source paths may begin with either */
    bool absolute_only; /* no root was given: relative source paths are refused */
};
enum err_code source_root_open(struct source_root *r, const char *path,
                               struct err *e); /* NULL: "/" */
void source_root_close(struct source_root *r);

struct source {
    int fd;
    struct source_identity identity;  /* by fstat at open */
    char *data;                       /* whole content when it was read by source_load; owned */
    char sha256[DIGEST_SHA256_HEX];   /* after hashing */
    struct checksum expected;         /* kind NONE: nothing to compare */
    bool cold;                        /* source_load had to wait for the disk */
    bool matches;                     /* expected checksum, if any, equals what was read */
    unsigned char (*part_sha256)[32]; /* owned; with part_size > 0 */
    uint64_t part_size, parts;
    uint64_t hashed;                  /* bytes so far */
    struct sha256_twin *twin;         /* owned; does the work of whole and part where it can */
    struct digest whole, part, other; /* other: MD5 or SHA-1 for `expected` */
};
/* ERR_FILE_*; expected_checksum is the record's original_checksum (NULL none, ERR_PARSE unknown form). */
enum err_code source_open(struct source *s, const struct source_root *root, const char *path,
                          const char *expected_checksum, struct err *e);
void source_close(struct source *s);
/* Small files: read all (at most max bytes) into data and hash it. ERR_FILE_CHANGED when it ends early. */
enum err_code source_load(struct source *s, size_t max, struct err *e);
/* Big files: part_size 0: no part hashes. */
enum err_code source_hash_begin(struct source *s, uint64_t part_size, struct err *e);
enum err_code source_hash_step(struct source *s, uint64_t bytes, bool *done, struct err *e);
/* Up to `bytes` of each of two files that have been begun, side by side, in less time than one after the other: how many of each were
 * taken. 0: as for the ends of a file, a fault, or a processor that cannot, source_hash_step goes on from there, and tells. */
uint64_t source_hash_two(struct source *a, struct source *b, uint64_t bytes);
/* Same device, inode, size, mtime and ctime as at open, and the path still leads to it. ERR_FILE_CHANGED otherwise. */
enum err_code source_unchanged(const struct source *s, const struct source_root *root,
                               const char *path, struct err *e);
/* Open, hash to the end and compare with `sha256` (hex): for rollback's proof. Blocking. ERR_FILE_MISSING, ERR_FILE_CHANGED … */
enum err_code source_prove(const struct source_root *root, const char *path, const char *sha256,
                           int64_t size /* -1 unknown */, struct err *e);

#endif
