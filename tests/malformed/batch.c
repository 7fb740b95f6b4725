/*
 * Many trials in a child process, watched from outside. SPDX-License-Identifier: BSD-2-Clause
 *
 * The child notes in shared memory which trial it is at. When it dies or stands still, that
 * trial has failed, and another child goes on with the next one. Memory is limited
 * to what the child has at its start and 256 MiB for the library, the most that an image may
 * make it allocate.
 */
#include "../sanitized.h"
#include "malformed.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)
#define MEMORY_LIMIT (256 * MIB)
/* Threads' stacks and the target's own buffers, which no image has a say in. */
#define MEMORY_SLACK (96 * MIB)
#define HANG_SECONDS 20
#define FAILURES_SHOWN 20

struct board {
    atomic_size_t next; /* the trial that is running, or the first not yet run */
    atomic_size_t failures;
};

#ifdef SANITIZED
/* Sanitizers reserve address space without end: AddressSanitizer itself refuses large blocks
 * instead. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "max_allocation_size_mb=256:hard_rss_limit_mb=1024:detect_leaks=1:exitcode=134";
}
#endif

void complain(char complaint[COMPLAINT_MAX], const char *format, ...)
{
    va_list args;

    if (complaint[0])
        return;
    va_start(args, format);
    vsnprintf(complaint, COMPLAINT_MAX, format, args);
    va_end(args);
}

static void limit_memory(void)
{
#ifndef SANITIZED
    struct rlimit limit;
    pthread_attr_t attr;
    unsigned long pages = 0;
    FILE *self = fopen("/proc/self/statm", "re");

    if (!self || fscanf(self, "%lu", &pages) != 1)
        abort();
    fclose(self);
    mallopt(M_ARENA_MAX, 1); /* an arena reserves 64 MiB or more of addresses */
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, MIB);
    pthread_setattr_default_np(&attr);
    pthread_attr_destroy(&attr);
    limit.rlim_cur = pages * (rlim_t)sysconf(_SC_PAGESIZE) + MEMORY_LIMIT + MEMORY_SLACK;
    limit.rlim_max = limit.rlim_cur;
    if (setrlimit(RLIMIT_AS, &limit) < 0)
        abort();
#endif
}

static void show(const struct batch *batch, struct board *board, size_t n, const char *complaint)
{
    char text[200] = "";

    if (atomic_fetch_add(&board->failures, 1) >= FAILURES_SHOWN)
        return;
    batch->describe(batch->opaque, n, text, sizeof(text));
    printf("not ok - %s: %s: %s\n", batch->title, text, complaint);
    fflush(stdout);
}

static void run_in_child(const struct batch *batch, struct board *board)
{
    limit_memory();
    for (size_t n = atomic_load(&board->next); n < batch->count; n++) {
        char complaint[COMPLAINT_MAX] = "";

        atomic_store(&board->next, n);
        batch->run(batch->opaque, n, complaint);
        if (complaint[0])
            show(batch, board, n, complaint);
    }
    atomic_store(&board->next, batch->count);
    fflush(stdout);
    exit(0); /* not _exit: LeakSanitizer looks at what is left here */
}

/* Wait until the child is gone; kill it when it stays too long at one trial. Returns its status. */
static int watch(pid_t child, struct board *board, bool *hung)
{
    const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
    size_t seen = atomic_load(&board->next);
    time_t since = time(NULL);
    int status;

    *hung = false;
    while (waitpid(child, &status, WNOHANG) == 0) {
        size_t now = atomic_load(&board->next);

        if (now != seen) {
            seen = now;
            since = time(NULL);
        } else if (time(NULL) - since > HANG_SECONDS && !*hung) {
            *hung = true;
            kill(child, SIGKILL);
        }
        nanosleep(&pause, NULL);
    }
    return status;
}

/* Run one child over what is left. Returns false when nothing is. */
static bool run_rest(const struct batch *batch, struct board *board)
{
    char complaint[COMPLAINT_MAX] = "";
    bool hung;
    int status;
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0)
        run_in_child(batch, board);
    if (child < 0)
        abort();
    status = watch(child, board, &hung);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return false;
    if (hung)
        complain(complaint, "hangs");
    else if (WIFSIGNALED(status))
        complain(complaint, "dies with signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        complain(complaint, "ends the process with status %d", WEXITSTATUS(status));
    show(batch, board, atomic_load(&board->next), complaint);
    return atomic_fetch_add(&board->next, 1) + 1 < batch->count;
}

size_t batch_run(const struct batch *batch)
{
    struct board *board =
        mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    size_t failures;

    if (board == MAP_FAILED)
        abort();
    while (run_rest(batch, board)) {
    }
    failures = atomic_load(&board->failures);
    munmap(board, sizeof(*board));
    printf("%s - %s: %zu of %zu\n", failures ? "not ok" : "ok", batch->title,
           batch->count - failures, batch->count);
    return failures;
}

int batch_report(size_t total, size_t failures)
{
    printf("%zu passed, %zu failed\n", total - failures, failures);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
