/*
 * Naming another backing image. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>

#include "qcow2.h"

struct names {
    const char *name, *format;
};

static int set_names(struct qcow2_header *header, const void *opaque, img_error *err)
{
    const struct names *names = opaque;

    if (names->name && header->autoclear & QCOW2_AUTOCLEAR_RAW_DATA)
        return imgi_fail(err, IMG_E_INVAL,
                         "Backing file and data-file-raw cannot be used at the same time");
    if (names->name && strlen(names->name) > QCOW2_BACKING_NAME_MAX)
        return imgi_fail(err, IMG_E_INVAL, "Backing file name too long");
    if (names->format && strlen(names->format) > QCOW2_BACKING_FORMAT_MAX)
        return imgi_fail(err, IMG_E_INVAL, "Backing format name too long");
    free(header->backing_name);
    header->backing_name = names->name ? strdup(names->name) : NULL;
    if (names->name && !header->backing_name)
        return imgi_fail_nomem(err, "the backing file's name");
    qcow2_extension_remove(header, QCOW2_EXT_BACKING_FORMAT);
    if (!names->name || !names->format)
        return 0;
    return qcow2_extension_set(header, QCOW2_EXT_BACKING_FORMAT, names->format,
                               (uint32_t)strlen(names->format), err);
}

int qcow2_set_backing(struct imgi_node *node, const char *name, const char *format,
                      const struct imgi_node *backing, img_error *err)
{
    struct names names = {name, format};
    /* What was written over the old backing image is on disk before the new one shows through. */
    int rc = qcow2_flush(node, err);

    (void)backing;
    if (rc == 0)
        rc = imgi_io_flush(node->file, err);
    if (rc == 0)
        rc = qcow2_header_rewrite(qcow2_of(node), set_names, &names, err);
    return rc;
}
