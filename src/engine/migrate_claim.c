#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "engine/migrate_job.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES ((size_t)8 << 20)
#define AHEAD_MS   60 /* rows for so long are claimed ahead, and for the time that a claim takes */
/* A page has rows for so long and for twice the time that a claim takes, within its bounds: claims that are slow grow. */
#define PAGE_MS 100

static struct migrate_page *page_new(struct migrate_job *j, struct err *e)
{
    struct migrate_page *p;

    pthread_mutex_lock(&j->desk.lock);
    p = j->spare;
    if (p != NULL)
        j->spare = p->next;
    pthread_mutex_unlock(&j->desk.lock);
    if (p == NULL) {
        p = calloc(1, sizeof *p);
        if (p == NULL) {
            err_set(e, ERR_NOMEM, "out of memory");
            return NULL;
        }
        record_list_init(&p->list, PAGE_BYTES);
    }
    p->next = NULL;
    p->started = p->open = p->ahead = 0;
    return p;
}

/* Under desk.lock. */
static void page_recycle(struct migrate_job *j, struct migrate_page *p)
{
    record_list_reset(&p->list);
    p->next = j->spare;
    j->spare = p;
}

static struct journal_entry line_of(const struct record *r, const char *action)
{
    struct journal_entry entry = journal_entry_of(r, action);

    entry.has_size = r->file_size >= 0;
    entry.size = r->file_size;
    return entry;
}

static enum err_code claim(struct migrate_job *j, struct tracker *by, struct migrate_page *p,
                           struct err *e)
{
    return tracker_claim(by,
                         &(struct tracker_claim){
                             .batch_ids = j->batches,
                             .batch_count = j->batch_count,
                             .owner = j->g->owner,
                             .now_ms = clock_wall_ms(),
                             .lease_ms = j->o.lease_ms,
                             .limit = j->page,
                             .retry_failed = j->first_round && j->o.retry_failed,
                             .again = j->first_round && j->o.again,
                             .dead_owners = (const char *const *)j->owners.dead,
                             .dead_count = j->owners.dead_count,
                             .after_id = j->after_id,
                         },
                         &p->list, e);
}

static size_t bounded(size_t n, size_t least, size_t most)
{
    return n < least ? least : n > most ? most : n;
}

/* The next page is claimed while there is still work for as long as that takes; but neither sooner nor larger than rows go, for other
 * workers want some too. took_ms: of the claim before. */
static void set_pace(struct migrate_job *j, int64_t since_ms, int64_t took_ms)
{
    const size_t most = tracker_rows_at_once(j->g->tracker);
    const size_t largest = most > TRACKER_ROWS ? most : MIGRATE_PAGE;
    const size_t since = since_ms > 0 ? (size_t)since_ms : 1, took = (size_t)took_ms;

    j->low = j->slot_total;
    j->page = MIGRATE_PAGE;
    if (j->claimed_ms == 0)
        return;
    j->page = bounded(j->claimed_rows * (PAGE_MS + 2 * took) / since, MIGRATE_PAGE, largest);
    j->low = bounded(j->claimed_rows * (AHEAD_MS + took) / since, j->low,
                     largest > j->low ? largest : j->low);
}

/* Not `good`: no lane gets a row of it, they are there to be released. */
static void offer(struct migrate_job *j, struct migrate_page *p, bool good)
{
    struct migrate_page **end = &j->pages;

    if (!good)
        migrate_lanes_order(j, MIGRATE_HALT);
    pthread_mutex_lock(&j->desk.lock);
    while (*end != NULL)
        end = &(*end)->next;
    *end = p;
    atomic_fetch_add(&j->desk.waiting, p->list.len);
    atomic_fetch_sub(&j->desk.coming, p->list.len);
    pthread_mutex_unlock(&j->desk.lock);
    if (good)
        migrate_lanes_wake(j);
}

/* P6: what is about to be done to every row of the page, durable before anything is done to the first. */
static enum err_code write_intents(struct migrate_job *j, const struct migrate_page *p,
                                   struct err *e)
{
    struct journal *journal = j->g->journal;
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < p->list.len; i++) {
        const struct record *r = &p->list.items[i];
        struct journal_entry entry;

        if (r->taken_over) {
            entry = line_of(r, "lease_taken");
            code = journal_add(journal, &entry, e);
        }
        entry = line_of(r, "upload_intent");
        entry.to = state_file_name(FILE_PROCESSING);
        if (code == ERR_OK)
            code = journal_add(journal, &entry, e);
    }
    return code == ERR_OK ? journal_commit(journal, true, NULL, e) : code;
}

