/* The scribe: jobs one after the other, and none is lost; and the audit trail under threads that add and commit at once. */
#include "unit/engine/trail.h"

#include "engine/scribe.h"

#include <stdatomic.h>
#include <time.h>

#define JOBS    200
#define THREADS 4
#define LINES   300

struct noted {
    struct scribe_job job;
    int number;
    int *order; /* numbers, as they were done */
    atomic_int *at;
    long pause_us;
};

static void note(struct scribe_job *job)
{
    struct noted *n = (struct noted *)job; /* the first member */

    if (n->pause_us > 0)
        nanosleep(&(struct timespec){.tv_nsec = n->pause_us * 1000}, NULL);
    const int at = atomic_load(n->at);
    n->order[at] = n->number;
    atomic_store(n->at, at + 1);
}

static void hand_all(struct scribe *s, struct noted *jobs, int *order, atomic_int *at, long pause)
{
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (struct noted){
            .job.run = note, .number = i, .order = order, .at = at, .pause_us = pause};
        scribe_hand(s, &jobs[i].job);
    }
}

static void check_order(const int *order, atomic_int *at)
{
    assert_int_equal(atomic_load(at), JOBS);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(order[i], i);
}

static void test_scribe_does_jobs_in_order(void **state)
{
    struct scribe s;
    struct noted jobs[JOBS];
    int order[JOBS];
    atomic_int at = 0;
    (void)state;

    scribe_init(&s);
    scribe_start(&s);
    assert_true(s.running);
    hand_all(&s, jobs, order, &at, 50);
    scribe_await(&s);
    check_order(order, &at);
    scribe_stop(&s);
    scribe_release(&s);
}

static void test_scribe_ends_what_is_left_when_it_stops(void **state)
{
    struct scribe s;
    struct noted jobs[JOBS];
    int order[JOBS];
    atomic_int at = 0;
    (void)state;

    scribe_init(&s);
    scribe_start(&s);
    hand_all(&s, jobs, order, &at, 100);
    scribe_stop(&s);
    check_order(order, &at);
    scribe_stop(&s); /* harmless */
    scribe_release(&s);
}

static void test_scribe_without_a_thread_is_whoever_hands_over(void **state)
{
    struct scribe s;
    struct noted jobs[JOBS];
    int order[JOBS];
    atomic_int at = 0;
    (void)state;

    scribe_init(&s);
    hand_all(&s, jobs, order, &at, 0);
    check_order(order, &at);
    scribe_await(&s);
    scribe_release(&s);
}

static void test_scribe_can_be_started_again(void **state)
{
    struct scribe s;
    struct noted jobs[JOBS];
    int order[JOBS];
    (void)state;

    scribe_init(&s);
    for (int round = 0; round < 20; round++) {
        atomic_int at = 0;

        scribe_start(&s);
        hand_all(&s, jobs, order, &at, 0);
        if (round % 2 == 0)
            scribe_await(&s);
        scribe_stop(&s);
        check_order(order, &at);
    }
    scribe_release(&s);
}

/* ---- the trail under threads ---------------------------------------------------------------------------------- */

struct writer {
    struct journal *j;
    int number;
    bool good;
};

static void *write_much(void *writer)
{
    struct writer *w = writer;
    struct tracker_head head = {0};
    int64_t last = 0;
    char id[32];

    w->good = true;
    for (int i = 0; i < LINES; i++) {
        snprintf(id, sizeof id, "t%d-%d", w->number, i);
        w->good = w->good &&
                  journal_add(w->j, &(struct journal_entry){.action = "claim", .record_id = id},
                              NULL) == ERR_OK;
        if (i % 7 != 6)
            continue;
        w->good = w->good && journal_commit(w->j, i % 3 == 0, &head, NULL) == ERR_OK &&
                  head.seq > last && strlen(head.hash) == 64;
        last = head.seq;
    }
    return NULL;
}

/* Is `text` the record of exactly one line? */
static bool stands_once(const struct trail *t, const char *text)
{
    const char *first = strstr(t->data, text);

    return first != NULL && strstr(first + 1, text) == NULL;
}

static void test_scribe_and_others_share_a_trail(void **state)
{
    struct trail t;
    struct journal_report r;
    struct writer w[THREADS];
    pthread_t thread[THREADS];
    (void)state;

    trail_init(&t);
    struct journal *j = trail_open(&t, "run-1");
    for (int i = 0; i < THREADS; i++) {
        w[i] = (struct writer){.j = j, .number = i};
        assert_int_equal(pthread_create(&thread[i], NULL, write_much, &w[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_true(w[i].good);
    }
    assert_int_equal(journal_commit(j, true, NULL, NULL), ERR_OK);
    journal_close(j);
    assert_int_equal(trail_verify(&t, &r), ERR_OK);
    assert_int_equal(r.lines, 1 + THREADS * LINES);
    trail_load(&t);
    for (int i = 0; i < THREADS * LINES; i++) {
        char text[48];

        snprintf(text, sizeof text, "\"t%d-%d\"", i / LINES, i % LINES);
        assert_true(stands_once(&t, text));
    }
    trail_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scribe_does_jobs_in_order),
        cmocka_unit_test(test_scribe_ends_what_is_left_when_it_stops),
        cmocka_unit_test(test_scribe_without_a_thread_is_whoever_hands_over),
        cmocka_unit_test(test_scribe_can_be_started_again),
        cmocka_unit_test(test_scribe_and_others_share_a_trail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
