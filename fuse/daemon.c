/*
 * Mounting, answering, unmounting. SPDX-License-Identifier: BSD-2-Clause
 *
 * The workers read requests from the kernel and answer them, each on its own. The main thread waits
 * for what ends this: a signal, the end of a worker, which is how an unmount by somebody else is
 * noticed, or nobody's having asked for anything for a while. Signals are blocked in all threads
 * and taken by sigtimedwait(2), so that none is lost and none interrupts a request.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "view.h"

#define READ_AHEAD_KIB 1024 /* the most that the kernel asks for at once */
#define WORKERS_MIN 4       /* while some wait for a disk, others answer */
#define WORKERS_MAX 16
#define IDLE_LOOKS 4 /* looks in the time after which it is idle */
#define WORKER_ENDED SIGUSR1

struct worker {
    struct daemon *daemon;
    pthread_t thread;
    struct fuse_buf buffer;
    atomic_ullong requests;
};

struct daemon {
    struct log *log;
    struct fuse_session *fuse;
    const char *directory;
    pthread_t main;
    sigset_t signals;
    struct worker workers[WORKERS_MAX];
    unsigned count;
    dev_t device; /* of what is mounted */
};

/* ---------------------------------------------------------------- workers */

static void *work(void *opaque)
{
    struct worker *worker = opaque;
    struct fuse_session *fuse = worker->daemon->fuse;
    int state, rc;

    while (!fuse_session_exited(fuse)) {
        /* Waiting for a request is what may be cancelled; answering one is not. */
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
        rc = fuse_session_receive_buf(fuse, &worker->buffer);
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
        if (rc == -EINTR || rc == -EAGAIN)
            continue;
        if (rc <= 0)
            break;
        atomic_fetch_add_explicit(&worker->requests, 1, memory_order_relaxed);
        fuse_session_process_buf(fuse, &worker->buffer);
    }
    pthread_kill(worker->daemon->main, WORKER_ENDED);
    return NULL;
}

static bool start_workers(struct daemon *daemon)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned wanted = WORKERS_MIN;

    if (processors > WORKERS_MIN)
        wanted = processors > WORKERS_MAX ? WORKERS_MAX : (unsigned)processors;
    for (; daemon->count < wanted; daemon->count++) {
        struct worker *worker = &daemon->workers[daemon->count];
        int rc;

        worker->daemon = daemon;
        rc = pthread_create(&worker->thread, NULL, work, worker);
        if (rc != 0 && daemon->count == 0) {
            log_line(daemon->log, "no thread could be started: %s", strerror(rc));
            return false;
        }
        if (rc != 0)
            break; /* fewer will do */
    }
    return true;
}

static void stop_workers(struct daemon *daemon)
{
    fuse_session_exit(daemon->fuse);
    for (unsigned n = 0; n < daemon->count; n++)
        pthread_cancel(daemon->workers[n].thread);
    for (unsigned n = 0; n < daemon->count; n++) {
        pthread_join(daemon->workers[n].thread, NULL);
        free(daemon->workers[n].buffer.mem);
    }
}

static unsigned long long requests_so_far(const struct daemon *daemon)
{
    unsigned long long sum = 0;

    for (unsigned n = 0; n < daemon->count; n++)
        sum += atomic_load_explicit(&daemon->workers[n].requests, memory_order_relaxed);
    return sum;
}

/* ---------------------------------------------------------------- idleness */

static bool run_fusermount(const char *directory)
{
    char *const argv[] = {(char *)"fusermount3", (char *)"-u",      (char *)"-q",
                          (char *)"--",          (char *)directory, NULL};
    int status;
    pid_t pid;

    if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) != 0)
        return false;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Unmount, unless a file is open or somebody's working directory is there. */
static bool unmount_unused(const struct daemon *daemon)
{
    struct stat now;

    /* Not what somebody has mounted over it. */
    if (stat(daemon->directory, &now) < 0 || now.st_dev != daemon->device)
        return false;
    if (umount2(daemon->directory, UMOUNT_NOFOLLOW) == 0)
        return true;
    return errno == EPERM && run_fusermount(daemon->directory);
}

/* Wait for the end. */
static void wait_for_end(struct daemon *daemon, unsigned idle_timeout)
{
    uint64_t look = (uint64_t)idle_timeout * 1000000000u / IDLE_LOOKS;
    struct timespec pause = {(time_t)(look / 1000000000u), (long)(look % 1000000000u)};
    unsigned long long before = 0, requests;
    unsigned quiet = 0;
    int rc;

    for (;;) {
        rc = sigtimedwait(&daemon->signals, NULL, idle_timeout > 0 ? &pause : NULL);
        if (rc > 0) {
            log_detail(daemon->log, rc == WORKER_ENDED ? "unmounted" : "ended by a signal");
            return;
        }
        if (errno == EINTR)
            continue;
        requests = requests_so_far(daemon);
        quiet = requests == before ? quiet + 1 : 0;
        before = requests;
        if (quiet >= IDLE_LOOKS) {
            if (unmount_unused(daemon))
                log_detail(daemon->log, "unmounted, for nobody used it");
            quiet = 0;
            before = requests_so_far(daemon);
        }
    }
}

