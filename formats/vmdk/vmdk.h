/*
 * What the parts of the VMDK driver share. SPDX-License-Identifier: BSD-2-Clause
 *
 * An image is a list of extents, one behind the other. Sparse ones have grains, found through a
 * grain directory and grain tables; flat ones are a piece of a file; ZERO ones have no file.
 * Everything here is protected by node->lock, or does not change after open.
 */
#ifndef VMDK_VMDK_H
#define VMDK_VMDK_H

#include "descriptor.h"
#include "disk.h"

/* One sparse extent file, hosted (KDMV) or of ESX (COWD), which differ in their headers. */
struct vmdk_sparse {
    struct imgi_io *io;
    bool cowd;                 /* header is then what a hosted extent would say */
    uint32_t header_sectors;   /* that it takes up */
    uint32_t free_sector;      /* COWD: from there on nothing is used, as the file says */
    struct vmdk_header header; /* gd_offset is the real one, also when the footer told it */
    uint64_t grain;            /* bytes */
    uint64_t size;             /* bytes of disk that it may be asked for */
    uint64_t gd_entries;
    uint8_t *gd, *rgd; /* as on disk; rgd is NULL unless redundant tables must be kept */
    bool gd_dirty;
    struct imgi_cache *tables, *redundant; /* redundant: as rgd */
    uint64_t next; /* writable: the first byte that nothing uses, at a grain's border */
    bool has_footer;
    bool marked;                    /* uncleanShutdown stands in the header because of us */
    struct vmdk_stream *stream;     /* being written as a stream, or NULL */
    struct vmdk_salvage *salvage;   /* its map was made by its markers, or NULL */
    struct vmdk_sequence *sequence; /* being read from a pipe, or NULL: then there are no tables */
};

/* Memory for the tables of one image, whatever the number of its extents. */
#define VMDK_TABLES_BUDGET (2u << 20)

struct vmdk_extent {
    uint64_t offset, length; /* bytes of the disk */
    enum vmdk_access access;
    enum vmdk_type type;
    char *name;                 /* as the descriptor has it; NULL: the main file itself, or none */
    struct imgi_io *io;         /* NULL: ZERO, NOACCESS, or opened without files */
    uint64_t host;              /* FLAT, VMFS: byte of io */
    struct vmdk_sparse *sparse; /* SPARSE, VMFSSPARSE */
    struct vmdk_sesparse *sesparse; /* SESPARSE */
};

struct vmdk_state {
    struct vmdk_descriptor descriptor;
    uint64_t descriptor_offset,
        descriptor_room; /* bytes of the main file; room 0: it is all of it */
    char *create_type;
    bool typeless; /* create_type is not the descriptor's, which has none: for a check */
    uint32_t cid, parent_cid, next_parent_cid; /* the last: see parent.c */
    bool parent_judged;                        /* the parent's CID has been compared */
    bool devices;                              /* may be extents */
    struct vmdk_extent *extents;
    size_t extent_count;
    uint64_t directory_bytes; /* of all grain directories in memory */
};

static inline uint32_t vmdk_table_bytes(const struct vmdk_sparse *sparse)
{
    return sparse->header.num_gtes * 4;
}

static inline uint32_t vmdk_table_sectors(const struct vmdk_sparse *sparse)
{
    return vmdk_table_bytes(sparse) / VMDK_SECTOR;
}

/* A line says of a sparse extent what its header does, which may be rounded up to whole grains. */
static inline bool vmdk_sizes_agree(const struct vmdk_extent_line *line,
                                    const struct vmdk_header *header)
{
    return line->sectors <= header->capacity &&
           header->capacity - line->sectors < header->grain_size;
}

static inline struct vmdk_state *vmdk_state(const struct imgi_node *node)
{
    return node->state;
}

/* ------------------------------------------------------------------- open.c */

int vmdk_open(struct imgi_node *node, img_error *err);
void vmdk_close(struct imgi_node *node);

/* ---------------------------------------------------------------- extents.c */

/* Append the extent of a line to the image, whose list has room for it. */
int vmdk_extent_add(struct imgi_node *node, const struct vmdk_extent_line *line, img_error *err);
/* Once all extents are there: the node's cluster size and grain. */
int vmdk_extents_choose_cluster(struct imgi_node *node, img_error *err);
/* The extent that holds the disk's byte. */
struct vmdk_extent *vmdk_extent_at(const struct vmdk_state *state, uint64_t offset);

/* ----------------------------------------------------------------- tables.c */

