/*
 * Reading a stream as importers do. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef VMDK_WALK_H
#define VMDK_WALK_H

#include "vmdk.h"

/*
 * Follow the markers from the first grain to the end of the stream and report what a strict reader
 * would stumble over. *grains: how many were met.
 */
int vmdk_walk_stream(const struct vmdk_sparse *sparse, const char *file,
                     struct imgi_checker *checker, uint64_t *grains, img_error *err);

#endif
