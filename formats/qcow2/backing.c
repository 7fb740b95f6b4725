/*
 * Naming another backing image. SPDX-License-Identifier: BSD-2-Clause
 *
 * Cluster 0 is written anew, with all in it that has nothing to do with the backing image kept as
 * it was: unknown extensions, the fields of a longer header. Whether all of it fits is known before
 * anything is written.
 */
#include <stdlib.h>

#include "qcow2.h"

static void remove_format(struct qcow2_header *header)
{
    size_t kept = 0;

    for (size_t i = 0; i < header->extension_count; i++) {
        if (header->extensions[i].type == QCOW2_EXT_BACKING_FORMAT)
            free(header->extensions[i].data);
        else
            header->extensions[kept++] = header->extensions[i];
    }
    header->extension_count = kept;
}

/* The format comes first, where QEMU puts it. */
static int set_format(struct qcow2_header *header, const char *format, img_error *err)
{
    struct qcow2_extension added;
    int rc;

    remove_format(header);
    if (!format)
        return 0;
    rc = qcow2_extension_add(header, QCOW2_EXT_BACKING_FORMAT, format, (uint32_t)strlen(format),
                             err);
    if (rc < 0)
        return rc;
    added = header->extensions[header->extension_count - 1];
    memmove(header->extensions + 1, header->extensions,
            (header->extension_count - 1) * sizeof(added));
    header->extensions[0] = added;
    return 0;
}

static int set_names(struct qcow2_header *header, const char *name, const char *format,
                     img_error *err)
{
    if (name && strlen(name) > QCOW2_BACKING_NAME_MAX)
        return imgi_fail(err, IMG_E_INVAL, "Backing file name too long");
    if (format && strlen(format) > QCOW2_BACKING_FORMAT_MAX)
        return imgi_fail(err, IMG_E_INVAL, "Backing format name too long");
    free(header->backing_name);
    header->backing_name = name ? strdup(name) : NULL;
    if (name && !header->backing_name)
        return imgi_fail_nomem(err, "the backing file's name");
    return set_format(header, name ? format : NULL, err);
}

int qcow2_set_backing(struct imgi_node *node, const char *name, const char *format, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    struct qcow2_header header = {0};
    uint8_t *cluster = NULL;
    /* What was written over the old backing image is on disk before the new one shows through. */
    int rc = qcow2_flush(node, err);

    if (rc == 0)
        rc = imgi_io_flush(node->file, err);
    if (rc == 0)
        rc = qcow2_header_read(node->file, &header, err);
    if (rc == 0)
        rc = set_names(&header, name, format, err);
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
