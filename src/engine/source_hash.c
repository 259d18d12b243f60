/* source_hash: the SHA-256 of a file and of its parts in slices, in one pass over its bytes. */
#include "blobferry/codec/sha256_twin.h"
#include "blobferry/codec/text.h"
#include "engine/source_io.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK     ((size_t)128 << 10)
#define BLOCK     ((size_t)64)    /* of SHA-256 */
#define PARTS_MAX UINT64_C(10000) /* S3's limit for one upload */

/* A recorded SHA-256 is compared with the one that is made anyway; MD5 and SHA-1 need a digest of their own. */
static enum err_code begin_digests(struct source *s, struct err *e)
{
    enum err_code code = ERR_OK;

    s->hashed = 0;
    s->matches = false;
    s->sha256[0] = '\0';
    digest_release(&s->whole);
    digest_release(&s->part);
    digest_release(&s->other);
    free(s->twin);
    s->twin = sha256_twin_usable(s->part_size) ? malloc(sizeof *s->twin) : NULL;
    if (s->twin != NULL)
        sha256_twin_init(s->twin);
    else
        code = digest_init(&s->whole, DIGEST_SHA256, e);
    if (code == ERR_OK && s->twin == NULL && s->part_size > 0)
        code = digest_init(&s->part, DIGEST_SHA256, e);
    if (code == ERR_OK && s->expected.kind != DIGEST_NONE && s->expected.kind != DIGEST_SHA256)
        code = digest_init(&s->other, s->expected.kind, e);
    return code;
}

static void end_digests(struct source *s)
{
    unsigned char whole[DIGEST_MAX], other[DIGEST_MAX];

    if (s->twin != NULL)
        sha256_twin_end(s->twin, whole);
    else
        digest_final(&s->whole, whole);
    text_hex(whole, DIGEST_SHA256_SIZE, s->sha256);
    s->matches = true;
    if (s->other.kind != DIGEST_NONE) {
        digest_final(&s->other, other);
        s->matches = checksum_equal(&s->expected, other);
    } else if (s->expected.kind == DIGEST_SHA256) {
        s->matches = checksum_equal(&s->expected, whole);
    }
}

static void end_part(struct source *s, uint64_t index)
{
    unsigned char raw[DIGEST_MAX];

    if (s->twin != NULL) {
        sha256_twin_end_part(s->twin, s->part_sha256[index]);
        return;
    }
    digest_final(&s->part, raw);
    memcpy(s->part_sha256[index], raw, DIGEST_SHA256_SIZE);
    digest_restart(&s->part);
}

static void feed(struct source *s, const char *p, size_t n)
{
    if (s->twin == NULL)
        digest_update(&s->whole, p, n);
    if (s->other.kind != DIGEST_NONE)
        digest_update(&s->other, p, n);
    while (s->part_size > 0 && n > 0) {
        const uint64_t room = s->part_size - s->hashed % s->part_size;
        const size_t take = n < room ? n : (size_t)room;
        if (s->twin != NULL)
            sha256_twin_update(s->twin, p, take);
        else
            digest_update(&s->part, p, take);
        s->hashed += take;
        p += take;
        n -= take;
        if (s->hashed % s->part_size == 0)
            end_part(s, s->hashed / s->part_size - 1);
    }
    s->hashed += n;
}

enum err_code source_hash_begin(struct source *s, uint64_t part_size, struct err *e)
{
    const uint64_t size = (uint64_t)s->identity.size;

    free(s->part_sha256);
    s->part_sha256 = NULL;
    s->part_size = part_size;
    s->parts = 0;
    if (part_size > 0) {
        s->parts = size == 0 ? 1 : size / part_size + (size % part_size != 0);
        if (s->parts > PARTS_MAX)
            return err_set(e, ERR_LIMIT, "the source would need %llu parts, more than %llu",
                           (unsigned long long)s->parts, (unsigned long long)PARTS_MAX);
        s->part_sha256 = calloc((size_t)s->parts, sizeof *s->part_sha256);
        if (s->part_sha256 == NULL)
            return err_set(e, ERR_NOMEM, "out of memory");
    }
    (void)posix_fadvise(s->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return begin_digests(s, e);
}

/* ---- two at once ---------------------------------------------------------------------------------------- */

/* Bytes up to the end of the part or of the file, in whole blocks. */
static uint64_t blocks_ahead(const struct source *s)
{
    const uint64_t left = (uint64_t)s->identity.size - s->hashed;
    const uint64_t room = s->part_size - s->hashed % s->part_size;

    return (left < room ? left : room) / BLOCK * BLOCK;
}

static void has_taken(struct source *s, const char *p, size_t n)
{
    if (s->other.kind != DIGEST_NONE)
        digest_update(&s->other, p, n);
    s->hashed += n;
    if (s->hashed % s->part_size == 0)
        end_part(s, s->hashed / s->part_size - 1);
}

uint64_t source_hash_two(struct source *a, struct source *b, uint64_t bytes)
{
    char chunk_a[CHUNK], chunk_b[CHUNK];
    uint64_t took = 0;

    while (a->twin != NULL && b->twin != NULL && took < bytes) {
        const uint64_t ahead_a = blocks_ahead(a), ahead_b = blocks_ahead(b);
        uint64_t n = ahead_a < ahead_b ? ahead_a : ahead_b;
        n = n < bytes - took ? n : (bytes - took) / BLOCK * BLOCK;
        n = n < CHUNK ? n : CHUNK;
        if (n == 0 || source_read_at(a, chunk_a, (size_t)n, a->hashed, NULL) != ERR_OK ||
            source_read_at(b, chunk_b, (size_t)n, b->hashed, NULL) != ERR_OK)
            break;
        sha256_twin_update_two(a->twin, chunk_a, b->twin, chunk_b, (size_t)n);
        has_taken(a, chunk_a, (size_t)n);
        has_taken(b, chunk_b, (size_t)n);
        took += n;
    }
    return took;
}

/* ---- one ------------------------------------------------------------------------------------------------ */

enum err_code source_hash_step(struct source *s, uint64_t bytes, bool *done, struct err *e)
{
    const uint64_t size = (uint64_t)s->identity.size;
    char chunk[CHUNK];
    enum err_code code = ERR_OK;

    *done = s->sha256[0] != '\0';
    if (*done)
        return ERR_OK;
    while (bytes > 0 && s->hashed < size) {
        uint64_t n = size - s->hashed;
        n = n < bytes ? n : bytes;
        n = n < sizeof chunk ? n : sizeof chunk;
        code = source_read_at(s, chunk, (size_t)n, s->hashed, e);
        if (code != ERR_OK)
            return code;
        feed(s, chunk, (size_t)n);
        bytes -= n;
    }
    if (s->hashed < size)
        return ERR_OK;
    code = source_ends_there(s, e);
    if (code != ERR_OK)
        return code;
    if (s->part_size > 0 && (size == 0 || size % s->part_size != 0))
        end_part(s, s->parts - 1);
    end_digests(s);
    *done = true;
    return ERR_OK;
}