static void put_on_record(struct scribe_job *job)
{
    struct migrate_page *p =
        (struct migrate_page *)((char *)job - offsetof(struct migrate_page, intents));
    struct migrate_job *j = p->of;
    struct err e;

    err_init(&e);
    const enum err_code code = write_intents(j, p, &e);
    if (code != ERR_OK)
        migrate_lanes_fail(j, &e);
    offer(j, p, code == ERR_OK);
}

static enum err_code claimed(struct migrate_job *j, struct migrate_page *p, struct err *e)
{
    const char *last = p->list.items[p->list.len - 1].id;

    for (size_t i = 0; i < p->list.len; i++)
        j->out->taken_over += p->list.items[i].taken_over;
    p->open = p->list.len;
    j->claimed += (int64_t)p->list.len;
    j->claimed_rows = p->list.len;
    /* the next claim goes on behind this one: a failed row is not taken twice in a run */
    free(j->after_id);
    j->after_id = str_dup(last);
    p->of = j;
    p->intents.run = put_on_record;
    atomic_fetch_add(&j->desk.coming, p->list.len);
    scribe_hand(&j->scribe, &p->intents);
    return j->after_id == NULL ? err_set(e, ERR_NOMEM, "out of memory") : ERR_OK;
}

enum err_code migrate_claim_page(struct migrate_job *j, struct tracker *by, struct err *e)
{
    struct migrate_page *p = page_new(j, e);
    const int64_t since = j->claimed_ms, now = clock_mono_ms();
    enum err_code code;

    if (p == NULL)
        return ERR_NOMEM;
    code = claim(j, by, p, e);
    if (code != ERR_OK || p->list.len == 0) {
        j->exhausted = true;
        pthread_mutex_lock(&j->desk.lock);
        page_recycle(j, p);
        pthread_mutex_unlock(&j->desk.lock);
        return code;
    }
    set_pace(j, now - since, clock_mono_ms() - now);
    j->claimed_ms = now;
    return claimed(j, p, e);
}

size_t migrate_claim_waiting(const struct migrate_job *j)
{
    return atomic_load(&j->desk.coming) + atomic_load(&j->desk.waiting);
}

const struct record *migrate_claim_next(struct migrate_job *j, struct migrate_page **page)
{
    for (struct migrate_page *p = j->pages; p != NULL; p = p->next) {
        if (p->started < p->list.len) {
            atomic_fetch_sub(&j->desk.waiting, 1);
            *page = p;
            return &p->list.items[p->started++];
        }
    }
    return NULL;
}

void migrate_claim_tidy(struct migrate_job *j)
{
    struct migrate_page **at = &j->pages;

    pthread_mutex_lock(&j->desk.lock);
    while (*at != NULL) {
        struct migrate_page *p = *at;
        if (p->open > 0) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        page_recycle(j, p);
    }
    pthread_mutex_unlock(&j->desk.lock);
}

enum err_code migrate_claim_release(struct migrate_job *j, struct err *e)
{
    struct migrate_page *page = NULL;
    const struct record *r;
    enum err_code code = ERR_OK;

    while (code == ERR_OK) {
        pthread_mutex_lock(&j->desk.lock);
        r = migrate_claim_next(j, &page);
        pthread_mutex_unlock(&j->desk.lock);
        if (r == NULL)
            break;
        struct outcome o = {.page = page, .r = r, .end = OUTCOME_RELEASED};
        str_copy(o.detail, sizeof o.detail, "released: not begun");
        code = results_add(&j->results, &o, e);
    }
    return code;
}

static void free_all(struct migrate_page *p)
{
    while (p != NULL) {
        struct migrate_page *next = p->next;
        record_list_release(&p->list);
        free(p);
        p = next;
    }
}

void migrate_claim_free(struct migrate_job *j)
{
    free_all(j->pages);
    free_all(j->spare);
    j->pages = j->spare = NULL;
    free(j->after_id);
    j->after_id = NULL;
}
