#include "blobferry/base/process.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static volatile sig_atomic_t stop_signal;

void process_harden(void)
{
    struct rlimit none = {0, 0};

    /* descriptors 0 to 2 must not become somebody's database */
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) < 0)
            _exit(1);
    }
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

static void on_signal(int number)
{
    if (stop_signal != 0)
        _exit(128 + number);
    stop_signal = number;
}

void process_catch_signals(void)
{
    static const int caught[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal; /* without SA_RESTART: waits end early */
    for (size_t i = 0; i < sizeof caught / sizeof *caught; i++) {
        struct sigaction old;
        /* nohup(1) means it */
        if (sigaction(caught[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN)
            continue;
        sigaction(caught[i], &action, NULL);
    }
}

bool process_stopping(void)
{
    return stop_signal != 0;
}

int process_stop_signal(void)
{
    return stop_signal;
}

void process_stop_for_tests(int number)
{
    stop_signal = number;
}

/* ---- identity ----------------------------------------------------------------------------------- */

/* First bytes of a small file of /proc, without the line's end; false when it cannot be read. */
static bool read_small(const char *path, char *dst, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, dst, size - 1) : -1;

    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return false;
    dst[n] = '\0';
    dst[strcspn(dst, "\n")] = '\0';
    return true;
}

struct place {
    char host[65];
    char boot[37];
    uint64_t pid_namespace;
};

static bool here(struct place *p)
{
    char link[64];
    ssize_t n = readlink("/proc/self/ns/pid", link, sizeof link - 1);
    unsigned long long ns = 0;

    memset(p, 0, sizeof *p);
    if (gethostname(p->host, sizeof p->host - 1) != 0 || p->host[0] == '\0')
        return false;
    for (char *c = p->host; *c != '\0'; c++) {
        if (*c == ':' || (unsigned char)*c <= 0x20)
            *c = '_';
    }
    if (n > 0) {
        link[n] = '\0';
        if (sscanf(link, "pid:[%llu]", &ns) != 1)
            ns = 0;
    }
    p->pid_namespace = ns;
    return read_small("/proc/sys/kernel/random/boot_id", p->boot, sizeof p->boot);
}

/* State letter and start time in clock ticks since boot (proc(5), fields 3 and 22). */
static bool process_stat(long pid, char *state, unsigned long long *start)
{
    char path[64], text[1024];
    const char *at;

    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    if (!read_small(path, text, sizeof text) || (at = strrchr(text, ')')) == NULL)
        return false;
    return sscanf(
               at + 1,
               " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               state, start) == 2;
}

void process_owner(char dst[PROCESS_OWNER_SIZE])
{
    struct place p;
    char state, random[CLOCK_UUID_SIZE];
    unsigned long long start = 0;
    long pid = (long)getpid();

    clock_uuid(random);
    if (!here(&p))
        str_copy(p.boot, sizeof p.boot,
                 "unknown"); /* then nobody can prove our death: expiry decides */
    if (!process_stat(pid, &state, &start))
        start = 0;
    snprintf(dst, PROCESS_OWNER_SIZE, "%s:%s:%llu:%ld:%llu:%.8s", p.host, p.boot,
             (unsigned long long)p.pid_namespace, pid, start, random + 28);
}

bool process_owner_is_dead(const char *owner)
{
    struct place p;
    char host[65], boot[37], state = '?';
    unsigned long long ns, start, now_start;
    long pid;
    int end = 0;

    if (owner == NULL || !here(&p) || p.pid_namespace == 0 ||
        sscanf(owner, "%64[^:]:%36[^:]:%llu:%ld:%llu:%n", host, boot, &ns, &pid, &start, &end) !=
            5 ||
        end == 0 || pid <= 0 || start == 0)
        return false;
    if (!str_eq(host, p.host) || !str_eq(boot, p.boot) || ns != p.pid_namespace)
        return false;
    if (!process_stat(pid, &state, &now_start)) {
        /* only a /proc that shows our own process may testify that another is not there (hidepid) */
        char path[64];
        snprintf(path, sizeof path, "/proc/%ld", pid);
        return access(path, F_OK) != 0 && errno == ENOENT && kill((pid_t)pid, 0) != 0 &&
               errno == ESRCH;
    }
    return now_start != start || state == 'Z' || state == 'X';
}
