/* state: names of the statuses, the table of legal moves, and what a batch's rows make of it. */
#include "blobferry/model/state.h"

#include <stddef.h>
#include <string.h>

static const char *const file_names[FILE_STATUS_COUNT] = {
    [FILE_PENDING] = "pending",     [FILE_PROCESSING] = "processing",
    [FILE_COMPLETED] = "completed", [FILE_VERIFIED] = "verified",
    [FILE_FAILED] = "failed",       [FILE_ROLLED_BACK] = "rolled_back",
    [FILE_UNKNOWN] = "unknown",
};

#define BATCH_STATUS_COUNT (BATCH_UNKNOWN + 1)

static const char *const batch_names[BATCH_STATUS_COUNT] = {
    [BATCH_PENDING] = "pending",     [BATCH_PROCESSING] = "processing",
    [BATCH_COMPLETED] = "completed", [BATCH_PARTIAL] = "partial",
    [BATCH_FAILED] = "failed",       [BATCH_ROLLED_BACK] = "rolled_back",
    [BATCH_UNKNOWN] = "unknown",
};

/* moves[from][to]. What is not named here is illegal: FILE_UNKNOWN has neither row nor column, so
 * that a status we do not know is never overwritten by a guess. */
static const bool moves[FILE_STATUS_COUNT][FILE_STATUS_COUNT] = {
    [FILE_PENDING] = {[FILE_PROCESSING] = true},
    [FILE_PROCESSING] = {[FILE_PROCESSING] = true, /* lease taken over */
                         [FILE_COMPLETED] = true,
                         [FILE_FAILED] = true,
                         [FILE_PENDING] = true}, /* released */
    [FILE_COMPLETED] = {[FILE_VERIFIED] = true, [FILE_FAILED] = true, [FILE_ROLLED_BACK] = true},
    [FILE_VERIFIED] = {[FILE_FAILED] = true, [FILE_ROLLED_BACK] = true},
    [FILE_FAILED] = {[FILE_PROCESSING] = true, [FILE_ROLLED_BACK] = true},
    [FILE_ROLLED_BACK] = {[FILE_PENDING] = true},
};

/* Enums may come from a cast; an index outside the table must not read beside it. */
static bool known_file(enum file_status s)
{
    return (unsigned)s < FILE_STATUS_COUNT;
}

const char *state_file_name(enum file_status s)
{
    return known_file(s) ? file_names[s] : file_names[FILE_UNKNOWN];
}

enum file_status state_file_parse(const char *text)
{
    if (text == NULL)
        return FILE_UNKNOWN;
    for (unsigned i = 0; i < FILE_UNKNOWN; i++) {
        if (strcmp(text, file_names[i]) == 0)
            return (enum file_status)i;
    }
    return FILE_UNKNOWN;
}

const char *state_batch_name(enum batch_status s)
{
    return (unsigned)s < BATCH_STATUS_COUNT ? batch_names[s] : batch_names[BATCH_UNKNOWN];
}

enum batch_status state_batch_parse(const char *text)
{
    if (text == NULL)
        return BATCH_UNKNOWN;
    for (unsigned i = 0; i < BATCH_UNKNOWN; i++) {
        if (strcmp(text, batch_names[i]) == 0)
            return (enum batch_status)i;
    }
    return BATCH_UNKNOWN;
}

bool state_move_legal(enum file_status from, enum file_status to)
{
    return known_file(from) && known_file(to) && moves[from][to];
}

int64_t state_counts_total(const struct state_counts *c)
{
    int64_t total = 0;
    for (size_t i = 0; i < FILE_STATUS_COUNT; i++)
        total += c->by[i];
    return total;
}

int64_t state_counts_completed(const struct state_counts *c)
{
    return c->by[FILE_COMPLETED] + c->by[FILE_VERIFIED];
}

enum batch_status state_batch_derive(const struct state_counts *c)
{
    const int64_t total = state_counts_total(c);
    const int64_t pending = c->by[FILE_PENDING];
    const int64_t sent = state_counts_completed(c);
    const int64_t ended = sent + c->by[FILE_FAILED] + c->by[FILE_ROLLED_BACK];

    if (pending == total) /* an empty batch is here too */
        return BATCH_PENDING;
    if (c->by[FILE_PROCESSING] > 0 || (pending > 0 && ended > 0))
        return BATCH_PROCESSING;
    if (sent == total)
        return BATCH_COMPLETED;
    if (c->by[FILE_FAILED] == total)
        return BATCH_FAILED;
    if (c->by[FILE_ROLLED_BACK] == total)
        return BATCH_ROLLED_BACK;
    return BATCH_PARTIAL;
}
