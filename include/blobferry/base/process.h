/* process: what the whole process needs once: no core files (P8), signals as flags, identity. */
#ifndef BLOBFERRY_BASE_PROCESS_H
#define BLOBFERRY_BASE_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

/* RLIMIT_CORE 0, PR_SET_DUMPABLE 0, SIGPIPE and SIGXFSZ ignored, descriptors 0-2 open. */
void process_harden(void);

/* SIGINT, SIGTERM, SIGHUP set the stop flag; the second one of them calls _exit(128 + signal). */
void process_catch_signals(void);
bool process_stopping(void);
int process_stop_signal(void);           /* 0 when none */
void process_stop_for_tests(int signal); /* 0 clears */

/* "host:bootid:pidns:pid:starttime:random": names this process beyond pid reuse. */
#define PROCESS_OWNER_SIZE 192
void process_owner(char dst[PROCESS_OWNER_SIZE]);
/* True only if `owner` provably runs no more: same host name, boot id and pid namespace as ours, and no live
 * process (zombies count as dead) with that pid and start time. Unknown forms give false. */
bool process_owner_is_dead(const char *owner);

#endif
