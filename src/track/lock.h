/* lock: what the drivers share of locking batches: how modes are written, and how a lock that is held is told. */
#ifndef BLOBFERRY_TRACK_LOCK_H
#define BLOBFERRY_TRACK_LOCK_H

#include "blobferry/track/tracker.h"

#define LOCK_OWNER_MAX 512

const char *lock_mode_name(enum tracker_lock_mode m);
/* ERR_CONFLICT, retryable, naming the holder; batch_id "*" is all batches. */
enum err_code lock_refuse(const char *batch_id, const char *holder, const char *mode,
                          struct err *e);

#endif
