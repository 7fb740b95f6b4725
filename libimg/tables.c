/*
 * What formats share whose tables say where clusters lie. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>

#include "internal.h"

int imgi_node_read_table(struct imgi_node *node, const struct imgi_table *what, uint8_t **bytes,
                         img_error *err)
{
    struct imgi_table table = *what;
    size_t length = (size_t)(table.entries * table.entry_size);
    int rc = imgi_io_size(node->file, &table.file_size, err);

    *bytes = NULL;
    if (rc == 0)
        rc = imgi_policy_table(node->policy, &table, err);
    if (rc < 0)
        return rc;
    *bytes = malloc(length ? length : 1);
    if (!*bytes)
        return imgi_fail_nomem(err, table.what);
    return length ? imgi_io_read(node->file, *bytes, length, table.offset, err) : 0;
}

/*
 * Lookups that one run is put together of. Who copies a disk piece by piece asks for all that
 * follows each time: without a bound every piece would cost a walk to the end of the data.
 */
#define LOOKUPS_MAX 1024u

/* Whether what follows a run of clusters, the last of which ends at host, can be a part of it. */
static bool continues(const struct imgi_cluster *found, const struct imgi_cluster *next,
                      uint64_t host)
{
    return next->kind == found->kind && (next->kind != IMGI_DATA || next->host == host);
}

int imgi_map_clusters(struct imgi_node *node, uint64_t size, imgi_cluster_fn *lookup,
                      struct imgi_extent *extent, img_error *err)
{
    uint64_t index = extent->offset / size, within = extent->offset % size, length;
    struct imgi_cluster found = {.count = 1}, next;
    unsigned lookups = 1;
    int rc = lookup(node, index, &found, err);

    if (rc < 0)
        return rc;
    length = found.count * size;
    while (length - within < extent->length && found.kind != IMGI_PACKED &&
           lookups++ < LOOKUPS_MAX) {
        next = (struct imgi_cluster){.count = 1};
        /* What comes before a bad entry is good; the entry's own turn comes with the next call. */
        if (lookup(node, index + length / size, &next, NULL) < 0 ||
            !continues(&found, &next, found.host + length))
            break;
        length += next.count * size;
    }
    extent->length = IMGI_MIN(extent->length, length - within);
    extent->kind = found.kind;
    if (found.kind == IMGI_DATA || found.kind == IMGI_PACKED) {
        extent->io = node->file;
        extent->host = found.host + (found.kind == IMGI_DATA ? within : 0);
        extent->stored = found.stored;
    }
    if (found.kind == IMGI_PACKED) {
        extent->unit = index * size;
        extent->unit_length = size;
    }
    return 0;
}
