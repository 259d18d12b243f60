/* process: what the whole process needs once: no core files (P8), signals as flags, identity. */
#ifndef BLOBFERRY_BASE_PROCESS_H
#define BLOBFERRY_BASE_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
/* ALIVE only if it provably runs; everything that cannot be told from here is UNKNOWN. */
enum process_life { PROCESS_UNKNOWN, PROCESS_ALIVE, PROCESS_DEAD };
enum process_life process_owner_life(const char *owner);
/* Host and pid in an owner's name, for messages; false when it has another form. */
bool process_owner_host(const char *owner, char *host, size_t size, int64_t *pid);

#endif
