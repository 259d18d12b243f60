#include "engine/copy_digest.h"

#include "blobferry/codec/digest.h"
#include "blobferry/codec/text.h"

#include <endian.h>
#include <string.h>

#define ROW_MAX ((size_t)256 << 20)

void copy_digest_init(struct copy_digest *d)
{
    memset(d, 0, sizeof *d);
    buf_init(&d->row, ROW_MAX);
}

void copy_digest_release(struct copy_digest *d)
{
    buf_release(&d->row);
}

void copy_digest_reset(struct copy_digest *d)
{
    memset(d->sum, 0, sizeof d->sum);
    d->rows = d->bytes = 0;
}

static void put_exact(struct buf *b, const struct tracker_value *v)
{
    switch (v->type) {
    case TRACKER_INTEGER:
        buf_append(b, &v->integer, sizeof v->integer);
        break;
    case TRACKER_REAL:
        buf_append(b, &v->real, sizeof v->real);
        break;
    case TRACKER_TEXT:
    case TRACKER_BLOB:
        buf_append(b, v->bytes, v->len);
        break;
    case TRACKER_NULL:
        break;
    }
}

/* A tag, four bytes of length, the bytes: no two rows have the same text. */
static void put(struct copy_digest *d, const struct tracker_value *v, const struct copy_rule *r)
{
    static const char tags[] = {[TRACKER_NULL] = 'n',
                                [TRACKER_INTEGER] = 'i',
                                [TRACKER_REAL] = 'r',
                                [TRACKER_TEXT] = 't',
                                [TRACKER_BLOB] = 'b'};
    uint32_t len = 0;
    const size_t at = d->row.len + 1;

    buf_char(&d->row, r->exact || v->type == TRACKER_NULL ? tags[v->type] : 'c');
    buf_append(&d->row, &len, sizeof len);
    if (r->exact)
        put_exact(&d->row, v);
    else
        tracker_value_common(&d->row, v, r->kind);
    if (!buf_ok(&d->row))
        return;
    len = htole32((uint32_t)(d->row.len - at - sizeof len));
    memcpy(d->row.data + at, &len, sizeof len);
    d->bytes += (int64_t)le32toh(len);
}

bool copy_digest_add(struct copy_digest *d, const struct tracker_value *values,
                     const struct copy_rule *rules, size_t n)
{
    unsigned char hash[DIGEST_SHA256_SIZE];
    unsigned carry = 0;

    buf_reset(&d->row);
    for (size_t i = 0; i < n; i++)
        put(d, &values[i], &rules[i]);
    if (!buf_ok(&d->row))
        return false;
    digest_sha256(d->row.data, d->row.len, hash);
    for (size_t i = 0; i < 4; i++) {
        uint64_t word;
        memcpy(&word, hash + 8 * i, sizeof word);
        word = le64toh(word);
        const uint64_t sum = d->sum[i] + word;
        const unsigned over = sum < word;
        d->sum[i] = sum + carry;
        carry = over | (d->sum[i] < sum);
    }
    d->rows++;
    return true;
}

void copy_digest_hex(const struct copy_digest *d, char out[65])
{
    uint64_t words[4];

    for (size_t i = 0; i < 4; i++)
        words[i] = htole64(d->sum[i]);
    text_hex(words, sizeof words, out);
}
