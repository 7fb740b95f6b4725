/*
 * What the I/O backends share among themselves. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef IMGI_BACKEND_H
#define IMGI_BACKEND_H

#include <inttypes.h>

#include "io.h"

/* Fill the head of a backend's struct; a copy of name is made. */
int imgi_io_init(struct imgi_io *io, const struct imgi_io_ops *ops, const char *name,
                 unsigned flags, img_error *err);

/* Bytes in all the vectors. */
size_t imgi_iov_length(const struct iovec *iov, int count);

/* IMG_E_RANGE for a read that goes past the end of a file of that size. */
int imgi_io_past_end(size_t length, uint64_t offset, uint64_t size, img_error *err);

/* Write zeros through the backend's write, in pieces, with no memory of its own. */
int imgi_io_write_zeros(struct imgi_io *io, uint64_t offset, uint64_t length, img_error *err);

#endif
