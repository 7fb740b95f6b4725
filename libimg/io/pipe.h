/*
 * What the parts of the pipe backend share. SPDX-License-Identifier: BSD-2-Clause
 *
 * Parts: pipe.c (opening, waiting), pipe_source.c (reading), pipe_sink.c (writing).
 */
#ifndef IMGI_PIPE_H
#define IMGI_PIPE_H

#include "backend.h"

/* One side of a pipe. */
struct imgi_pipe_end {
    int fd;
    size_t step;             /* that can be written without waiting when there is room at all */
    img_interrupt interrupt; /* asked is NULL: nobody is asked */
};

/* These take the descriptor over, also when they fail. */
int imgi_pipe_source(struct imgi_io **io, const struct imgi_pipe_end *end, const char *name,
                     img_error *err);
int imgi_pipe_sink(struct imgi_io **io, const struct imgi_pipe_end *end, const char *name,
                   img_error *err);

/*
 * read(2) and write(2) that wait until they can, or until somebody asks for the end (ECANCELED),
 * whether the descriptor is non-blocking or not. They return an errno; *moved bytes, 0 at the end
 * of what is read.
 */
int imgi_pipe_read_some(const struct imgi_pipe_end *end, void *buffer, size_t length,
                        size_t *moved);
int imgi_pipe_write_all(const struct imgi_pipe_end *end, const void *buffer, size_t length);

#endif
