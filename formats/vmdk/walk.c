/*
 * Reading a stream as importers do: once, from front to back. SPDX-License-Identifier: BSD-2-Clause
 *
 * They want grains in ascending order, markers they know, a footer, one sector of end-of-stream and
 * nothing behind it. Each step goes at least one sector forward, so the walk ends with the file.
 */
#include "walk.h"

struct walk {
    const struct vmdk_sparse *sparse;
    const char *file;
    struct imgi_checker *checker;
    uint64_t at, file_size;
    uint64_t grains; /* met so far */
    uint64_t next;   /* one more than the last grain's number */
    bool footer, ended;
};

static void fault(struct walk *walk, const char *what)
{
    imgi_found(walk->checker, IMGI_FINDING_CORRUPTION, "ERROR %s: stream at 0x%llx: %s", walk->file,
               (unsigned long long)walk->at, what);
}

static void walk_grain(struct walk *walk, const struct vmdk_marker *marker)
{
    const struct vmdk_header *header = &walk->sparse->header;
    uint64_t grain = marker->value / header->grain_size;
    const uint8_t *entries = NULL;

    walk->grains++;
    if (marker->value >= header->capacity || marker->value % header->grain_size != 0) {
        fault(walk, "a grain with an impossible sector number");
    } else if (grain < walk->next) {
        fault(walk, "grains are not in ascending order");
    } else {
        walk->next = grain + 1;
        if (vmdk_table_get(walk->sparse, grain / VMDK_NUM_GTES, &entries, NULL) < 0 || !entries ||
            imgi_get_le32(entries + 4 * (grain % VMDK_NUM_GTES)) != walk->at / VMDK_SECTOR)
            fault(walk, "a grain that its table does not name");
    }
    walk->at = imgi_align_up(walk->at + VMDK_GRAIN_MARKER_BYTES + marker->size, VMDK_SECTOR);
}

/* A table belongs to the grain before it. */
static void walk_table(struct walk *walk)
{
    const struct vmdk_sparse *sparse = walk->sparse;
    uint64_t index = walk->next > 0 ? (walk->next - 1) / VMDK_NUM_GTES : 0;

    if (imgi_get_le32(sparse->gd + 4 * index) != walk->at / VMDK_SECTOR + 1)
        fault(walk, "a grain table that the directory does not name");
}

static void walk_metadata(struct walk *walk, const struct vmdk_marker *marker)
{
    uint64_t sectors = 1;

    switch (marker->type) {
    case VMDK_MARKER_EOS:
        walk->ended = true;
        if (marker->value != 0)
            fault(walk, "an end-of-stream marker that announces more");
        break;
    case VMDK_MARKER_GT:
        walk_table(walk);
        break;
    case VMDK_MARKER_GD:
        if (walk->at / VMDK_SECTOR + 1 != walk->sparse->header.gd_offset)
            fault(walk, "a grain directory that the footer does not name");
        break;
    case VMDK_MARKER_FOOTER:
        walk->footer = true;
        break;
    case VMDK_MARKER_PROGRESS:
        break;
    default:
        fault(walk, "an unknown marker");
        walk->ended = true;
    }
    if (marker->type != VMDK_MARKER_PROGRESS && marker->type != VMDK_MARKER_EOS &&
        !imgi_add(marker->value, 1, &sectors))
        sectors = UINT64_MAX;
    if (sectors > (walk->file_size - walk->at) / VMDK_SECTOR) {
        fault(walk, "a marker whose data goes past the end of the file");
        walk->ended = true;
        return;
    }
    walk->at += sectors * VMDK_SECTOR;
}

int vmdk_walk_stream(const struct vmdk_sparse *sparse, const char *file,
                     struct imgi_checker *checker, uint64_t *grains, img_error *err)
{
    struct walk walk = {.sparse = sparse,
                        .file = file,
                        .checker = checker,
                        .at = sparse->header.overhead * VMDK_SECTOR};
    int rc = imgi_io_size(sparse->io, &walk.file_size, err);

    while (rc == 0 && !walk.ended && imgi_span_ok(walk.at, VMDK_SECTOR, walk.file_size)) {
        uint8_t bytes[VMDK_MARKER_BYTES];
        struct vmdk_marker marker;

        rc = imgi_io_read(sparse->io, bytes, sizeof(bytes), walk.at, err);
        if (rc < 0)
            break;
        vmdk_marker_decode(bytes, &marker);
        if (marker.size > 0)
            walk_grain(&walk, &marker);
        else
            walk_metadata(&walk, &marker);
    }
    *grains = walk.grains;
    if (rc < 0)
        return rc;
    if (!walk.ended)
        fault(&walk, "no end-of-stream marker");
    else if (walk.at != walk.file_size)
        fault(&walk, "data behind the end of the stream");
    if (!walk.footer)
        fault(&walk, "no footer before the end of the stream");
    return 0;
}
