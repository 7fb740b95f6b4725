/*
 * Checking a stream by reading it as importers do. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef VMDK_WALK_H
#define VMDK_WALK_H

#include "vmdk.h"

/*
 * Follow the markers from the first grain to the end of the stream, decompress each grain, and
 * report what a strict reader would stumble over. *spoiled goes up by one when there are grains
 * that cannot be decompressed; spoiled NULL: they are not looked into.
 */
int vmdk_walk_stream(const struct imgi_node *node, const struct vmdk_sparse *sparse,
                     struct imgi_checker *checker, uint64_t *spoiled, img_error *err);

#endif
