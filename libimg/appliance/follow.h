/*
 * The digest of a file while it is written. SPDX-License-Identifier: BSD-2-Clause
 *
 * Writers write in almost the order of the file. A thread follows them as far as there are no gaps
 * and reads what has just been written, so that the digest is there when the file is.
 */
#ifndef IMGI_FOLLOW_H
#define IMGI_FOLLOW_H

#include "../crypto/digest.h"
#include "../io/io.h"

struct imgi_follower;

/* The first `size` bytes of the file, which begins at that byte of io, are there already. */
int imgi_follower_begin(struct imgi_follower **follower, struct imgi_io *io, uint64_t offset,
                        uint64_t size, enum imgi_hash hash, img_error *err);
/* More bytes are there; for imgi_member_watch. */
void imgi_follower_written(void *follower, uint64_t offset, uint64_t length);
/*
 * Wait for the digest of the whole file, which has that many bytes now. digest NULL: it is not
 * wanted any more. The follower is gone afterwards, also when this fails.
 */
int imgi_follower_end(struct imgi_follower *follower, uint64_t size, uint8_t *digest,
                      img_error *err);

#endif
