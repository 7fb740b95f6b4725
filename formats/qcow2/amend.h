/*
 * What the parts of amend share. SPDX-License-Identifier: BSD-2-Clause
 *
 * Parts: amend.c (options, and the order of the changes), version.c (from version 2 to 3 and back),
 * expand.c (zero clusters, for version 2), width.c (refcounts of another width).
 */
#ifndef QCOW2_AMEND_H
#define QCOW2_AMEND_H

#include "qcow2.h"

/* version.c */
/* Fails for what version 2 has no place for; size: what the disk's will be. */
int qcow2_check_downgrade(struct qcow2 *q, uint64_t size, img_error *err);
int qcow2_downgrade(struct qcow2 *q, struct imgi_amend *amend, img_error *err);
int qcow2_upgrade(struct qcow2 *q, img_error *err);

/*
 * expand.c: make of each zero cluster, of the disk and of the snapshots, one that reads as zeros in
 * version 2 too. On disk, flushed, when it returns; what it did before a failure changes nothing of
 * what is read.
 */
int qcow2_expand_zeros(struct qcow2 *q, struct imgi_amend *amend, img_error *err);

/*
 * width.c: refcounts of 2^order bits. IMG_E_INVAL when one of them does not fit. The old ones
 * count until one write to the header switches to the new ones.
 */
int qcow2_set_refcount_order(struct qcow2 *q, struct imgi_amend *amend, unsigned order,
                             img_error *err);

#endif
