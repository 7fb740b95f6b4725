/*
 * A place in the file for every cluster, before anything is written.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The clusters are data clusters that hold zeros. They get their places as written clusters do,
 * in ascending order, so that the file grows by long runs, a system call each. Where zeros of the
 * file are no zeros of the disk, because it is encrypted, they are zero clusters that keep their
 * places.
 */
#include "qcow2.h"

/*
 * Zeros at length bytes from host on, and space in the filesystem as the mode wants it. What the
 * file has there already (freed clusters; all of a device) holds anything.
 */
static int fill(struct imgi_io *io, uint64_t host, uint64_t length, enum img_preallocation mode,
                img_error *err)
{
    uint64_t end = host + length, size;
    int rc = imgi_io_size(io, &size, err);

    if (rc == 0 && host < size)
        rc = imgi_io_zero(io, host, IMGI_MIN(size, end) - host, mode == IMG_PREALLOC_METADATA, err);
    if (rc == 0 && end > size)
        rc = imgi_io_resize(io, end, imgi_file_prealloc(mode), err);
    return rc;
}

int qcow2_preallocate(struct qcow2 *q, uint64_t from, enum img_preallocation mode, img_error *err)
{
    bool encrypted = q->header.crypt_method != QCOW2_CRYPT_NONE;
    struct imgi_node *node = q->node;
    int rc = 0;

    if (mode != IMG_PREALLOC_OFF && encrypted && q->header.version < 3)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "preallocation of an encrypted image needs compatibility level 1.1");
    while (rc == 0 && mode != IMG_PREALLOC_OFF && from < node->size) {
        struct imgi_alloc alloc = {.offset = from, .length = node->size - from};

        rc = qcow2_reserve(node, &alloc, err);
        if (rc < 0)
            break;
        /* An external data file has been made ready as a whole. */
        if (!q->data_file)
            rc = fill(node->file, alloc.host, imgi_align_up(alloc.length, q->cluster_size), mode,
                      err);
        if (rc == 0)
            rc = qcow2_link(node, &alloc, err);
        if (rc < 0)
            qcow2_cancel(node, &alloc);
        else if (encrypted)
            rc = qcow2_zero(node, alloc.offset, alloc.length, false, err);
        from += alloc.length;
    }
    return rc;
}
