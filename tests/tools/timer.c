/*
 * timer: run a command and say what it took. SPDX-License-Identifier: BSD-2-Clause
 *
 *   timer FILE COMMAND [ARG...]
 *
 * Appends one line to FILE: wall clock seconds, peak resident KiB, CPU
 * seconds. Ends with the command's own status.
 *
 * A small program of its own, because the peak that the kernel reports for a
 * child begins with the size of the process that started it.
 */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double seconds_between(const struct timespec *a, const struct timespec *b)
{
    return (double)(b->tv_sec - a->tv_sec) + (double)(b->tv_nsec - a->tv_nsec) / 1e9;
}

static double seconds(const struct timeval *t)
{
    return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

/* Runs the command to its end; its wait status, or -1. */
static int run(char **argv, double *wall, struct rusage *usage)
{
    struct timespec begin, end;
    int status = 0;
    pid_t pid;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    int error = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
    if (error) {
        fprintf(stderr, "timer: %s: %s\n", argv[0], strerror(error));
        return -1;
    }
    while (wait4(pid, &status, 0, usage) < 0) {
        if (errno != EINTR) {
            perror("timer: wait4");
            return -1;
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    *wall = seconds_between(&begin, &end);
    return status;
}

int main(int argc, char **argv)
{
    struct rusage usage;
    double wall;

    if (argc < 3) {
        fprintf(stderr, "usage: timer FILE COMMAND [ARG...]\n");
        return 2;
    }
    int status = run(argv + 2, &wall, &usage);
    if (status < 0)
        return 127;

    FILE *file = fopen(argv[1], "a");
    if (!file) {
        perror(argv[1]);
        return 127;
    }
    fprintf(file, "%.6f %ld %.6f\n", wall, usage.ru_maxrss,
            seconds(&usage.ru_utime) + seconds(&usage.ru_stime));
    if (fclose(file)) {
        perror(argv[1]);
        return 127;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
