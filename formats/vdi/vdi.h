/*
 * What the parts of the VDI driver share. SPDX-License-Identifier: BSD-2-Clause
 *
 * The block map is in memory whole. Everything here is protected by node->lock, or does not change
 * after open.
 */
#ifndef VDI_VDI_H
#define VDI_VDI_H

#include "disk.h"

/* The dirty part of the map is written by so many bytes. */
#define VDI_MAP_UNIT VDI_SECTOR

struct vdi_state {
    struct vdi_header header;
    uint8_t head[VDI_HEADER_BYTES]; /* as on disk, with what the struct does not have */
    uint8_t *map;                   /* as on disk; header.blocks entries */
    uint8_t *dirty;                 /* a byte for each unit of the map: to be written */
    bool changed;                   /* the header or some of the map are to be written */
    /* A bit for each place that a block may have: somebody has it; more than one has it. */
    uint8_t *used, *shared;
    uint32_t places; /* how many there are */
    uint32_t next;   /* the first one behind all that were ever given out */
    bool parent_judged;
};

static inline struct vdi_state *vdi_state(const struct imgi_node *node)
{
    return node->state;
}
static inline bool vdi_bit(const uint8_t *bits, uint32_t n)
{
    return bits[n / 8] >> n % 8 & 1;
}
static inline void vdi_bit_set(uint8_t *bits, uint32_t n)
{
    bits[n / 8] = (uint8_t)(bits[n / 8] | 1u << n % 8);
}
static inline void vdi_bit_clear(uint8_t *bits, uint32_t n)
{
    bits[n / 8] = (uint8_t)(bits[n / 8] & ~(1u << n % 8));
}
static inline uint32_t vdi_entry(const struct vdi_state *state, uint32_t block)
{
    return imgi_get_le32(state->map + 4 * (size_t)block);
}
/* Where a block at that place lies in the file. */
static inline uint64_t vdi_host(const struct vdi_state *state, uint32_t place)
{
    return state->header.offset_data + (uint64_t)place * state->header.block_size;
}
/* Bytes that a map of so many blocks takes up in the file. */
static inline size_t vdi_map_bytes(uint32_t blocks)
{
    return (size_t)imgi_align_up(4 * (uint64_t)blocks, VDI_MAP_UNIT);
}

/* ------------------------------------------------------------------- open.c */

int vdi_open(struct imgi_node *node, img_error *err);
void vdi_close(struct imgi_node *node);
/*
 * Find out which places are taken, and which are by more than one block. There are no more places
 * than the file has, and the header counts or the map names.
 */
int vdi_find_used(struct imgi_node *node, img_error *err);
int vdi_begin_write(struct imgi_node *node, img_error *err);

/* -------------------------------------------------------------------- map.c */

int vdi_map(struct imgi_node *node, uint64_t offset, uint64_t length, struct imgi_extent *run,
            img_error *err);
void vdi_entry_set(struct vdi_state *state, uint32_t block, uint32_t value);
int vdi_reserve(struct imgi_node *node, struct imgi_alloc *alloc, img_error *err);
int vdi_link(struct imgi_node *node, const struct imgi_alloc *alloc, img_error *err);
void vdi_cancel(struct imgi_node *node, const struct imgi_alloc *alloc);
int vdi_zero(struct imgi_node *node, uint64_t offset, uint64_t length, bool unmap, img_error *err);
int vdi_discard(struct imgi_node *node, uint64_t offset, uint64_t length, img_error *err);
/* What is in memory of the header and the map: to the disk, when what it names is there. */
int vdi_flush(struct imgi_node *node, img_error *err);
int vdi_header_write(struct imgi_node *node, img_error *err);

/* ------------------------------------------------------------------- move.c */

/*
 * Give a block that has a place a copy of its data at another, free one. In memory the map names
 * that; vdi_flush puts it on disk.
 */
int vdi_move_block(struct imgi_node *node, uint32_t block, uint32_t place, img_error *err);

/* ---------------------------------------------- create.c, check.c, resize.c */

extern const struct imgi_opt vdi_create_options[];
int vdi_create(struct imgi_create *create, img_error *err);
int vdi_check(struct imgi_node *node, struct imgi_checker *checker, img_error *err);
int vdi_reach(struct imgi_node *node, uint64_t size, img_error *err);
/* As the driver's can_resize. */
int vdi_can_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode,
                   img_error *err);
int vdi_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode, img_error *err);
int vdi_measure(const struct imgi_measure *measure, img_measure_result *result, img_error *err);

#endif
