/*
 * What the parts of the VHDX driver share. SPDX-License-Identifier: BSD-2-Clause
 *
 * A disk is cut into blocks; the block allocation table (BAT) says of each whether it is there and
 * where. All changes of the BAT and the metadata go through the log: what is in it whole is
 * done, whenever the process dies. Everything here is protected by node->lock, or does not change
 * after open.
 */
#ifndef VHDX_VHDX_H
#define VHDX_VHDX_H

#include "disk.h"

/* A piece of the file that blocks must not touch. */
struct vhdx_span {
    uint64_t offset, length;
};

/* What the log asks for, in the order in which it does. */
struct vhdx_patch {
    uint64_t offset, length;
    const uint8_t *descriptor; /* of a data sector, whose ends it has; NULL: zeros */
    const uint8_t *sector;
};

/* The log, read into memory. */
struct vhdx_replay {
    uint8_t *ring; /* patches point into it */
    struct vhdx_patch *patches;
    size_t count;
    uint64_t flushed; /* bytes that the file must have */
    uint64_t last;    /* bytes that it has in the end */
};

struct vhdx {
    struct imgi_node *node;
    struct imgi_io *io;   /* what the image is read from: the file, or view */
    struct imgi_io *view; /* the file with its log replayed in memory only; or NULL */

    struct vhdx_header header;
    uint8_t header_bytes[VHDX_HEADER_BYTES];
    unsigned current;                        /* which copy that is */
    bool bad_header[2], bad_region_table[2]; /* copies that cannot be used */
    bool replayed;   /* the log was written to the file when it was opened */
    bool unfinished; /* being made: nobody can take it for an image yet */

    struct vhdx_span *spans; /* the log and all regions */
    size_t span_count;
    struct vhdx_span bat_region, metadata_region;

    uint32_t block_size, logical_sector;
    bool fixed, has_parent;
    struct vhdx_guid disk_id;
    uint64_t size_at; /* where in the file the disk's size lies */
    struct vhdx_guid parent_linkage[2];
    unsigned linkages; /* how many of them there are */
    bool parent_judged;

    uint8_t *bat; /* as on disk, whole sectors of the log */
    uint64_t bat_entries;
    bool *bat_dirty; /* of each sector */
    size_t bat_sectors, dirty_sectors;
    uint32_t chunk_ratio; /* blocks of a chunk */
    uint64_t blocks;
    struct imgi_cache *bitmaps; /* with a parent: pieces of sector bitmaps */

    uint64_t next;         /* writable: the first byte that nothing uses */
    uint64_t log_sequence; /* of the next entry, when the log is in use */
    uint32_t log_at;       /* its place in the ring */
};

static inline struct vhdx *vhdx_of(const struct imgi_node *node)
{
    return node->state;
}

/* ---------------------------------------------------------------- header.c */

/* Find the header that holds. */
int vhdx_headers_read(struct vhdx *v, img_error *err);
/* Make what is in v->header true, on disk when it returns. */
int vhdx_headers_write(struct vhdx *v, img_error *err);
int vhdx_begin_write(struct imgi_node *node, img_error *err);

/* --------------------------------------------------------------- regions.c */

/* Find the BAT and the metadata. */
int vhdx_regions_read(struct vhdx *v, img_error *err);
/* A region table that names these two. */
void vhdx_regions_encode(const struct vhdx_span *bat, const struct vhdx_span *metadata,
                         uint8_t bytes[VHDX_TABLE_BYTES]);
/* Whether a piece of the file belongs to the header section, the log or a region. */
bool vhdx_is_taken(const struct vhdx *v, uint64_t offset, uint64_t length);
/* Whether two pieces share anything. */
static inline bool vhdx_overlaps(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length)
{
    return a <= b ? b - a < a_length : a - b < b_length;
}

/* ----------------------------------------------------- metadata.c, locator.c */

/* Read all items: fills in what the disk is like. */
int vhdx_metadata_read(struct vhdx *v, img_error *err);
/* What the parent locator's bytes say: the parent's name and how it is recognised. */
int vhdx_locator_decode(struct vhdx *v, const uint8_t *bytes, uint32_t length, img_error *err);

/* ------------------------------------------------------------ log.c, view.c */