/* ---------------------------------------------------------------- mounting */

/* The options that libfuse is given, as one malloc'd list. */
static char *fuse_options(const struct session *session, const struct view *view)
{
    const struct args *args = session->args;
    char *list = NULL;
    bool ok = !view->read_only || fuse_opt_add_opt(&list, "ro") == 0;

    if (ok && !args->subtype_given)
        ok = fuse_opt_add_opt(&list, "subtype=imgmount") == 0;
    if (ok && !args->fsname_given) {
        char *name = NULL;

        ok = asprintf(&name, "fsname=%s", args->images[0].name) >= 0 &&
             fuse_opt_add_opt_escaped(&list, name) == 0;
        free(name);
    }
    /* Without others, whoever mounts it may read what is his anyway, whatever the modes say. */
    if (ok && (args->allow_other || args->default_permissions))
        ok = fuse_opt_add_opt(&list, "default_permissions") == 0;
    if (ok && args->fuse_options)
        ok = fuse_opt_add_opt(&list, args->fuse_options) == 0;
    if (ok)
        return list;
    free(list);
    return NULL;
}

static struct fuse_session *new_fuse(struct session *session, const struct view *view)
{
    struct fuse_args arguments = FUSE_ARGS_INIT(0, NULL);
    struct fuse_session *fuse = NULL;
    char *list = fuse_options(session, view);

    if (list && fuse_opt_add_arg(&arguments, "imgmount") == 0 &&
        fuse_opt_add_arg(&arguments, "-o") == 0 && fuse_opt_add_arg(&arguments, list) == 0)
        fuse = fuse_session_new(&arguments, view->ops, sizeof(*view->ops), session);
    else
        log_line(session->log, "out of memory");
    fuse_opt_free_args(&arguments);
    free(list);
    return fuse;
}

/* Let the kernel read ahead as much as it can ask for at once; only root may say so. */
static void read_ahead(dev_t device)
{
    char name[64];
    FILE *file;

    snprintf(name, sizeof(name), "/sys/class/bdi/%u:%u/read_ahead_kb", major(device),
             minor(device));
    file = fopen(name, "we");
    if (file) {
        fprintf(file, "%d\n", READ_AHEAD_KIB);
        fclose(file);
    }
}

/* The first request of all: the kernel and we understand each other. */
static bool answers(struct daemon *daemon)
{
    struct stat root;
    char name[16];

    if (stat(daemon->directory, &root) < 0) {
        log_line(daemon->log, "%s: mounted, and does not answer: %s", daemon->directory,
                 strerror(errno));
        return false;
    }
    daemon->device = root.st_dev;
    /* The name by which "img umount" finds this process. */
    snprintf(name, sizeof(name), "imgmount-%u", minor(root.st_dev) % 1000000);
    prctl(PR_SET_NAME, name);
    read_ahead(root.st_dev);
    return true;
}

static void block_signals(struct daemon *daemon)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};

    daemon->main = pthread_self();
    sigemptyset(&daemon->signals);
    sigaddset(&daemon->signals, SIGINT);
    sigaddset(&daemon->signals, SIGTERM);
    sigaddset(&daemon->signals, SIGHUP);
    sigaddset(&daemon->signals, WORKER_ENDED);
    pthread_sigmask(SIG_BLOCK, &daemon->signals, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

int daemon_run(struct session *session, const struct view *view, const char *directory,
               bool (*ready)(void *opaque), void *opaque)
{
    struct daemon daemon = {.log = session->log, .directory = directory};
    bool ok = false, started;

    block_signals(&daemon);
    log_take_libfuse(session->log);
    started = view->start(session);
    if (started)
        daemon.fuse = new_fuse(session, view);
    if (daemon.fuse && fuse_session_mount(daemon.fuse, directory) == 0) {
        ok = start_workers(&daemon) && answers(&daemon) && ready(opaque);
        if (ok)
            wait_for_end(&daemon, session->args->idle_timeout);
        stop_workers(&daemon);
        fuse_session_unmount(daemon.fuse);
    }
    if (daemon.fuse)
        fuse_session_destroy(daemon.fuse);
    return view->end(session) && ok ? 0 : 1;
}
