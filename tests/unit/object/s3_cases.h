/* s3_cases: the published answers in ../shared/vectors/s3responses. Include after cmocka.h. */
#ifndef BLOBFERRY_TESTS_UNIT_OBJECT_S3_CASES_H
#define BLOBFERRY_TESTS_UNIT_OBJECT_S3_CASES_H

#include "blobferry/base/buf.h"
#include "blobferry/codec/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void cases_path(const char *file, char *path, size_t size)
{
    const char *folder = getenv("BLOBFERRY_VECTORS");
    (void)snprintf(path, size, "%s/s3responses/%s", folder == NULL ? "../shared/vectors" : folder,
                   file);
}

/* Skips the test when the vectors are not there. */
static inline void cases_read(const char *file, struct buf *b)
{
    char path[4096], piece[65536];
    size_t n;

    cases_path(file, path, sizeof path);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        skip();
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        assert_true(buf_append(b, piece, n));
    (void)fclose(f);
}

static inline const char *cases_text(const struct json *c, const char *name)
{
    const char *text = json_string(json_get(c, name));
    return text == NULL ? "" : text;
}

/* Calls fn for each case of this operation ("PUT" …; NULL: all); at least `least` of them. */
static inline void cases_each(const char *op, size_t least,
                              void (*fn)(void *user, const struct json *c), void *user)
{
    struct buf b;
    size_t count = 0;

    buf_init(&b, (size_t)1 << 20);
    cases_read("cases.json", &b);
    struct json *root = json_parse(b.data, b.len, NULL);
    assert_non_null(root);
    for (const struct json *c = json_first(root); c != NULL; c = json_next(c)) {
        if (op != NULL && strcmp(op, cases_text(c, "op")) != 0)
            continue;
        fn(user, c);
        count++;
    }
    assert_true(count >= least);
    json_free(root);
    buf_release(&b);
}

#endif
