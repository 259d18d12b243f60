/* process: no core files, signals as flags, and a name for this process that outlives its pid. */
#include "blobferry/base/process.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

/* The first three fields of an owner: where a pid means something. */
struct place {
    char host[65];
    char boot[48];
    char space[48]; /* inode of the pid namespace, '-', inode of the time namespace */
};

/* What /proc/PID/stat says of a process. */
struct life {
    char state;
    uint64_t threads;
    uint64_t start; /* clock ticks since boot */
};

static atomic_int stop_signal;
static pthread_mutex_t owner_lock = PTHREAD_MUTEX_INITIALIZER;
static char owner_text[PROCESS_OWNER_SIZE];
static pid_t owner_pid;

void process_harden(void)
{
    const struct rlimit none = {0, 0};

    setrlimit(RLIMIT_CORE, &none); /* P8 */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    signal(SIGPIPE, SIG_IGN); /* A4: EPIPE and EFBIG are errors like others */
    signal(SIGXFSZ, SIG_IGN);
    /* A file of ours that became descriptor 1 or 2 would receive our own messages. */
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
            _exit(1);
    }
}

static void on_signal(int number)
{
    int none = 0;
    if (!atomic_compare_exchange_strong(&stop_signal, &none, number))
        _exit(128 + number);
}

void process_catch_signals(void)
{
    /* No SA_RESTART: a wait that is interrupted looks at the flag. */
    struct sigaction action = {.sa_handler = on_signal};
    static const int interactive[] = {SIGINT, SIGHUP};
    struct sigaction before;

    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    for (size_t i = 0; i < sizeof interactive / sizeof *interactive; i++) {
        /* nohup(1), or a shell that put us in the background, asked that these be ignored. */
        if (sigaction(interactive[i], NULL, &before) != 0 || before.sa_handler != SIG_IGN)
            sigaction(interactive[i], &action, NULL);
    }
}

bool process_stopping(void)
{
    return atomic_load(&stop_signal) != 0;
}

int process_stop_signal(void)
{
    return atomic_load(&stop_signal);
}

void process_stop_for_tests(int signal)
{
    atomic_store(&stop_signal, signal);
}

/* A small file of /proc, as one string; false when it cannot be read. */
static bool read_proc(const char *path, char *dst, size_t size)
{
    ssize_t got;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    do {
        got = read(fd, dst, size - 1);
    } while (got < 0 && errno == EINTR);
    close(fd);
    if (got <= 0)
        return false;
    dst[got] = '\0';
    return true;
}

/* The inode in a link such as "pid:[4026531836]"; 0 when there is none. */
static uint64_t namespace_inode(const char *path)
{
    char text[64];
    uint64_t inode = 0;
    const ssize_t n = readlink(path, text, sizeof text - 1);

    if (n <= 0)
        return 0;
    text[n] = '\0';
    const char *open_bracket = strchr(text, '[');
    char *close_bracket = strchr(text, ']');
    if (open_bracket == NULL || close_bracket == NULL)
        return 0;
    *close_bracket = '\0';
    return str_to_u64(open_bracket + 1, &inode) ? inode : 0;
}

/* False when the host, the boot or the pid namespace cannot be told; the fields are then "-". */
static bool read_place(struct place *p)
{
    struct utsname uts;
    char boot[48] = "";
    /* Start times are counted in the time namespace, so that it belongs to the place. */
    const uint64_t pid_space = namespace_inode("/proc/self/ns/pid");
    const uint64_t time_space = namespace_inode("/proc/self/ns/time");

    *p = (struct place){.host = "-", .boot = "-", .space = "-"};
    const bool named = uname(&uts) == 0 && uts.nodename[0] != '\0';
    if (named)
        str_copy(p->host, sizeof p->host, uts.nodename);
    const bool booted = read_proc("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    boot[strcspn(boot, "\n")] = '\0';
    if (booted && boot[0] != '\0')
        str_copy(p->boot, sizeof p->boot, boot);
    if (pid_space != 0)
        snprintf(p->space, sizeof p->space, "%" PRIu64 "-%" PRIu64, pid_space, time_space);
    for (char *c = p->host; *c != '\0'; c++) {
        if (*c == ':' || *c <= ' ' || *c > '~')
            *c = '_';
    }
    return named && booted && pid_space != 0;
}

/* Fields 3, 20 and 22 of /proc/PID/stat; the name in field 2 may hold anything, even ") Z 1". */
static bool read_life(const char *path, struct life *life)
{
    char text[1024];
    unsigned field = 3;

    if (!read_proc(path, text, sizeof text))
        return false;
    char *rest = strrchr(text, ')');
    if (rest == NULL || rest[1] != ' ')
        return false;
    rest += 2;
    for (char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " "), field++) {
        if (field == 3)
            life->state = word[0];
        else if (field == 20 && !str_to_u64(word, &life->threads))
            return false;
        else if (field == 22)
            return str_to_u64(word, &life->start);
    }
    return false;
}

