#include "engine/journal_doubt.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS (JOURNAL_DOUBT_MAX * 2)

enum err_code journal_doubt_init(struct journal_doubt *d, struct err *e)
{
    /* Pages that are never touched cost nothing. */
    *d = (struct journal_doubt){.slots = calloc(SLOTS, sizeof *d->slots), .mask = SLOTS - 1};
    return d->slots != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

void journal_doubt_release(struct journal_doubt *d)
{
    free(d->slots);
    d->slots = NULL;
}

/* FNV-1a over what is intended and for what, with a finish that spreads it over the low bits. */
static uint64_t fingerprint(const char *stem, size_t stem_len, const char *id, size_t n)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < stem_len; i++)
        h = (h ^ (unsigned char)stem[i]) * UINT64_C(0x100000001b3);
    h *= UINT64_C(0x100000001b3); /* what a NUL between them does */
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)id[i]) * UINT64_C(0x100000001b3);
    h ^= h >> 32;
    h *= UINT64_C(0xd6e8feb86659fd93);
    h ^= h >> 32;
    return h != 0 ? h : 1;
}

/* Where h is, or the empty slot where it would go. */
static size_t find(const struct journal_doubt *d, uint64_t h)
{
    size_t i = h & d->mask;

    while (d->slots[i] != 0 && d->slots[i] != h)
        i = (i + 1) & d->mask;
    return i;
}

static void add(struct journal_doubt *d, uint64_t h)
{
    const size_t i = find(d, h);

    if (d->slots[i] == h)
        return;
    if (d->used == JOURNAL_DOUBT_MAX) {
        d->overflow++;
        return;
    }
    d->slots[i] = h;
    d->used++;
}

/* Those that had to go further because of the slot that is emptied move up. */
static void take_out(struct journal_doubt *d, uint64_t h)
{
    size_t hole = find(d, h), i;

    if (d->slots[hole] == 0)
        return;
    d->used--;
    for (i = (hole + 1) & d->mask; d->slots[i] != 0; i = (i + 1) & d->mask) {
        const size_t home = d->slots[i] & d->mask;
        if (((i - home) & d->mask) >= ((i - hole) & d->mask)) {
            d->slots[hole] = d->slots[i];
            hole = i;
        }
    }
    d->slots[hole] = 0;
}

/* How much of the action comes before the suffix; 0 when it does not end so. */
static size_t stem_of(const struct journal_line *l, const char *suffix)
{
    const size_t n = strlen(suffix);

    if (l->action_len <= n || memcmp(l->action + l->action_len - n, suffix, n) != 0)
        return 0;
    return l->action_len - n;
}

/* Outcomes that settle more than the intent of the same name, for they tell that the object was looked at. */
static const struct {
    const char *action, *settles[3];
} wide[] = {
    {"upload_outcome", {"upload", "delete", NULL}},
    {"rollback_outcome", {"rollback", "delete", "upload"}},
    {"debt_outcome", {"rollback", "delete", NULL}},
    {"debt_paid", {"rollback", "delete", NULL}},
    {"rollback_refused", {"rollback", NULL, NULL}}, /* looked at again, and left as it is */
};

void journal_doubt_see(struct journal_doubt *d, const struct journal_line *l)
{
    const size_t intent = stem_of(l, "_intent"), outcome = stem_of(l, "_outcome");
    const char *id;
    size_t n = 0;

    if (intent == 0 && outcome == 0 && !journal_line_is(l, "debt_paid") &&
        !journal_line_is(l, "rollback_refused"))
        return;
    id = journal_line_member(l, "record_id", &n);
    if (id == NULL)
        id = journal_line_member(l, "batch_id", &n);
    if (id == NULL)
        return;
    if (intent > 0) {
        add(d, fingerprint(l->action, intent, id, n));
        return;
    }
    if (outcome > 0)
        take_out(d, fingerprint(l->action, outcome, id, n));
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        if (!journal_line_is(l, wide[i].action))
            continue;
        for (int k = 0; k < 3 && wide[i].settles[k] != NULL; k++)
            take_out(d, fingerprint(wide[i].settles[k], strlen(wide[i].settles[k]), id, n));
    }
}

bool journal_doubt_open(const struct journal_doubt *d, const char *stem, const char *id)
{
    static const char before[] = "\"action\":\"x\",\"record_id\":";
    const struct journal_entry entry = {.action = "x", .record_id = id};
    const size_t skip = sizeof before - 1;
    bool open = false;
    struct buf b;

    /* as the line has it: escaped, cut, in base64 */
    buf_init(&b, JOURNAL_LINE_MAX);
    if (journal_line_members(&b, &entry, NULL) == ERR_OK && b.len > skip &&
        memcmp(b.data, before, skip) == 0) {
        const uint64_t h = fingerprint(stem, strlen(stem), b.data + skip, b.len - skip);
        open = d->slots[find(d, h)] == h;
    }
    buf_release(&b);
    return open;
}

int64_t journal_doubt_count(const struct journal_doubt *d)
{
    return (int64_t)d->used + d->overflow;
}
