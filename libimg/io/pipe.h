/*
 * What the parts of the pipe backend share. SPDX-License-Identifier: BSD-2-Clause
 *
 * Parts: pipe.c (opening, waiting), pipe_source.c (reading), pipe_sink.c (writing).
 */
#ifndef IMGI_PIPE_H
#define IMGI_PIPE_H

#include "backend.h"

/* These take fd over, also when they fail. */
int imgi_pipe_source(struct imgi_io **io, int fd, const char *name, img_error *err);
int imgi_pipe_sink(struct imgi_io **io, int fd, const char *name, img_error *err);

/*
 * read(2) and write(2) that wait, also where the other side made the descriptor non-blocking.
 * They return an errno; *moved bytes, 0 at the end of what is read.
 */
int imgi_pipe_read_some(int fd, void *buffer, size_t length, size_t *moved);
int imgi_pipe_write_all(int fd, const void *buffer, size_t length);

#endif
