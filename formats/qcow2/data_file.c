/*
 * External data files. SPDX-License-Identifier: BSD-2-Clause
 *
 * qcow2 specification, "Header extensions", "External data file name string". The image then holds
 * metadata alone; the byte that the guest sees at an address lies at that same address of another
 * file, which has no refcounts. With the autoclear bit "raw external data" that file is by itself
 * what the guest sees, so zeros and discarded clusters have to be zeros there too.
 */
#include "qcow2.h"

/* The name that stands in the image. */
static int stored_name(const struct qcow2_header *header, const char **name, img_error *err)
{
    const struct qcow2_extension *extension = qcow2_extension_find(header, QCOW2_EXT_DATA_FILE);

    if (!extension)
        return imgi_fail(err, IMG_E_CORRUPT, "'data-file' is required for this image");
    if (memchr(extension->data, '\0', extension->length))
        return imgi_fail(err, IMG_E_CORRUPT, "the data file's name has a NUL byte in it");
    *name = (const char *)extension->data;
    return 0;
}

static int open_data(struct qcow2 *q, const char *given, img_error *err)
{
    struct imgi_node *node = q->node;
    const char *name = NULL;
    int rc = 0;

    if (given)
        rc = imgi_node_open_path(node, given, true, &q->data, err);
    else {
        rc = stored_name(&q->header, &name, err);
        if (rc == 0)
            rc = imgi_node_open_data_file(node, name, &q->data, err);
    }
    if (rc == 0 && q->data == node->file)
        rc = imgi_fail(err, IMG_E_CORRUPT, "the image names itself as its data file");
    return rc;
}

/* The name that the user gave, or NULL. */
static const char *given_name(const struct imgi_node *node)
{
    const char *name = imgi_options_string(node->options, qcow2_open_options, "data-file");

    return name ? name
                : imgi_options_string(node->options, qcow2_open_options, "data-file.filename");
}

int qcow2_data_open(struct qcow2 *q, img_error *err)
{
    const struct imgi_node *node = q->node;
    const char *given = given_name(node);
    bool look = node->flags & (IMG_OPEN_NO_FILES | IMG_OPEN_NO_DATA);

    if (q->data_file)
        return look ? 0 : open_data(q, given, err);
    q->data = node->file;
    if (given)
        return imgi_fail(err, IMG_E_INVAL,
                         "'data-file' can only be set for images with an external data file");
    if (q->header.autoclear & QCOW2_AUTOCLEAR_RAW_DATA && !look)
        return imgi_fail(err, IMG_E_CORRUPT, "data-file-raw requires a data file");
    return 0;
}

/*
 * A device, and a file that was longer than the disk, have something already where the disk gains
 * bytes. It must not show in clusters that are mapped: the one that the old end cuts, and all that
 * are preallocated.
 */
static int clear_old(struct qcow2 *q, uint64_t from, uint64_t size, uint64_t present,
                     enum img_preallocation mode, img_error *err)
{
    uint64_t end = IMGI_MIN(size, present);

    if (mode == IMG_PREALLOC_OFF)
        end = IMGI_MIN(end, imgi_align_up(from, q->cluster_size));
    return from < end ? imgi_io_zero(q->data, from, end - from, true, err) : 0;
}

int qcow2_data_resize(struct qcow2 *q, uint64_t from, uint64_t size, enum img_preallocation mode,
                      img_error *err)
{
    uint64_t present;
    int rc = imgi_io_size(q->data, &present, err);

    if (rc == 0 && imgi_io_is_device(q->data) && size > present)
        rc = imgi_fail(err, IMG_E_NOSPACE, "%s: %llu bytes are less than the disk's %llu",
                       q->data->name, (unsigned long long)present, (unsigned long long)size);
    if (rc == 0)
        rc = clear_old(q, from, size, present, mode, err);
    if (rc == 0 && !imgi_io_is_device(q->data))
        rc = imgi_io_resize(q->data, size, imgi_file_prealloc(mode), err);
    return rc;
}

int qcow2_data_create(struct qcow2 *q, struct imgi_create *create, const char *name, img_error *err)
{
    return imgi_create_data_file(create, name, &q->data, err);
}

int qcow2_data_zero(struct qcow2 *q, uint64_t offset, uint64_t length, bool unmap, img_error *err)
{
    if (!q->data_raw)
        return 0;
    return imgi_io_zero(q->data, offset, length, unmap, err);
}
