/*
 * Pipes: files whose bytes go by once, from front to back. SPDX-License-Identifier: BSD-2-Clause
 *
 * Standard input and output, FIFOs, and what a shell puts behind /dev/fd. What is asked of them out
 * of order is an error and never a wait.
 */
#include "pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../util/checked.h"

/* What the kernel lets an ordinary user have; a larger pipe means fewer turns of both sides. */
#define PIPE_BYTES (1 << 20)
/* How long to wait before asking whether to go on. */
#define QUESTION_MS 100

bool imgi_pipe_named(const char *name)
{
    struct stat info;

    return strcmp(name, "-") == 0 || (stat(name, &info) == 0 && S_ISFIFO(info.st_mode));
}

bool imgi_io_is_pipe(const struct imgi_io *io)
{
    return io->ops->once;
}

/* Wait until the descriptor is ready; -1: for so long as one waits between two questions. Returns
 * an errno. */
static int wait_for(int fd, short events, const img_interrupt *interrupt)
{
    struct pollfd waited = {.fd = fd, .events = events};
    int ready;

    do {
        ready = poll(&waited, 1, interrupt->asked || fd < 0 ? QUESTION_MS : -1);
        if (ready < 0 && errno != EINTR)
            return errno;
        if (ready <= 0 && interrupt->asked && interrupt->asked(interrupt->opaque))
            return ECANCELED;
    } while (ready <= 0 && fd >= 0);
    return 0;
}

int imgi_pipe_read_some(const struct imgi_pipe_end *end, void *buffer, size_t length, size_t *moved)
{
    ssize_t n = -1;
    int error = 0;

    while (n < 0 && !error) {
        error = wait_for(end->fd, POLLIN, &end->interrupt);
        if (!error)
            n = read(end->fd, buffer, length);
        if (!error && n < 0 && errno != EINTR && errno != EAGAIN)
            error = errno;
    }
    *moved = n < 0 ? 0 : (size_t)n;
    return error;
}

int imgi_pipe_write_all(const struct imgi_pipe_end *end, const void *buffer, size_t length)
{
    const uint8_t *bytes = buffer;
    int error = 0;

    while (length > 0 && !error) {
        ssize_t n = -1;

        error = wait_for(end->fd, POLLOUT, &end->interrupt);
        if (!error)
            n = write(end->fd, bytes, IMGI_MIN(length, end->step));
        if (!error && n < 0 && errno != EINTR && errno != EAGAIN)
            error = errno;
        if (n > 0) {
            bytes += n;
            length -= (size_t)n;
        }
    }
    return error;
}

/*
 * A FIFO, or what /dev/fd has, opened so that nothing waits but poll. Where nobody reads yet the
 * open fails (ENXIO); where nobody writes yet, poll waits for the first. Returns an errno.
 */
static int open_fifo(struct imgi_pipe_end *end, const char *name, bool writing)
{
    int error = 0;

    do {
        end->fd = open(name, (writing ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (end->fd < 0 && errno != ENXIO && errno != EINTR)
            error = errno;
        else if (end->fd < 0)
            error = wait_for(-1, 0, &end->interrupt);
    } while (end->fd < 0 && !error);
    return error;
}

/*
 * Standard input or output, whose way of waiting others share: where it is a pipe that can be
 * opened anew, it gets one of its own. Returns an errno.
 */
static int open_standard(struct imgi_pipe_end *end, bool writing)
{
    struct stat info;

    end->fd = -1;
    if (writing && fstat(STDOUT_FILENO, &info) == 0 && S_ISFIFO(info.st_mode))
        end->fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (end->fd >= 0)
        return 0;
    end->fd = fcntl(writing ? STDOUT_FILENO : STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
    if (end->fd < 0)
        return errno;
    /* Room for this much is what poll promises of a pipe; a file never waits. */
    if (fstat(end->fd, &info) < 0 || !S_ISREG(info.st_mode))
        end->step = PIPE_BUF;
    return 0;
}

int imgi_pipe_open(struct imgi_io **io, const char *name, unsigned flags,
                   const img_interrupt *interrupt, img_error *err)
{
    bool writing = flags & IMGI_IO_WRITE;
    struct imgi_pipe_end end = {.step = SIZE_MAX};
    int error, rc;

    if (interrupt)
        end.interrupt = *interrupt;
    error = strcmp(name, "-") == 0 ? open_standard(&end, writing) : open_fifo(&end, name, writing);
    if (error) {
        rc = error == ECANCELED ? imgi_fail(err, IMG_E_CANCELLED, "cancelled")
                                : imgi_fail_errno(err, error, "cannot be opened");
    } else if (isatty(end.fd)) {
        close(end.fd);
        rc = imgi_fail(err, IMG_E_INVAL, "is a terminal");
    } else {
        (void)fcntl(end.fd, F_SETPIPE_SZ, PIPE_BYTES);
        rc = writing ? imgi_pipe_sink(io, &end, name, err) : imgi_pipe_source(io, &end, name, err);
    }
    if (rc < 0)
        imgi_error_image(err, name);
    return rc;
}