/* The caches, once the directories are there. extents: how many share the memory. */
int vmdk_tables_open(struct vmdk_sparse *sparse, size_t extents, img_error *err);
/*
 * The entries of a table, as on disk, valid until the next call; NULL when the directory has no
 * such table.
 */
int vmdk_table_get(const struct vmdk_sparse *sparse, uint64_t index, const uint8_t **entries,
                   img_error *err);
/* Change the entry of a grain of the extent, in both copies; makes the table if need be. */
int vmdk_table_set(struct vmdk_sparse *sparse, uint64_t grain, uint32_t value, img_error *err);
/*
 * Write all changed tables, then the directories that name new ones; each only when what
 * it points at is on the disk.
 */
int vmdk_tables_write(struct vmdk_sparse *sparse, img_error *err);
/* A table may lie at the sector that a directory's entry names. */
int vmdk_table_check_place(const struct vmdk_sparse *sparse, const char *what, uint64_t index,
                           uint32_t sector, img_error *err);
/* Take space at the end of the file for that many bytes. */
int vmdk_sparse_append(struct vmdk_sparse *sparse, uint64_t bytes, uint64_t *host, img_error *err);
/* The file is as long as what was taken of it, and all that was written is on disk. */
int vmdk_sparse_settle(struct vmdk_sparse *sparse, img_error *err);

/* ----------------------------------------------------------------- sparse.c */

/* Open a sparse extent of that type, one of so many. *sparse is to be freed, after a failure too.
 */
int vmdk_sparse_open(struct imgi_node *node, struct imgi_io *io, enum vmdk_type type,
                     size_t extents, struct vmdk_sparse **sparse, img_error *err);
/* Read one grain directory into memory, to be freed. sector has been checked with the header. */
int vmdk_directory_read(struct imgi_node *node, const struct vmdk_sparse *sparse, uint64_t sector,
                        uint8_t **entries, img_error *err);
void vmdk_sparse_free(struct vmdk_sparse *sparse);
int vmdk_sparse_map(struct imgi_node *node, const struct vmdk_extent *extent, uint64_t offset,
                    uint64_t length, struct imgi_extent *run, img_error *err);
int vmdk_sparse_reserve(const struct imgi_node *node, const struct vmdk_extent *extent,
                        struct imgi_alloc *alloc, img_error *err);
int vmdk_sparse_link(const struct vmdk_extent *extent, const struct imgi_alloc *alloc,
                     img_error *err);
void vmdk_sparse_cancel(struct vmdk_sparse *sparse, const struct imgi_alloc *alloc);
/* Let count grains from that one on have entries that begin with value and go up by step. */
int vmdk_sparse_set_entries(struct vmdk_sparse *sparse, uint64_t grain, uint64_t count,
                            uint32_t value, uint32_t step, img_error *err);

/* ------------------------------------------------------------------- zero.c */

/* As the driver's zero, within one extent. */
int vmdk_sparse_zero(struct imgi_node *node, const struct vmdk_extent *extent, uint64_t offset,
                     uint64_t length, bool unmap, img_error *err);

/* --------------------------------------------------------------- sesparse.c */

/* Open a seSparse extent, one of so many. *sesparse is to be freed, after a failure too. */
int vmdk_sesparse_open(struct imgi_node *node, struct imgi_io *io, size_t extents,
                       struct vmdk_sesparse **sesparse, img_error *err);
void vmdk_sesparse_free(struct vmdk_sesparse *sesparse);
/* Bytes that it may be asked for. */
uint64_t vmdk_sesparse_capacity(const struct vmdk_sesparse *sesparse);
/* A run of at most length bytes from byte `at` of the extent on. run->offset is set. */
int vmdk_sesparse_map(const struct vmdk_sesparse *sesparse, uint64_t at, uint64_t length,
                      struct imgi_extent *run, img_error *err);
int vmdk_sesparse_check_extent(struct imgi_node *node, const struct vmdk_extent *extent,
                               struct imgi_checker *checker, img_error *err);

/* ------------------------------------------------------------------- cowd.c */

/* What vmdk_sparse_open needs to know of the extent in sparse->io. */
int vmdk_cowd_read_header(struct vmdk_sparse *sparse, uint64_t *file_size, img_error *err);
/* Write capacity and place of the directory as they are in memory: all of them in one sector. */
int vmdk_cowd_store(const struct vmdk_sparse *sparse, img_error *err);
/* Before tables name what has been appended: the file says that it is in use. */
int vmdk_cowd_settle(struct vmdk_sparse *sparse, img_error *err);
/* An empty extent of that many bytes. */
int vmdk_cowd_create(struct imgi_io *io, uint64_t size, img_error *err);

/* ----------------------------------------------------------------- stream.c */

