/* limiter, with a simulated clock and simulated servers: nothing here takes time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "blobferry/net/limiter.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a server that allows so many requests a second ------------------------------------------------------ */

enum kind { BUCKET, FIXED_WINDOW };
struct server {
    enum kind kind;
    double rate, burst;
    int64_t retry_after_ms, latency_ms;
    double tokens;
    int64_t counted_ms;
    int64_t taken, refused;
    int capacity; /* requests that it works on at once without getting slower; 0: any number */
};

static bool takes(struct server *s, int64_t now_ms)
{
    if (s->rate == 0)
        return true;
    if (s->kind == FIXED_WINDOW) { /* its seconds are those of the clock */
        if (now_ms / 1000 != s->counted_ms / 1000 || now_ms == 0)
            s->tokens = s->rate;
    } else {
        s->tokens += (double)(now_ms - s->counted_ms) * s->rate / 1000;
        s->tokens = s->tokens > s->burst ? s->burst : s->tokens;
    }
    s->counted_ms = now_ms;
    if (s->tokens < 1)
        return false;
    s->tokens -= 1;
    return true;
}

/* ---- requests on their way --------------------------------------------------------------------------------- */

#define FLIGHT_MAX 512
struct flight {
    bool busy, refused;
    int64_t ends_ms;
    struct limiter_ticket ticket;
};
struct run {
    struct limiter *limiter;
    struct limiter_client client;
    struct server server;
    int64_t todo, done, now_ms;
    struct flight at[FLIGHT_MAX];
    int under_way, least_limit, most_under_way;
};

static void land(struct run *r)
{
    for (int i = 0; i < FLIGHT_MAX; i++) {
        struct flight *f = &r->at[i];
        if (!f->busy || f->ends_ms > r->now_ms)
            continue;
        f->busy = false;
        r->under_way--;
        const struct limiter_report report = {
            .outcome = f->refused ? LIMITER_THROTTLED : LIMITER_ANSWERED,
            .retry_after_ms = f->refused ? r->server.retry_after_ms : 0,
            .bytes = 4096};
        assert_int_equal(limiter_done(r->limiter, &r->client, &f->ticket, &report, r->now_ms),
                         f->refused);
        if (f->refused)
            r->todo++; /* comes back, and has used up no attempt */
        else
            r->done++;
    }
}

static bool launch(struct run *r)
{
    int64_t wait_ms;

    for (int i = 0; i < FLIGHT_MAX; i++) {
        struct flight *f = &r->at[i];
        if (f->busy)
            continue;
        f->ticket = (struct limiter_ticket){.key = (uint64_t)(r->todo + 1)};
        if (limiter_admit(r->limiter, &r->client, &f->ticket, r->now_ms, &wait_ms) != LIMITER_GO) {
            assert_true(wait_ms > 0);
            return false;
        }
        f->busy = true;
        r->todo--;
        r->under_way++;
        if (r->under_way > r->most_under_way)
            r->most_under_way = r->under_way;
        f->refused = !takes(&r->server, r->now_ms);
        r->server.refused += f->refused;
        r->server.taken += !f->refused;
        int64_t latency = r->server.latency_ms;
        if (r->server.capacity > 0 && r->under_way > r->server.capacity)
            latency = latency * r->under_way / r->server.capacity;
        f->ends_ms = r->now_ms + latency;
        return true;
    }
    return false;
}

/* Milliseconds that `total` requests took. */
static int64_t simulate(struct run *r, int64_t total, int64_t limit_ms)
{
    const int64_t began = r->now_ms;
    struct limiter_state s;

    r->todo = total;
    r->done = 0;
    r->least_limit = 1 << 20;
    while (r->done < total && r->now_ms - began < limit_ms) {
        land(r);
        while (r->todo > 0 && launch(r))
            ;
        limiter_look(r->limiter, &s);
        assert_int_equal(s.under_way, r->under_way);
        r->least_limit = s.limit < r->least_limit ? s.limit : r->least_limit;
        r->now_ms++;
    }
    assert_int_equal(r->done, total);
    return r->now_ms - began;
}

static struct run *begin(const struct limiter_options *o, const struct server *s)
{
    struct run *r = calloc(1, sizeof *r);

