/*
 * measure FILE COMMAND ...: runs the command and writes to FILE, as JSON, its exit status, wall time, CPU time (with
 * that of the children it waited for) and peak memory.
 *
 * A program of its own because ru_maxrss begins with the memory of who forked: measured from Python, nothing takes
 * less than Python.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fputs("usage: measure FILE COMMAND ...\n", stderr);
        return 2;
    }
    double start = now();
    pid_t pid = fork();
    if (pid < 0) {
        perror("measure: fork");
        return 2;
    }
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execvp(argv[2], argv + 2);
        perror(argv[2]);
        _exit(127);
    }
    int status = 0;
    struct rusage use = {0};
    if (wait4(pid, &status, 0, &use) != pid) {
        perror("measure: wait4");
        return 2;
    }
    double wall = now() - start;
    FILE *out = fopen(argv[1], "w");
    if (!out) {
        perror(argv[1]);
        return 2;
    }
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    fprintf(out,
            "{\"code\": %d, \"wall\": %.6f, \"user\": %.6f, \"system\": %.6f, \"rss_kib\": %ld, "
            "\"voluntary\": %ld, \"involuntary\": %ld}\n",
            code, wall, seconds(use.ru_utime), seconds(use.ru_stime), use.ru_maxrss, use.ru_nvcsw,
            use.ru_nivcsw);
    return fclose(out) == 0 ? 0 : 2;
}
