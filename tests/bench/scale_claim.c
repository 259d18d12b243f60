/* scale_claim URL BATCH CLAIMS ROWS: what a claim costs, in microseconds: "median slowest rows" on one line. Each claim leases ROWS rows
 * behind the one before, as migrate does; at the end all are given back, so that the next measurement finds the table as it was. */
#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "blobferry/track/tracker.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CLAIMS_MAX 1000
#define OWNER      "scale-claim"

static int64_t microseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int by_size(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static enum err_code measure(struct tracker *t, const char *batch, size_t claims, size_t rows,
                             int64_t took[CLAIMS_MAX], int64_t *got, struct err *e)
{
    struct record_list list;
    char *after = NULL;
    enum err_code code = ERR_OK;

    record_list_init(&list, 0);
    for (size_t i = 0; code == ERR_OK && i < claims; i++) {
        const int64_t began = microseconds();

        code = tracker_claim(t,
                             &(struct tracker_claim){.batch_ids = &batch,
                                                     .batch_count = 1,
                                                     .owner = OWNER,
                                                     .now_ms = clock_wall_ms(),
                                                     .lease_ms = 600000,
                                                     .limit = rows,
                                                     .after_id = after},
                             &list, e);
        took[i] = microseconds() - began;
        if (code == ERR_OK && list.len == 0)
            code = err_set(e, ERR_NOTFOUND, "nothing left to claim after %zu claims", i);
        *got += (int64_t)list.len;
        free(after);
        after = code == ERR_OK ? str_dup(list.items[list.len - 1].id) : NULL;
    }
    free(after);
    record_list_release(&list);
    return code;
}

int main(int argc, char **argv)
{
    static int64_t took[CLAIMS_MAX];
    struct tracker *t = NULL;
    struct err e;
    int64_t got = 0, released = 0;
    uint64_t claims, rows;

    err_init(&e);
    if (argc != 5 || !str_to_u64(argv[3], &claims) || !str_to_u64(argv[4], &rows) || claims < 1 ||
        claims > CLAIMS_MAX || rows < 1) {
        fprintf(stderr, "usage: scale_claim URL BATCH CLAIMS ROWS\n");
        return 2;
    }
    enum err_code code = tracker_open(&t, &(struct tracker_options){.url = argv[1]}, &e);
    if (code == ERR_OK)
        code = measure(t, argv[2], claims, rows, took, &got, &e);
    if (code == ERR_OK)
        code = tracker_release(t, OWNER, &released, &e);
    if (code == ERR_OK && released != got)
        code = err_set(&e, ERR_GENERAL, "%lld rows claimed, %lld given back", (long long)got,
                       (long long)released);
    tracker_close(t);
    if (code != ERR_OK) {
        fprintf(stderr, "scale_claim: %s\n", e.message);
        return 1;
    }
    qsort(took, claims, sizeof *took, by_size);
    printf("%lld %lld %lld\n", (long long)took[claims / 2], (long long)took[claims - 1],
           (long long)got);
    return 0;
}