    assert_non_null(r);
    assert_int_equal(limiter_new(&r->limiter, o, NULL), ERR_OK);
    limiter_join(r->limiter, &r->client);
    r->server = *s;
    r->server.tokens = s->burst;
    r->now_ms = 1000000;
    r->server.counted_ms = r->now_ms;
    return r;
}

static void end(struct run *r)
{
    limiter_leave(r->limiter, &r->client);
    limiter_free(r->limiter);
    free(r);
}

/* ---- a server that allows 50 requests a second ---------------------------------------------------------------- */

static void test_limiter_paces_a_throttling_server(void **state)
{
    static const struct server servers[] = {
        {.kind = BUCKET, .rate = 50, .burst = 50, .retry_after_ms = 0, .latency_ms = 1},
        {.kind = BUCKET, .rate = 50, .burst = 50, .retry_after_ms = 1000, .latency_ms = 1},
        {.kind = BUCKET, .rate = 50, .burst = 1, .retry_after_ms = 0, .latency_ms = 1},
        {.kind = BUCKET, .rate = 50, .burst = 1, .retry_after_ms = 1000, .latency_ms = 1},
        {.kind = BUCKET, .rate = 50, .burst = 5, .retry_after_ms = 0, .latency_ms = 40},
        {.kind = BUCKET, .rate = 50, .burst = 5, .retry_after_ms = 1000, .latency_ms = 40},
        {.kind = BUCKET, .rate = 50, .burst = 5, .retry_after_ms = 1000, .latency_ms = 1},
        {.kind = BUCKET, .rate = 50, .burst = 50, .retry_after_ms = 0, .latency_ms = 250},
        {.kind = BUCKET, .rate = 50, .burst = 50, .retry_after_ms = 1000, .latency_ms = 250},
        {.kind = FIXED_WINDOW, .rate = 50, .burst = 50, .retry_after_ms = 0, .latency_ms = 1},
        {.kind = FIXED_WINDOW, .rate = 50, .burst = 50, .retry_after_ms = 0, .latency_ms = 100},
        {.kind = FIXED_WINDOW, .rate = 50, .burst = 50, .retry_after_ms = 1000, .latency_ms = 1},
        {.kind = BUCKET, .rate = 500, .burst = 500, .retry_after_ms = 0, .latency_ms = 10},
        {.kind = BUCKET, .rate = 500, .burst = 20, .retry_after_ms = 1000, .latency_ms = 10},
    };
    static const int maxima[] = {16, 256};

    (void)state;
    for (size_t i = 0; i < sizeof servers / sizeof *servers; i++) {
        for (size_t k = 0; k < sizeof maxima / sizeof *maxima; k++) {
            struct run *r = begin(&(struct limiter_options){.max = maxima[k]}, &servers[i]);
            const int64_t ideal = 40000, total = 40 * (int64_t)servers[i].rate;
            const int64_t took = simulate(r, total, 4 * ideal);
            if (getenv("LIMITER_SHOW") != NULL)
                print_message("server %zu max %d: %lld ms, refused %lld, least %d\n", i, maxima[k],
                              (long long)took, (long long)r->server.refused, r->least_limit);
            if (took * 10 > ideal * 13)
                fail_msg("server %zu, at most %d: %lld ms", i, maxima[k], (long long)took);
            assert_true(r->least_limit >= 1);
            assert_true(r->server.refused < total / 4);
            end(r);
        }
    }
}

