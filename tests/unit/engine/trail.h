/* trail: an audit trail in a test's own folder: lines added, bytes looked at and meddled with. */
#ifndef BLOBFERRY_TESTS_UNIT_ENGINE_TRAIL_H
#define BLOBFERRY_TESTS_UNIT_ENGINE_TRAIL_H

#include "unit/base/scratch.h"

#include "blobferry/engine/journal.h"

#include <sys/stat.h>

struct trail {
    struct scratch folder;
    char path[512];
    char *data; /* as trail_load left it */
    size_t len;
};

/* Not inlined: gcc 12 with its sanitizers takes the address for NULL. */
__attribute__((noinline, unused)) static void trail_init(struct trail *t)
{
    memset(t, 0, sizeof *t);
    scratch_init(&t->folder);
    snprintf(t->path, sizeof t->path, "%s/audit.jsonl", t->folder.dir);
}

static inline void trail_release(struct trail *t)
{
    free(t->data);
    scratch_release(&t->folder);
}

static inline struct journal *trail_open(const struct trail *t, const char *run)
{
    const struct journal_options o = {.dir = t->folder.dir, .run_id = run, .command = "test"};
    struct journal *j = NULL;
    struct err e;

    err_init(&e);
    if (journal_open(&j, &o, &e) != ERR_OK)
        fail_msg("%s", e.message);
    return j;
}

/* n lines of one run, committed as one group; the head of the last is copied if asked for. */
static inline void trail_write(const struct trail *t, const char *run, int n, int64_t *seq,
                               char hash[TRACKER_HASH_SIZE])
{
    struct journal *j = trail_open(t, run);
    struct tracker_head head = {0};
    char id[32];

    for (int i = 0; i < n; i++) {
        snprintf(id, sizeof id, "%s-%d", run, i);
        assert_int_equal(
            journal_add(
                j, &(struct journal_entry){.action = "claim", .record_id = id, .detail = "a line"},
                NULL),
            ERR_OK);
    }
    assert_int_equal(journal_commit(j, true, &head, NULL), ERR_OK);
    if (seq != NULL)
        *seq = head.seq;
    if (hash != NULL)
        memcpy(hash, head.hash, sizeof head.hash);
    journal_close(j);
}

static inline void trail_load(struct trail *t)
{
    struct stat st;
    FILE *f = fopen(t->path, "rb");

    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &st), 0);
    free(t->data);
    t->len = (size_t)st.st_size;
    t->data = malloc(t->len + 1);
    assert_non_null(t->data);
    assert_int_equal(fread(t->data, 1, t->len, f), t->len);
    t->data[t->len] = '\0';
    fclose(f);
}

static inline void trail_store(const struct trail *t, const char *data, size_t len)
{
    FILE *f = fopen(t->path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static inline void trail_append(const struct trail *t, const char *data, size_t len)
{
    FILE *f = fopen(t->path, "ab");

    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

/* Line n, from 1, of the loaded data; *len with its LF. */
static inline const char *trail_line(const struct trail *t, int n, size_t *len)
{
    const char *p = t->data;

    for (; n > 1; n--) {
        p = memchr(p, '\n', t->len - (size_t)(p - t->data));
        assert_non_null(p);
        p++;
    }
    *len = (size_t)((const char *)memchr(p, '\n', t->len - (size_t)(p - t->data)) - p) + 1;
    return p;
}

static inline enum err_code trail_verify(const struct trail *t, struct journal_report *r)
{
    return journal_verify(t->folder.dir, NULL, r, NULL);
}

#endif