/* Fill in the place of the grain directory from the footer. */
int vmdk_stream_locate(struct imgi_io *io, struct vmdk_header *header, img_error *err);
/*
 * Write the header and, right behind it, the descriptor, at once: a pipe takes no other order. A
 * stream that has no footer is no image yet anyway.
 */
int vmdk_stream_start(struct imgi_io *io, const struct vmdk_header *header, const char *descriptor,
                      size_t length, img_error *err);
int vmdk_stream_begin(struct vmdk_sparse *sparse, img_error *err);
/* The entries of the table that is being filled, when it is that one; otherwise NULL. */
const uint8_t *vmdk_stream_table(const struct vmdk_stream *stream, uint64_t index);
int vmdk_stream_reserve(struct vmdk_sparse *sparse, uint64_t grain, struct imgi_alloc *alloc,
                        img_error *err);
void vmdk_stream_cancel(struct vmdk_sparse *sparse, const struct imgi_alloc *alloc);
int vmdk_stream_finish(struct vmdk_sparse *sparse, img_error *err);
/* A grain as its marker has it. */
struct vmdk_grain {
    uint64_t number; /* of the extent's grains */
    uint64_t host;   /* byte of the file where the marker is */
    uint32_t size;   /* compressed bytes */
};

/* Decompress a grain, its marker in front, into a whole grain's bytes. */
int vmdk_grain_unpack(const struct vmdk_sparse *sparse, struct imgi_unpacker *unpacker,
                      const struct vmdk_grain *grain, const uint8_t *bytes, uint8_t *out,
                      img_error *err);
int vmdk_pack(const struct imgi_node *node, struct imgi_packer *packer, uint64_t offset,
              const void *in, size_t length, void *out, size_t capacity, size_t *packed,
              img_error *err);
int vmdk_unpack(const struct imgi_node *node, struct imgi_unpacker *unpacker,
                const struct imgi_extent *extent, const void *in, size_t in_length, void *out,
                size_t out_length, img_error *err);

/* ---------------------------------------------------------------- salvage.c */

/*
 * Make the map of a stream by its markers, and by the tables, unless they cannot be had: why.
 * Then node->salvaged says so.
 */
int vmdk_salvage_open(struct imgi_node *node, struct vmdk_sparse *sparse, const char *why,
                      img_error *err);
void vmdk_salvage_free(struct vmdk_salvage *salvage); /* NULL is allowed */
/* The entries of a table, as on disk, or NULL. */
const uint8_t *vmdk_salvage_table(const struct vmdk_salvage *salvage, uint64_t index);

/* --------------------------------------------------------------- sequence.c */

/* A stream in a pipe, whose header is there. */
int vmdk_sequence_begin(struct vmdk_sparse *sparse, img_error *err);
void vmdk_sequence_free(struct vmdk_sequence *sequence); /* NULL is allowed */
/* One run from byte `at` of the extent on, as far as that is known without going on. */
int vmdk_sequence_map(const struct vmdk_sparse *sparse, uint64_t at, uint64_t length,
                      struct imgi_extent *run, img_error *err);
/* As the driver's pass. */
int vmdk_sequence_pass(const struct vmdk_sparse *sparse, uint64_t at, img_error *err);

/* ------------------------------------------------------------------ store.c */

/*
 * Write the header as it is in memory, but for what is not known here: that stays. The header of a
 * stream goes on leaving the directory to the footer.
 */
int vmdk_header_store(const struct vmdk_sparse *sparse, img_error *err);
/*
 * Make the text the image's, and with it, when it is embedded, the extent's capacity (sectors). On
 * disk when it returns; a machine that stops leaves the old or the new. The text is taken over.
 */
int vmdk_descriptor_store(struct imgi_node *node, struct vmdk_descriptor *text, uint64_t capacity,
                          img_error *err);
/* The same, the capacity staying what it is. */
int vmdk_descriptor_update(struct imgi_node *node, struct vmdk_descriptor *text, img_error *err);
/*
 * The same in one write, for a text in which nothing but digits of identifiers has changed: it is
 * a descriptor whichever of its sectors are the new ones.
 */
int vmdk_descriptor_overwrite(struct imgi_node *node, struct vmdk_descriptor *text, img_error *err);
/* The text in memory is the one on disk. */
bool vmdk_descriptor_is_stored(const struct imgi_node *node);

/* ------------------------------------------------- drop.c, grow.c, resize.c */

