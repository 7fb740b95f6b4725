/*
 * Checking a stream by reading it as importers do. SPDX-License-Identifier: BSD-2-Clause
 *
 * A stream that promises a footer, and one whose tables are in front but where something is wrong,
 * is corrupt. One whose tables are in front, all of it sound, but out of order or without the end
 * that importers want, which is how QEMU writes them, can be read by everybody who does not read
 * from front to back: it is reported like lost space, as something that does the data no harm.
 */
#include <stdlib.h>

#include "importer.h"
#include "walk.h"

/* More kinds than there are. */
#define KINDS 24

/* Faults of one kind, of which the first is told: a hostile stream can have millions. */
struct kind {
    const char *what;
    uint64_t count;
};

struct walk {
    const struct imgi_node *node;
    const struct vmdk_sparse *sparse;
    struct imgi_checker *checker;
    struct vmdk_importer importer;
    struct imgi_unpacker *unpacker;
    uint8_t *packed, *grain; /* a marker with its grain, and a grain */
    bool unpacks, spoiled;   /* grains are looked into; there is one that cannot be unpacked */
    struct kind kinds[KINDS];
};

static void report(void *opaque, enum vmdk_fault fault, uint64_t at, const char *what)
{
    struct walk *walk = opaque;
    bool harmless = fault != VMDK_FAULT_DAMAGE && !vmdk_importer_is_canonical(&walk->importer);
    size_t n = 0;

    while (n + 1 < KINDS && walk->kinds[n].what && walk->kinds[n].what != what)
        n++;
    walk->kinds[n].what = what;
    if (walk->kinds[n].count++ == 0)
        imgi_found(walk->checker, harmless ? IMGI_FINDING_LEAK : IMGI_FINDING_CORRUPTION,
                   "%s %s: stream at 0x%llx: %s", harmless ? "WARNING" : "ERROR",
                   walk->sparse->io->name, (unsigned long long)at, what);
}

static void report_counts(const struct walk *walk)
{
    for (size_t n = 0; n < KINDS && walk->kinds[n].what; n++)
        if (walk->kinds[n].count > 1)
            imgi_found(walk->checker, IMGI_FINDING_REPAIRED, "%s: stream: %s: %llu times",
                       walk->sparse->io->name, walk->kinds[n].what,
                       (unsigned long long)walk->kinds[n].count);
}

/* A grain whose bytes are not there is the importer's finding, which comes to the file's end. */
static int walk_grain(struct walk *walk, const struct vmdk_grain *grain, img_error *err)
{
    size_t stored = VMDK_GRAIN_MARKER_BYTES + grain->size;
    img_error failure = {0};
    int rc = imgi_io_read(walk->sparse->io, walk->packed, stored, grain->host, &failure);

    if (rc == 0 && vmdk_grain_unpack(walk->sparse, walk->unpacker, grain, walk->packed, walk->grain,
                                     NULL) < 0) {
        walk->spoiled = true;
        report(walk, VMDK_FAULT_DAMAGE, grain->host,
               "a grain that cannot be decompressed to its size");
    }
    imgi_io_pass(walk->sparse->io, walk->importer.at);
    if (rc == 0 || rc == IMG_E_RANGE)
        return 0;
    if (err)
        *err = failure;
    return rc;
}

static int walk_grains(struct walk *walk, img_error *err)
{
    uint64_t size = walk->node->size;
    bool more = true;
    int rc = 0;

    while (rc == 0 && more) {
        struct vmdk_grain grain;

        rc = vmdk_importer_next(&walk->importer, &grain, &more, err);
        if (rc == 0 && more && walk->unpacks)
            rc = walk_grain(walk, &grain, err);
        if (rc == 0 && more && walk->importer.grains % 64 == 0)
            rc = imgi_check_progress(walk->checker,
                                     IMGI_MIN(grain.number * walk->sparse->grain, size), size, err);
    }
    return rc;
}

int vmdk_walk_stream(const struct imgi_node *node, const struct vmdk_sparse *sparse,
                     struct imgi_checker *checker, uint64_t *spoiled, img_error *err)
{
    struct vmdk_header header = sparse->header;
    struct walk walk = {
        .node = node, .sparse = sparse, .checker = checker, .unpacks = spoiled != NULL};
    int rc = imgi_unpacker_new(&walk.unpacker, err);

    if (sparse->has_footer)
        header.gd_offset = VMDK_GD_AT_END;
    walk.packed = malloc(VMDK_GRAIN_MARKER_BYTES + 2 * sparse->grain);
    walk.grain = malloc(sparse->grain);
    if (rc == 0 && (!walk.packed || !walk.grain))
        rc = imgi_fail_nomem(err, "a grain");
    walk.importer = (struct vmdk_importer){.fault = report, .opaque = &walk};
    if (rc == 0)
        rc = vmdk_importer_begin(&walk.importer, sparse->io, &header, err);
    if (rc == 0)
        rc = walk_grains(&walk, err);
    report_counts(&walk);
    if (walk.spoiled)
        ++*spoiled;
    vmdk_importer_end(&walk.importer);
    imgi_unpacker_free(walk.unpacker);
    free(walk.packed);
    free(walk.grain);
    return rc;
}
