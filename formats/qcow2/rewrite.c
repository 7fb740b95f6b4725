/*
 * Changing the header as a whole. SPDX-License-Identifier: BSD-2-Clause
 *
 * Cluster 0 is written anew, with all in it that the change has nothing to do with kept as it was:
 * unknown extensions, the fields of a longer header. Whether all of it fits is known before
 * anything is written.
 */
#include <stdlib.h>

#include "qcow2.h"

/*
 * Where QEMU puts the extensions that it knows; programs that stop at the first unknown one find
 * those they need.
 */
static const uint32_t usual_order[] = {
    QCOW2_EXT_BACKING_FORMAT, QCOW2_EXT_DATA_FILE, QCOW2_EXT_CRYPTO,
    QCOW2_EXT_FEATURE_NAMES,  QCOW2_EXT_BITMAPS,
};

static size_t rank(uint32_t type)
{
    size_t i = 0;

    while (i < IMGI_COUNT(usual_order) && usual_order[i] != type)
        i++;
    return i;
}

void qcow2_extension_remove(struct qcow2_header *header, uint32_t type)
{
    size_t kept = 0;

    for (size_t i = 0; i < header->extension_count; i++) {
        if (header->extensions[i].type == type)
            free(header->extensions[i].data);
        else
            header->extensions[kept++] = header->extensions[i];
    }
    header->extension_count = kept;
}

int qcow2_extension_set(struct qcow2_header *header, uint32_t type, const void *data,
                        uint32_t length, img_error *err)
{
    struct qcow2_extension added;
    size_t at = 0, last;
    int rc;

    qcow2_extension_remove(header, type);
    rc = qcow2_extension_add(header, type, data, length, err);
    if (rc < 0)
        return rc;
    last = header->extension_count - 1;
    added = header->extensions[last];
    while (at < last && rank(header->extensions[at].type) <= rank(type))
        at++;
    memmove(header->extensions + at + 1, header->extensions + at, (last - at) * sizeof(added));
    header->extensions[at] = added;
    return 0;
}

int qcow2_header_rewrite(struct qcow2 *q, qcow2_edit_fn *edit, const void *opaque, img_error *err)
{
    struct qcow2_header header = {0};
    uint8_t *cluster = NULL;
    int rc = qcow2_header_read(q->node->file, &header, err);

    if (rc == 0)
        rc = edit(&header, opaque, err);
    if (rc == 0)
        rc = qcow2_header_encode(&header, &cluster, err);
    if (rc == 0)
        rc = qcow2_header_update(q, 0, cluster, q->cluster_size, err);
    if (rc == 0) {
        struct qcow2_header old = q->header;

        q->header = header;
        header = old;
    }
    free(cluster);
    qcow2_header_clear(&header);
    return rc;
}