/* Find what the log asks for; replay->count 0: nothing. To be freed in any case. */
int vhdx_replay_read(struct vhdx *v, struct vhdx_replay *replay, img_error *err);
void vhdx_replay_free(struct vhdx_replay *replay);
/* Do to a piece of the file in memory what the log asks for. */
void vhdx_replay_on(const struct vhdx_replay *replay, uint64_t offset, uint8_t *bytes,
                    size_t length);
/* Do it to the file, and empty the log. */
int vhdx_replay_apply(struct vhdx *v, const struct vhdx_replay *replay, img_error *err);
/* The file as it would be, for reading. Takes over what replay holds. */
int vhdx_view_new(struct imgi_io **view, struct imgi_io *file, struct vhdx_replay *replay,
                  img_error *err);

/* ------------------------------------------------------------- log_write.c */

/*
 * Write sectors of the file through the log. What they point at is on disk already; they are, when
 * it returns.
 */
int vhdx_log_write(struct vhdx *v, const struct vhdx_change *changes, uint32_t count,
                   img_error *err);
/* Nothing in the log is needed any more: say so. */
int vhdx_log_end(struct vhdx *v, img_error *err);

/* ------------------------------------------------------------------- bat.c */

/* How many entries a disk needs. */
uint64_t vhdx_bat_entries(uint64_t blocks, uint32_t chunk_ratio, bool has_parent);
static inline uint32_t vhdx_chunk_ratio(uint32_t block_size, uint32_t logical_sector)
{
    return (uint32_t)(VHDX_BITMAP_SECTORS * logical_sector / block_size);
}
int vhdx_bat_read(struct vhdx *v, img_error *err);
/* Make room in memory for a disk of that many blocks. */
int vhdx_bat_resize(struct vhdx *v, uint64_t blocks, img_error *err);
uint64_t vhdx_bat_get(const struct vhdx *v, uint64_t block);
/* The entry of the sector bitmap of the block's chunk. */
uint64_t vhdx_bat_get_bitmap(const struct vhdx *v, uint64_t block);
void vhdx_bat_set(struct vhdx *v, uint64_t block, uint64_t entry);
/* Bytes of the disk in a block. */
uint64_t vhdx_block_bytes(const struct vhdx *v, uint64_t block);
/* Put on disk what has changed: data first. */
int vhdx_bat_write(struct vhdx *v, img_error *err);

/* ------------------------------------------------------------------- map.c */

/* The entry of a block is one that can be: state, offset, nobody else's place. */
int vhdx_entry_check(const struct vhdx *v, uint64_t block, uint64_t entry, img_error *err);
int vhdx_map(struct imgi_node *node, uint64_t offset, uint64_t length, struct imgi_extent *run,
             img_error *err);

/* ----------------------------------------------------------------- write.c */

/* The first byte that nothing uses. Refuses a file that has lost blocks. */
int vhdx_find_next(struct vhdx *v, img_error *err);
/* Take space at the end of the file for so many whole blocks; the file has it when this returns. */
int vhdx_take_blocks(struct vhdx *v, uint64_t count, uint64_t *host, img_error *err);
int vhdx_reserve(struct imgi_node *node, struct imgi_alloc *alloc, img_error *err);
int vhdx_link(struct imgi_node *node, const struct imgi_alloc *alloc, img_error *err);
void vhdx_cancel(struct imgi_node *node, const struct imgi_alloc *alloc);
int vhdx_zero(struct imgi_node *node, uint64_t offset, uint64_t length, bool unmap, img_error *err);
int vhdx_discard(struct imgi_node *node, uint64_t offset, uint64_t length, img_error *err);
int vhdx_flush(struct imgi_node *node, img_error *err);
int vhdx_finish(struct imgi_node *node, img_error *err);

/* ------------------------------------------- create.c, resize.c, check.c */

extern const struct imgi_opt vhdx_create_options[];
int vhdx_create(struct imgi_create *create, img_error *err);
int vhdx_measure(const struct imgi_measure *measure, img_measure_result *result, img_error *err);
int vhdx_reach(struct imgi_node *node, uint64_t size, img_error *err);
/* As the driver's can_resize. */
int vhdx_can_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode,
                    img_error *err);
int vhdx_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode, img_error *err);
int vhdx_check(struct imgi_node *node, struct imgi_checker *checker, img_error *err);

#endif