void process_owner(char dst[PROCESS_OWNER_SIZE])
{
    const pid_t pid = getpid();
    struct place place;
    struct life life = {0};
    uint64_t random;

    pthread_mutex_lock(&owner_lock);
    if (owner_pid != pid) { /* first call, or a child of the process that made the name */
        read_place(&place);
        if (!read_life("/proc/self/stat", &life))
            life.start = 0;
        clock_random(&random, sizeof random);
        snprintf(owner_text, sizeof owner_text, "%s:%s:%s:%d:%" PRIu64 ":%016" PRIx64, place.host,
                 place.boot, place.space, (int)pid, life.start, random);
        owner_pid = pid;
    }
    str_copy(dst, PROCESS_OWNER_SIZE, owner_text);
    pthread_mutex_unlock(&owner_lock);
}

/* True if /proc shows the pid namespace we live in, so that its numbers are ours. */
static bool proc_is_ours(void)
{
    char text[32];
    uint64_t pid;
    const ssize_t n = readlink("/proc/self", text, sizeof text - 1);

    if (n <= 0)
        return false;
    text[n] = '\0';
    return str_to_u64(text, &pid) && pid == (uint64_t)getpid();
}

static enum process_life life_of(pid_t pid, uint64_t start)
{
    char path[48];
    struct life life = {0};

    if (kill(pid, 0) != 0 && errno == ESRCH)
        return PROCESS_DEAD;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (!proc_is_ours() || !read_life(path, &life))
        return PROCESS_UNKNOWN; /* somebody is there, and nothing proves that it is another */
    if (life.start != start)
        return PROCESS_DEAD;
    /* A zombie leader whose other threads still run is alive. */
    return (life.state == 'Z' || life.state == 'X') && life.threads <= 1 ? PROCESS_DEAD
                                                                         : PROCESS_ALIVE;
}

#define OWNER_FIELDS 6

/* The fields of an owner's name, in text; false for anything else. */
static bool split(const char *owner, char text[PROCESS_OWNER_SIZE], char *field[OWNER_FIELDS])
{
    char *rest = text;

    if (owner == NULL || !str_copy(text, PROCESS_OWNER_SIZE, owner))
        return false;
    for (size_t i = 0; i < OWNER_FIELDS; i++) {
        field[i] = strsep(&rest, ":");
        if (field[i] == NULL || field[i][0] == '\0')
            return false;
    }
    return rest == NULL;
}

enum process_life process_owner_life(const char *owner)
{
    char text[PROCESS_OWNER_SIZE];
    char *field[OWNER_FIELDS];
    struct place here;
    uint64_t pid;
    uint64_t start;

    if (!split(owner, text, field) || !read_place(&here) || !str_eq(field[0], here.host) ||
        !str_eq(field[1], here.boot) || !str_eq(field[2], here.space))
        return PROCESS_UNKNOWN;
    if (!str_to_u64(field[3], &pid) || pid == 0 || pid > INT_MAX || !str_to_u64(field[4], &start) ||
        start == 0)
        return PROCESS_UNKNOWN;
    return life_of((pid_t)pid, start);
}

bool process_owner_is_dead(const char *owner)
{
    return process_owner_life(owner) == PROCESS_DEAD;
}

bool process_owner_host(const char *owner, char *host, size_t size, int64_t *pid)
{
    char text[PROCESS_OWNER_SIZE];
    char *field[OWNER_FIELDS];
    uint64_t number;

    if (!split(owner, text, field) || !str_to_u64(field[3], &number) || number == 0 ||
        number > INT_MAX)
        return false;
    *pid = (int64_t)number;
    return str_copy(host, size, field[0]);
}
