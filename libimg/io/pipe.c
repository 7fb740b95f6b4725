/*
 * Pipes: files whose bytes go by once, from front to back. SPDX-License-Identifier: BSD-2-Clause
 *
 * Standard input and output, FIFOs, and what a shell puts behind /dev/fd. What is asked of them out
 * of order is an error and never a wait.
 */
#include "pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the kernel lets an ordinary user have; a larger pipe means fewer turns of both sides. */
#define PIPE_BYTES (1 << 20)

bool imgi_pipe_named(const char *name)
{
    struct stat info;

    return strcmp(name, "-") == 0 || (stat(name, &info) == 0 && S_ISFIFO(info.st_mode));
}

bool imgi_io_is_pipe(const struct imgi_io *io)
{
    return io->ops->once;
}

/* Whether the descriptor is ready after all. Returns an errno. */
static int wait_for(int fd, short events)
{
    struct pollfd waited = {.fd = fd, .events = events};

    return poll(&waited, 1, -1) < 0 && errno != EINTR ? errno : 0;
}

int imgi_pipe_read_some(int fd, void *buffer, size_t length, size_t *moved)
{
    ssize_t n;
    int error = 0;

    do {
        n = read(fd, buffer, length);
        if (n < 0 && errno == EAGAIN)
            error = wait_for(fd, POLLIN);
        else if (n < 0 && errno != EINTR)
            error = errno;
    } while (n < 0 && !error);
    *moved = n < 0 ? 0 : (size_t)n;
    return error;
}

int imgi_pipe_write_all(int fd, const void *buffer, size_t length)
{
    const uint8_t *bytes = buffer;
    int error = 0;

    while (length > 0 && !error) {
        ssize_t n = write(fd, bytes, length);

        if (n < 0 && errno == EAGAIN)
            error = wait_for(fd, POLLOUT);
        else if (n < 0 && errno != EINTR)
            error = errno;
        if (n > 0) {
            bytes += n;
            length -= (size_t)n;
        }
    }
    return error;
}

/* The descriptor of what the name means. -1 with errno. */
static int open_descriptor(const char *name, bool writing)
{
    if (strcmp(name, "-") == 0)
        return fcntl(writing ? STDOUT_FILENO : STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
    return open(name, (writing ? O_WRONLY : O_RDONLY) | O_CLOEXEC | O_NOCTTY);
}

int imgi_pipe_open(struct imgi_io **io, const char *name, unsigned flags, img_error *err)
{
    bool writing = flags & IMGI_IO_WRITE;
    int fd = open_descriptor(name, writing), rc;

    if (fd < 0) {
        rc = imgi_fail_errno(err, errno, "cannot be opened");
    } else if (isatty(fd)) {
        close(fd);
        rc = imgi_fail(err, IMG_E_INVAL, "is a terminal");
    } else {
        (void)fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES);
        rc = writing ? imgi_pipe_sink(io, fd, name, err) : imgi_pipe_source(io, fd, name, err);
    }
    if (rc < 0)
        imgi_error_image(err, name);
    return rc;
}