/* A run of ten seconds: what finding the rate costs is not made up for by what follows. */
static void test_limiter_finds_the_rate_soon(void **state)
{
    static const struct server servers[] = {
        {.kind = BUCKET, .rate = 50, .burst = 6, .retry_after_ms = 0, .latency_ms = 1},
        {.kind = BUCKET, .rate = 50, .burst = 6, .retry_after_ms = 1000, .latency_ms = 1},
        {.kind = BUCKET, .rate = 50, .burst = 50, .retry_after_ms = 1000, .latency_ms = 1},
        {.kind = FIXED_WINDOW, .rate = 50, .burst = 50, .retry_after_ms = 0, .latency_ms = 1},
        {.kind = FIXED_WINDOW, .rate = 50, .burst = 50, .retry_after_ms = 1000, .latency_ms = 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof servers / sizeof *servers; i++) {
        for (int64_t phase = 0; phase < 1000; phase += 100) {
            struct run *r = begin(&(struct limiter_options){.max = 64}, &servers[i]);
            r->now_ms += phase;
            r->server.counted_ms = r->now_ms;
            const int64_t took = simulate(r, 500, 40000);
            if (took * 100 > 10000 * 125)
                fail_msg("server %zu, phase %lld: %lld ms", i, (long long)phase, (long long)took);
            assert_true(r->server.refused < 500 / 5);
            end(r);
        }
    }
}

/* A server that takes less from one moment to the next, and then more again. */
static void test_limiter_follows_a_server_whose_rate_changes(void **state)
{
    struct run *r = begin(&(struct limiter_options){.max = 64},
                          &(struct server){.rate = 200, .burst = 20, .latency_ms = 5});
    struct limiter_state s;

    (void)state;
    assert_true(simulate(r, 4000, 60000) < 26000);
    r->server.rate = 40;
    assert_true(simulate(r, 800, 60000) < 26000);
    limiter_look(r->limiter, &s);
    assert_true(s.per_second > 20 && s.per_second < 80);
    r->server.rate = 0; /* any number */
    assert_true(simulate(r, 40000, 90000) < 90000);
    end(r);
}

static void test_limiter_leaves_a_willing_server_alone(void **state)
{
    struct run *r = begin(&(struct limiter_options){.max = 16}, &(struct server){.latency_ms = 10});
    struct limiter_state s;

    (void)state;
    assert_true(simulate(r, 16000, 60000) < 12000);
    limiter_look(r->limiter, &s);
    assert_true(s.per_second == 0.0);
    assert_int_equal(s.throttled, 0);
    assert_int_equal(s.limit, 16);
    end(r);
}

/* ---- concurrency --------------------------------------------------------------------------------------------------- */

static void test_limiter_grows_while_throughput_rises(void **state)
{
    struct run *far =
        begin(&(struct limiter_options){.max = 256}, &(struct server){.latency_ms = 20});
    struct run *small = begin(&(struct limiter_options){.max = 256},
                              &(struct server){.latency_ms = 20, .capacity = 24});

    (void)state;
    simulate(far, 60000, 60000);
    simulate(small, 20000, 60000);
    assert_int_equal(far->most_under_way, 256);
    assert_true(small->most_under_way < 70); /* more of them bring nothing */
    assert_true(small->least_limit >= 16);
    end(far);
    end(small);
}

static void tell(struct limiter *l, struct limiter_client *c, enum limiter_outcome outcome,
                 int64_t now_ms)
{
    struct limiter_ticket t = {.key = 1};
    int64_t wait_ms;

    assert_int_equal(limiter_admit(l, c, &t, now_ms, &wait_ms), LIMITER_GO);
    limiter_done(l, c, &t, &(struct limiter_report){.outcome = outcome}, now_ms);
}

static void test_limiter_decreases_once_a_round_trip(void **state)
{
    struct limiter_client c;
    struct limiter_ticket t[16] = {{0}};
    struct limiter_state s;
    struct limiter *l;
    int64_t wait_ms;

    (void)state;
    assert_int_equal(limiter_new(&l, &(struct limiter_options){.max = 16}, NULL), ERR_OK);
    limiter_join(l, &c);
    for (int i = 0; i < 16; i++)
        assert_int_equal(limiter_admit(l, &c, &t[i], 1000, &wait_ms), LIMITER_GO);
    assert_int_equal(limiter_admit(l, &c, &(struct limiter_ticket){0}, 1000, &wait_ms),
                     LIMITER_WAIT);
    for (int i = 0; i < 16; i++)
        limiter_done(l, &c, &t[i], &(struct limiter_report){.outcome = LIMITER_OVERLOAD}, 1100);
    limiter_look(l, &s);
    assert_int_equal(s.limit, 11);
    for (int i = 0; i < 50; i++)
        tell(l, &c, LIMITER_OVERLOAD, 1200 + i);
    limiter_look(l, &s);
    assert_int_equal(s.limit, 1); /* never none */
    for (int i = 0; i < 20; i++)
        tell(l, &c, LIMITER_ANSWERED, 2000 + i);
    limiter_leave(l, &c);
    limiter_free(l);
}

static void test_limiter_waits_as_long_as_it_is_asked_to(void **state)
{
    struct limiter_client c;
    struct limiter_ticket t = {0};
    struct limiter *l;
    int64_t wait_ms;

    (void)state;
    assert_int_equal(limiter_new(&l, &(struct limiter_options){0}, NULL), ERR_OK);
    limiter_join(l, &c);
    assert_int_equal(limiter_admit(l, &c, &t, 5000, &wait_ms), LIMITER_GO);
    assert_true(limiter_done(
        l, &c, &t, &(struct limiter_report){.outcome = LIMITER_THROTTLED, .retry_after_ms = 3000},
        5010));
    assert_int_equal(limiter_admit(l, &c, &t, 5020, &wait_ms), LIMITER_WAIT);
    assert_int_equal(wait_ms, 2990);
    assert_int_equal(limiter_admit(l, &c, &t, 8009, &wait_ms), LIMITER_WAIT);
    assert_int_equal(limiter_admit(l, &c, &t, 9100, &wait_ms), LIMITER_GO);
    limiter_done(l, &c, &t,
                 &(struct limiter_report){.outcome = LIMITER_OVERLOAD, .retry_after_ms = 1 << 30},
                 9100);
    assert_int_equal(limiter_admit(l, &c, &t, 9101, &wait_ms), LIMITER_WAIT);
    assert_true(wait_ms <= 60000);
    limiter_leave(l, &c);
    limiter_free(l);
}

/* Two event loops with more to do than there is room for. */
static void test_limiter_shares_fairly(void **state)
{
    struct limiter_client a, b;
    struct limiter_ticket t = {0};
    struct limiter *l;
    int64_t wait_ms;
    int n = 0, m = 0;

    (void)state;
    assert_int_equal(limiter_new(&l, &(struct limiter_options){.max = 8}, NULL), ERR_OK);
    limiter_join(l, &a);
    limiter_join(l, &b);
    while (limiter_admit(l, &a, &t, 1000, &wait_ms) == LIMITER_GO)
        n++;
    assert_int_equal(n, 8); /* nobody else wants any */
    limiter_waiting(l, &b, true);
    for (int i = 0; i < 4; i++) {
        limiter_done(l, &a, &t, &(struct limiter_report){.outcome = LIMITER_ANSWERED}, 1001);
        assert_int_equal(limiter_admit(l, &a, &t, 1001, &wait_ms), LIMITER_WAIT);
        m += limiter_admit(l, &b, &t, 1001, &wait_ms) == LIMITER_GO;
    }
    assert_int_equal(m, 4);
    limiter_done(l, &a, &t, &(struct limiter_report){.outcome = LIMITER_ANSWERED}, 1002);
    assert_int_equal(limiter_admit(l, &b, &t, 1002, &wait_ms), LIMITER_GO); /* a does not wait */
    limiter_leave(l, &a);
    limiter_leave(l, &b);
    limiter_free(l);
}

static void test_limiter_spaces_writes_of_one_key(void **state)
{
    struct limiter_client c;
    struct limiter_ticket w = {.key = limiter_key("a/b"), .writes = true};
    struct limiter_ticket other = {.key = limiter_key("a/c"), .writes = true};
    struct limiter_ticket look = {.key = limiter_key("a/b")};
    struct limiter *l;
    int64_t wait_ms;

    (void)state;
    assert_int_equal(limiter_new(&l, &(struct limiter_options){.key_spacing_ms = 1000}, NULL),
                     ERR_OK);
    limiter_join(l, &c);
    assert_int_equal(limiter_admit(l, &c, &w, 1000, &wait_ms), LIMITER_GO);
    assert_int_equal(limiter_admit(l, &c, &w, 1400, &wait_ms), LIMITER_WAIT_KEY);
    assert_int_equal(wait_ms, 600);
    assert_int_equal(limiter_admit(l, &c, &other, 1400, &wait_ms), LIMITER_GO);
    assert_int_equal(limiter_admit(l, &c, &look, 1400, &wait_ms), LIMITER_GO);
    assert_int_equal(limiter_admit(l, &c, &w, 2000, &wait_ms), LIMITER_GO);
    /* many keys are remembered without growing; the latest stands */
    for (uint64_t k = 1; k < 100000; k++) {
        struct limiter_ticket t = {.key = k * 7919, .writes = true};
        if (limiter_admit(l, &c, &t, 5000, &wait_ms) == LIMITER_GO)
            limiter_done(l, &c, &t, &(struct limiter_report){.outcome = LIMITER_ANSWERED}, 5000);
        assert_int_equal(limiter_admit(l, &c, &t, 5001, &wait_ms), LIMITER_WAIT_KEY);
    }
    assert_int_equal(limiter_key(NULL), 0);
    assert_true(limiter_key("") != 0);
    limiter_leave(l, &c);
    limiter_free(l);
}

/* ---- the circuit breaker ----------------------------------------------------------------------------------------------- */

static bool fail_silently(struct limiter *l, struct limiter_client *c, uint64_t key, int64_t now_ms)
{
    struct limiter_ticket t = {.key = key};
    int64_t wait_ms;

    assert_int_equal(limiter_admit(l, c, &t, now_ms, &wait_ms), LIMITER_GO);
    return limiter_done(l, c, &t, &(struct limiter_report){.outcome = LIMITER_SILENT}, now_ms);
}

static enum limiter_circuit circuit(struct limiter *l)
{
    struct limiter_state s;

    limiter_look(l, &s);
    return s.circuit;
}

static void test_limiter_opens_for_silence_on_different_keys(void **state)
{
    struct limiter_client c;
    struct limiter_ticket t = {.key = 99};
    struct limiter *l;
    int64_t wait_ms;

    (void)state;
    assert_int_equal(
        limiter_new(&l, &(struct limiter_options){.silent_keys = 3, .dead_ms = 10000}, NULL),
        ERR_OK);
    limiter_join(l, &c);
    for (int i = 0; i < 20; i++) /* one bad key is that key's trouble, and counts as its attempts */
        assert_false(fail_silently(l, &c, 7, 1000 + i));
    assert_int_equal(circuit(l), LIMITER_CLOSED);
    assert_false(fail_silently(l, &c, 8, 1100));
    tell(l, &c, LIMITER_ANSWERED, 1101); /* somebody is there */
    assert_false(fail_silently(l, &c, 8, 1102));
    assert_false(fail_silently(l, &c, 9, 1103));
    assert_true(fail_silently(l, &c, 10, 1104));
    assert_int_equal(circuit(l), LIMITER_OPEN);
    assert_int_equal(limiter_admit(l, &c, &t, 1105, &wait_ms), LIMITER_WAIT);
    assert_true(wait_ms > 0 && wait_ms < 1000);
    /* one probe, and only one */
    assert_int_equal(limiter_admit(l, &c, &t, 1105 + wait_ms, &wait_ms), LIMITER_GO);
    assert_int_equal(circuit(l), LIMITER_HALF_OPEN);
    struct limiter_ticket second = {.key = 98};
    assert_int_equal(limiter_admit(l, &c, &second, 2000, &wait_ms), LIMITER_WAIT);
    assert_true(wait_ms <= 100); /* the answer may be another loop's */
    limiter_done(l, &c, &t, &(struct limiter_report){.outcome = LIMITER_ANSWERED}, 2001);
    assert_int_equal(circuit(l), LIMITER_CLOSED);
    assert_int_equal(limiter_admit(l, &c, &second, 2002, &wait_ms), LIMITER_GO);
    limiter_leave(l, &c);
    limiter_free(l);
}

static void test_limiter_declares_a_silent_endpoint_dead(void **state)
{
    struct limiter_client c;
    struct limiter_ticket t = {.key = 99};
    struct limiter *l;
    int64_t wait_ms = 0, now = 1000;
    enum limiter_verdict v;
    int probes = 0;

    (void)state;
    assert_int_equal(
        limiter_new(&l, &(struct limiter_options){.silent_keys = 2, .dead_ms = 10000}, NULL),
        ERR_OK);
    limiter_join(l, &c);
    fail_silently(l, &c, 1, now);
    fail_silently(l, &c, 2, now);
    while ((v = limiter_admit(l, &c, &t, now, &wait_ms)) != LIMITER_DEAD) {
        if (v == LIMITER_GO) {
            probes++;
            assert_true(
                limiter_done(l, &c, &t, &(struct limiter_report){.outcome = LIMITER_SILENT}, now));
        } else {
            assert_int_equal(v, LIMITER_WAIT);
            now += wait_ms;
        }
        assert_true(now <= 11000);
    }
    assert_int_equal(now, 11000);
    assert_in_range(probes, 3, 10); /* few: it is not hammered */
    limiter_leave(l, &c);
    limiter_free(l);
}

/* A probe that was never sent proves nothing: the next request is the probe. */
static void test_limiter_gives_an_unsent_probe_back(void **state)
{
    struct limiter_client c;
    struct limiter_ticket t = {.key = 99};
    struct limiter *l;
    int64_t wait_ms;

    (void)state;
    assert_int_equal(limiter_new(&l, &(struct limiter_options){.silent_keys = 1}, NULL), ERR_OK);
    limiter_join(l, &c);
    fail_silently(l, &c, 1, 1000);
    assert_int_equal(limiter_admit(l, &c, &t, 2000, &wait_ms), LIMITER_GO);
    limiter_done(l, &c, &t, &(struct limiter_report){.outcome = LIMITER_UNSENT}, 2001);
    assert_int_equal(limiter_admit(l, &c, &t, 2001, &wait_ms), LIMITER_GO);
    limiter_leave(l, &c);
    limiter_free(l);
}

/* ---- threads ---------------------------------------------------------------------------------------------------------------- */

static void *hurry(void *user)
{
    struct limiter *l = user;
    struct limiter_client c;
    int64_t wait_ms, now = 1000;

    limiter_join(l, &c);
    for (int i = 0; i < 20000; i++) {
        struct limiter_ticket t = {.key = (uint64_t)(i % 50 + 1), .writes = true};
        limiter_waiting(l, &c, i % 3 == 0);
        now += i % 5 == 0;
        if (limiter_admit(l, &c, &t, now, &wait_ms) != LIMITER_GO)
            continue;
        limiter_done(
            l, &c, &t,
            &(struct limiter_report){.outcome = i % 400 == 0 ? LIMITER_THROTTLED : LIMITER_ANSWERED,
                                     .bytes = 100},
            now);
    }
    limiter_leave(l, &c);
    limiter_free(l);
    return NULL;
}

static void test_limiter_is_shared_by_threads(void **state)
{
    pthread_t thread[4];
    struct limiter_state s;
    struct limiter *l;

    (void)state;
    assert_int_equal(limiter_new(&l, &(struct limiter_options){.key_spacing_ms = 5}, NULL), ERR_OK);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, hurry, limiter_share(l)), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    limiter_look(l, &s);
    assert_int_equal(s.under_way, 0);
    assert_true(s.limit >= 1);
    limiter_free(l);
    limiter_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limiter_paces_a_throttling_server),
        cmocka_unit_test(test_limiter_finds_the_rate_soon),
        cmocka_unit_test(test_limiter_follows_a_server_whose_rate_changes),
        cmocka_unit_test(test_limiter_leaves_a_willing_server_alone),
        cmocka_unit_test(test_limiter_grows_while_throughput_rises),
        cmocka_unit_test(test_limiter_decreases_once_a_round_trip),
        cmocka_unit_test(test_limiter_waits_as_long_as_it_is_asked_to),
        cmocka_unit_test(test_limiter_shares_fairly),
        cmocka_unit_test(test_limiter_spaces_writes_of_one_key),
        cmocka_unit_test(test_limiter_opens_for_silence_on_different_keys),
        cmocka_unit_test(test_limiter_declares_a_silent_endpoint_dead),
        cmocka_unit_test(test_limiter_gives_an_unsent_probe_back),
        cmocka_unit_test(test_limiter_is_shared_by_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
