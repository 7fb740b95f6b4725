/*
 * What the parts of the VHD driver share. SPDX-License-Identifier: BSD-2-Clause
 *
 * A fixed image is the disk and a footer. Others have a copy of the footer in front, the dynamic
 * header, the block allocation table (BAT), blocks with a bitmap of their sectors before each, and
 * the footer. Everything here is protected by node->lock, or does not change after open.
 */
#ifndef VHD_VHD_H
#define VHD_VHD_H

#include "disk.h"

/* The dirty part of the BAT is written by so many bytes. */
#define VHD_BAT_UNIT VHD_SECTOR

struct vhd_state {
    struct vhd_footer footer;
    uint8_t foot[VHD_FOOTER_BYTES]; /* as on disk, with what the struct does not have */
    uint64_t end;                   /* of the data: where the footer belongs */
    bool footer_due;                /* the data's end has moved: it is to be written there */
    bool footer_found;              /* it was there and good when the image was opened */

    /* All types but fixed. */
    struct vhd_header header;
    uint8_t head[VHD_HEADER_BYTES];
    uint8_t *bat;    /* as on disk */
    uint8_t *dirty;  /* a byte for each unit of the BAT: to be written */
    bool changed;    /* some of the BAT is to be written */
    uint8_t *shared; /* a bit for each block: it overlaps another one, or metadata */
    uint8_t *full;   /* likewise: its bitmap is known to be all ones */
    uint32_t bitmap_bytes;
    struct imgi_cache *bitmaps;
    bool parent_judged;
};

static inline struct vhd_state *vhd_state(const struct imgi_node *node)
{
    return node->state;
}
static inline bool vhd_is_fixed(const struct vhd_state *state)
{
    return state->footer.type == VHD_TYPE_FIXED;
}
static inline bool vhd_bit(const uint8_t *bits, uint64_t n)
{
    return bits[n / 8] >> n % 8 & 1;
}
static inline void vhd_bit_set(uint8_t *bits, uint64_t n)
{
    bits[n / 8] = (uint8_t)(bits[n / 8] | 1u << n % 8);
}
static inline uint32_t vhd_entry(const struct vhd_state *state, uint64_t block)
{
    return imgi_get_be32(state->bat + 4 * block);
}
/* Bytes that a bitmap and its block take up. */
static inline uint64_t vhd_slot_bytes(const struct vhd_state *state)
{
    return (uint64_t)state->bitmap_bytes + state->header.block_size;
}
/* Bytes that a BAT takes up. */
static inline uint64_t vhd_bat_bytes(uint32_t entries)
{
    return imgi_align_up(4 * (uint64_t)entries, VHD_SECTOR);
}

/* ----------------------------------------------------------- open.c, parent.c */

extern const struct imgi_opt vhd_open_options[];
int vhd_open(struct imgi_node *node, img_error *err);
void vhd_close(struct imgi_node *node);
/* The parent's name, from the locators, as the node's backing name. */
int vhd_parent_find(struct imgi_node *node, img_error *err);
/* It must be the right one, when it is first needed. */
int vhd_parent_judge(struct imgi_node *node, img_error *err);

/* ------------------------------------------------------------------ overlap.c */

/* A piece of the file: a block with its bitmap, or metadata. */
struct vhd_slot {
    uint64_t start, end;
    uint32_t block; /* VHD_ENTRY_ABSENT: metadata */
};

/* Whether a parent locator is there. Only children have any. */
static inline bool vhd_has_locator(const struct vhd_state *state, size_t n)
{
    return state->footer.type == VHD_TYPE_DIFFERENCING && state->header.locators[n].code != 0;
}
/* All of them in order, metadata too, to be freed. */
int vhd_slots_sort(const struct vhd_state *state, struct vhd_slot **slots, size_t *count,
                   img_error *err);
/*
 * Mark the blocks that overlap one another, the header, the BAT or a parent locator, or lie before
 * them. *end: of the last block or metadata.
 */
int vhd_find_shared(struct vhd_state *state, uint64_t *end, img_error *err);

/* ------------------------------------------------------------------- bitmap.c */

int vhd_bitmaps_open(struct imgi_node *node, img_error *err);
/* The bitmap of a block that the BAT has, valid until the next call. */
int vhd_bitmap_get(struct vhd_state *state, uint64_t block, uint8_t **bitmap, img_error *err);
/* Whether all sectors of a block are marked as written. */
int vhd_bitmap_full(struct vhd_state *state, uint64_t block, bool *full, img_error *err);
/* How many bytes from that byte of the block on have bits alike; *here: they are set. */
int vhd_bitmap_run(struct vhd_state *state, uint64_t block, uint64_t from, uint64_t *length,
                   bool *here, img_error *err);
/* Set the bits of from..to, bytes of the block. `fresh`: the block is new, at that byte. */
int vhd_bitmap_set(struct vhd_state *state, uint64_t host, bool fresh, uint64_t from, uint64_t to,
                   img_error *err);

/* -------------------------------------------------------------------- block.c */

int vhd_block_map(struct imgi_node *node, uint64_t offset, uint64_t length, struct imgi_extent *run,
                  img_error *err);
void vhd_entry_set(struct vhd_state *state, uint64_t block, uint64_t host);
int vhd_reserve(struct imgi_node *node, struct imgi_alloc *alloc, img_error *err);
int vhd_link(struct imgi_node *node, const struct imgi_alloc *alloc, img_error *err);
void vhd_cancel(struct imgi_node *node, const struct imgi_alloc *alloc);
int vhd_block_zero(struct imgi_node *node, uint64_t offset, uint64_t length, bool unmap,
                   img_error *err);
/* What is in memory of the metadata: to the disk, each when what it names is there. */
int vhd_flush(struct imgi_node *node, img_error *err);
/* The footer behind the data, and the file's end behind it. */
int vhd_footer_write(struct imgi_node *node, img_error *err);

/* ------------------------------------------- create.c, check.c, resize.c */

extern const struct imgi_opt vhd_create_options[];
int vhd_create(struct imgi_create *create, img_error *err);
int vhd_measure(const struct imgi_measure *measure, img_measure_result *result, img_error *err);
int vhd_check(struct imgi_node *node, struct imgi_checker *checker, img_error *err);
int vhd_reach(struct imgi_node *node, uint64_t size, img_error *err);
/* As the driver's can_resize. */
int vhd_can_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode,
                   img_error *err);
int vhd_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode, img_error *err);

#endif
