/* upkeep: `db check` and `db upgrade`: what the tracker finds and does, with the audit around what is written. */
#ifndef BLOBFERRY_ENGINE_UPKEEP_H
#define BLOBFERRY_ENGINE_UPKEEP_H

#include "blobferry/engine/engine.h"
#include "blobferry/track/tracker_check.h"

struct upkeep_check_result {
    struct tracker_check_totals totals;
    int64_t fixed; /* batches whose counters were set right */
};
/* fix: counters and status of batches, which follow from the rows, are set right first. ERR_NOTFOUND: there is no row in any of the three
 * tables, so nothing was checked (P9). ERR_PARTIAL: something was found. */
enum err_code upkeep_check(const struct engine *g, bool fix, tracker_finding_fn *fn, void *user,
                           struct upkeep_check_result *out, struct err *e);

struct upkeep_upgrade_result {
    int64_t done;    /* steps */
    int64_t missing; /* steps that were only told */
};
enum err_code upkeep_upgrade(const struct engine *g, const struct tracker_upgrade *o,
                             tracker_step_fn *fn, void *user, struct upkeep_upgrade_result *out,
                             struct err *e);

#endif