/* Give up all grains of the extent from `first` on. On disk when it returns. */
int vmdk_sparse_drop(struct vmdk_sparse *sparse, uint64_t first, img_error *err);
/* Let the file end there, and freeSector with it; nothing in use may lie behind. */
int vmdk_sparse_cut(struct vmdk_sparse *sparse, uint64_t end, img_error *err);
/* Give back the space of everything in the file that nothing refers to any more. */
int vmdk_sparse_trim(const struct imgi_node *node, struct vmdk_sparse *sparse, img_error *err);
int vmdk_make_empty(struct imgi_node *node, img_error *err);
/*
 * See to it that an extent with `old` bytes of disk can hold `size`. Its capacity on disk stays.
 */
int vmdk_sparse_reach(struct imgi_node *node, struct vmdk_sparse *sparse, uint64_t old,
                      uint64_t size, img_error *err);
/* Set the capacity, on disk when it returns. */
int vmdk_sparse_set_capacity(struct vmdk_sparse *sparse, uint64_t size, img_error *err);
/* The extent has so many bytes of disk now: fewer than before. */
void vmdk_sparse_shrunk(struct vmdk_sparse *sparse, uint64_t size);
int vmdk_reach(struct imgi_node *node, uint64_t size, img_error *err);
/* As the driver's can_resize. */
int vmdk_can_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode,
                    img_error *err);
int vmdk_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode, img_error *err);
/* The image is in parts of one size. */
bool vmdk_is_split(const struct vmdk_state *state);

/* ------------------------------------------------------------------ parts.c */

struct vmdk_extent *vmdk_last_extent(const struct vmdk_state *state);
uint64_t vmdk_extents_end(const struct vmdk_state *state);
/* The most that the last extent may have. */
uint64_t vmdk_part_limit(const struct vmdk_state *state);
/* As many parts behind the last as the size needs. They have no names as yet. */
int vmdk_parts_add(struct imgi_node *node, uint64_t size, enum img_preallocation mode,
                   img_error *err);
/* All that the parts from number `first` on have is on disk, under their names. */
int vmdk_parts_settle(const struct vmdk_state *state, size_t first, img_error *err);
/* Take the names of those parts away again. */
void vmdk_parts_retract(const struct vmdk_state *state, size_t first);
/* Those parts are no part of the image in memory any more. */
void vmdk_parts_forget(struct vmdk_state *state, size_t first);
/* Their files can be removed: nothing else can be in them. */
int vmdk_parts_check_removal(const struct imgi_node *node, size_t first, img_error *err);
/* They are no part of the image any more, nor are their files. */
int vmdk_parts_remove(struct imgi_node *node, size_t first, img_error *err);

/* ----------------------------------------------------------- cid.c, parent.c */

/* Eight hexadecimal digits. */
void vmdk_cid_digits(uint32_t cid, char digits[9]);
/* A number that children made so far cannot know; SOURCE_DATE_EPOCH makes it repeatable. */
uint32_t vmdk_new_cid(uint32_t old);
/* The content is about to change: give the image a new CID, so that its children notice. */
int vmdk_begin_write(struct imgi_node *node, img_error *err);
int vmdk_begin_write_as(struct imgi_node *node, uint32_t cid, img_error *err);
/* The extent is about to change; and what has changed of all extents is on disk. */
int vmdk_mark_unclean(struct vmdk_sparse *sparse, img_error *err);
int vmdk_mark_clean(const struct vmdk_state *state, img_error *err);

/* In open: what the descriptor says of a parent. */
int vmdk_find_parent(struct imgi_node *node, img_error *err);
/*
 * A child whose parent has changed since must not read from it ("Virtual Disk Format 5.0", Links).
 * Compared when the parent is first needed: until then the child can be looked at.
 */
int vmdk_judge_parent(struct imgi_node *node, img_error *err);
/* The name can stand in a descriptor. */
int vmdk_check_parent_name(const char *name, img_error *err);
int vmdk_set_backing(struct imgi_node *node, const char *name, const char *format,
                     const struct imgi_node *backing, img_error *err);
int vmdk_commit_begin(struct imgi_node *node, struct imgi_node *base, img_error *err);
int vmdk_commit_end(struct imgi_node *node, struct imgi_node *base, img_error *err);

/* ----------------------------------------- vmdk.c, create.c, check.c, info.c */

int vmdk_flush(struct imgi_node *node, img_error *err);

extern const struct imgi_opt vmdk_create_options[], vmdk_open_options[];
int vmdk_create(struct imgi_create *create, img_error *err);
int vmdk_measure(const struct imgi_measure *measure, img_measure_result *result, img_error *err);
int vmdk_check(struct imgi_node *node, struct imgi_checker *checker, img_error *err);
int vmdk_info(struct imgi_node *node, struct imgi_info *info, img_error *err);

#endif
