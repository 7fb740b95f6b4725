/*
 * An open qcow2 image, and what its parts do for each other.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * node->lock covers everything in struct qcow2; pack and unpack do not look at it.
 *
 * What is in memory goes to disk in this order ("->": the file is flushed), so that a crash may
 * lose space and never points at what is not there:
 *
 *   data, refcounts -> refcount table -> L2 tables -> L1 table, tables of bitmaps -> refcounts of
 *   what was freed
 *
 * A freed cluster keeps its refcount, and so is given to nobody, until the tables that dropped
 * it are on disk (frees.c).
 */
#ifndef QCOW2_QCOW2_H
#define QCOW2_QCOW2_H

#include "disk.h"

/* ------------------------------------------------------------ tables in memory (table.c) */

/* The L1 table or the refcount table: all of it in memory, changes written back in pieces. */
struct qcow2_table {
    uint64_t *entries; /* in the host's order; NULL: not loaded */
    uint64_t count;
    uint64_t offset; /* in the file */
    uint8_t *dirty;  /* a flag for each piece of QCOW2_TABLE_PIECE entries */
    bool any_dirty;
};
#define QCOW2_TABLE_PIECE 512u

/* Make a table of count zeros in memory. */
int qcow2_table_new(struct qcow2_table *table, uint64_t offset, uint64_t count, img_error *err);
/* Read it from the file. what names it in errors. */
int qcow2_table_load(struct qcow2_table *table, const char *what, struct imgi_node *node,
                     uint64_t offset, uint64_t count, img_error *err);
void qcow2_table_set(struct qcow2_table *table, uint64_t index, uint64_t entry);
/* All of it is to be written. */
void qcow2_table_set_dirty(struct qcow2_table *table);
int qcow2_table_write(struct qcow2_table *table, struct imgi_io *io, img_error *err);
void qcow2_table_free(struct qcow2_table *table);

/* ------------------------------------------------- which clusters hold metadata (owned.c) */

enum qcow2_owner {
    QCOW2_OWNER_NONE,
    QCOW2_OWNER_HEADER,
    QCOW2_OWNER_REFTABLE,
    QCOW2_OWNER_REFBLOCK,
    QCOW2_OWNER_L1,
    QCOW2_OWNER_L2,
    QCOW2_OWNER_SNAPSHOT, /* the snapshot table and the snapshots' L1 tables */
    QCOW2_OWNER_BITMAP,   /* the bitmap directory and the bitmaps' tables */
    QCOW2_OWNER_CRYPTO    /* the LUKS header and its key slots */
};

#define QCOW2_OWNER_BITS 4 /* that hold any of them */

/* A set of host clusters, as an open hash. Kept for images that are open for writing. */
struct qcow2_owned {
    uint64_t *slots; /* cluster number << QCOW2_OWNER_BITS | owner; 0: free */
    size_t size;     /* a power of two, or 0 */
    size_t count;
};

const char *qcow2_owner_name(enum qcow2_owner owner);
enum qcow2_owner qcow2_owned_find(const struct qcow2_owned *owned, uint64_t cluster);
/* IMG_E_CORRUPT when the cluster has an owner already. */
int qcow2_owned_add(struct qcow2_owned *owned, uint64_t cluster, enum qcow2_owner owner,
                    img_error *err);
int qcow2_owned_add_run(struct qcow2_owned *owned, uint64_t cluster, uint64_t count,
                        enum qcow2_owner owner, img_error *err);
void qcow2_owned_remove(struct qcow2_owned *owned, uint64_t cluster);
void qcow2_owned_remove_run(struct qcow2_owned *owned, uint64_t cluster, uint64_t count);
void qcow2_owned_free(struct qcow2_owned *owned);

/* ------------------------------------------------------- clusters to be freed (frees.c) */

/* A run of clusters that loses a reference once the tables without them are on disk. */
struct qcow2_free {
    uint64_t cluster, count;
    bool discard; /* give the space back to the host too */
};

struct qcow2_frees {
    struct qcow2_free *runs;
    size_t count, room;
};

/* -------------------------------------------------------------- dirty bitmaps (bitmap.c) */

/* One bitmap: its record in the directory, and its table once that is needed. */
struct qcow2_bitmap {
    uint64_t table_offset;
    uint32_t table_entries;
    uint32_t flags; /* IN_USE here: found so, its content is not to be trusted */
    unsigned granularity_bits;
    char *name;               /* owned */
    struct qcow2_table table; /* entries NULL: not loaded */
    bool marked;              /* in use by us: the directory on disk says so */
    bool marking;             /* is being marked */
    bool unmarking;           /* the mark is being taken away */
};

struct qcow2_bitmap_list {
    struct qcow2_bitmap *bitmaps;
    size_t count;
    uint64_t directory_offset, directory_bytes;
};

/* ------------------------------------------------------------------------------ the image */

struct qcow2 {
    struct imgi_node *node;
    struct qcow2_header header;
    struct imgi_io *data; /* where clusters of data lie: node->file, or the external data file */

    /* Constant after open. */
    unsigned cluster_bits;
    uint32_t cluster_size;
    unsigned l2_bits; /* log2 of the entries of an L2 table */
    bool data_file;   /* external */
    bool data_raw;    /* it alone must be what the guest sees */
    bool discard_no_unref;
    bool extended_l2;
    unsigned l2_entry_bytes;  /* 8, or 16 with extended L2 entries */
    unsigned subclusters;     /* of a cluster: 1, or 32 */
    unsigned subcluster_bits; /* log2 of their bytes */
    unsigned block_bits;      /* log2 of the refcounts in a refcount block */
    uint64_t refcount_max;
    struct imgi_luks_header luks; /* crypt_method LUKS, unless opened for check */
    uint64_t crypto_offset, crypto_bytes;

    struct qcow2_table l1;
    struct qcow2_table reftable; /* loaded for writing and for check only */
    struct imgi_cache *l2_cache;
    struct imgi_cache *refcount_cache;
    struct qcow2_owned owned;
    struct qcow2_frees frees;
    struct qcow2_bitmap_list bitmaps; /* loaded when open for writing, or asked for */
    struct imgi_cache *bitmap_cache;  /* clusters of the bitmaps' bits */
    bool bitmaps_lost;                /* the disk may have other ones: bitmap_store.c */
    uint64_t free_hint;               /* every cluster below has a refcount that is not 0 */
    uint64_t stream_end; /* where the next compressed stream may be appended; 0: nowhere */
    bool lazy;           /* refcounts may be written late (lazy.c) */
    bool broken;         /* a contradiction, or a header nobody knows: nothing more is written */
};

static inline struct qcow2 *qcow2_of(const struct imgi_node *node)
{
    return node->state;
}

/* Clusters for so many bytes. */
static inline uint64_t qcow2_clusters(const struct qcow2 *q, uint64_t bytes)
{
    return imgi_div_up(bytes, q->cluster_size);
}

/* open.c */
extern const struct imgi_driver imgi_driver_qcow2;
/* Fill q from node and q->header: the constants and the caches. */
int qcow2_attach(struct qcow2 *q, struct imgi_node *node, img_error *err);
void qcow2_detach(struct qcow2 *q);
/* An empty cache for refcount blocks. */
int qcow2_refcount_cache_new(const struct qcow2 *q, struct imgi_cache **cache, img_error *err);
/* Set what depends on the width of refcounts, which amend can change. */
void qcow2_set_widths(struct qcow2 *q);
/* Load the L1 table if that has not been done. */
int qcow2_need_l1(struct qcow2 *q, img_error *err);
/* Learn anew which clusters hold metadata, after a repair of an image that is in use. */
int qcow2_own_again(struct qcow2 *q, img_error *err);
/*
 * Autoclear bits promise what a writer that does not know them cannot keep: those are cleared
 * before anything else changes.
 */
int qcow2_clear_promises(struct qcow2 *q, img_error *err);
/*
 * A contradiction in the image, which the caller has put into its error: set the corrupt bit and
 * refuse every later write. Returns IMG_E_CORRUPT.
 */
int qcow2_broken(struct qcow2 *q);
/* Fails when the image cannot be changed any more. */
int qcow2_writable(const struct qcow2 *q, img_error *err);

/* flush.c */
/* Refcounts and the refcount table to disk, flushed, for what refers to them. */
int qcow2_refcounts_out(struct qcow2 *q, img_error *err);
/* Whether refcounts or the refcount table are in memory only. */
bool qcow2_refcounts_dirty(const struct qcow2 *q);
/* lazy.c: the same, or the dirty bit in their place; flushed in any case. */
int qcow2_refcounts_promise(struct qcow2 *q, img_error *err);
/* Everything to disk, refcounts too, flushed; the dirty bit, if we have set it, is taken away. */
int qcow2_refcounts_settle(struct qcow2 *q, img_error *err);
/* The before_write hook of the L2 cache. */
int qcow2_before_l2(void *opaque, img_error *err);
/* Everything to disk, in order. The file's last flush is the caller's. */
int qcow2_flush(struct imgi_node *node, img_error *err);
/* The same with the file's flush: what is on disk is what is in memory. */
int qcow2_settle(struct qcow2 *q, img_error *err);
/*
 * Write `length` bytes of the header at `offset`, and flush. After a failure the header is what it
 * was; where that cannot be had either nobody knows what it says, and nothing more is written
 * (q->broken).
 */
int qcow2_header_update(struct qcow2 *q, unsigned offset, const void *bytes, size_t length,
                        img_error *err);

/* rewrite.c: change the header and its extensions as a whole */

/* Edits a header that was read from the file a moment ago. */
typedef int qcow2_edit_fn(struct qcow2_header *header, const void *opaque, img_error *err);
/*
 * Let `edit` change the header, write it to cluster 0, flushed, and make it q's. IMG_E_NOSPACE when
 * it does not fit in cluster 0; after a failure of `edit` or for lack of room nothing has changed.
 */
int qcow2_header_rewrite(struct qcow2 *q, qcow2_edit_fn *edit, const void *opaque, img_error *err);

/* ---------------------------------------------------------------------- L2 entries (entry.c) */

/* An L2 entry as it lies in its table. */
struct qcow2_raw {
    uint64_t cluster; /* the cluster's descriptor */
    uint64_t bitmap;  /* extended L2: of its subclusters; otherwise 0 */
};

/* The index-th entry of an L2 table in memory. */
struct qcow2_raw qcow2_raw_get(const struct qcow2 *q, const uint8_t *table, uint64_t index);
void qcow2_raw_put(const struct qcow2 *q, uint8_t *table, uint64_t index, struct qcow2_raw raw);
/*
 * Whether a descriptor that is not of a compressed cluster has a place for it. Offset 0 is one in
 * an external data file, if COPIED says so and it does not read as zeros; in the image itself it is
 * none: what lies there is the header.
 */
bool qcow2_raw_space(const struct qcow2 *q, struct qcow2_raw raw);
/* count entries from index on of a table that the L2 cache gave out have changed. */
void qcow2_raw_dirty(struct qcow2 *q, const uint8_t *table, uint64_t index, uint64_t count);

/*
 * What an L2 entry says of its cluster. Bit 0 of data and zeros is the first subcluster; without
 * extended L2 entries the cluster is the only one. A subcluster in neither of them is absent.
 */
struct qcow2_entry {
    bool packed;     /* compressed, as a whole */
    bool space;      /* there is a cluster for it, at host */
    bool copied;     /* of which nobody else knows */
    uint64_t host;   /* packed: of the first byte */
    uint64_t length; /* packed: bytes that may hold the stream */
    uint32_t data;   /* subclusters whose bytes lie at host */
    uint32_t zeros;  /* subclusters that read as zeros */
};

/* Fails with IMG_E_CORRUPT for what no entry may be. guest: for the message. */
int qcow2_entry_decode(const struct qcow2 *q, struct qcow2_raw raw, uint64_t guest,
                       struct qcow2_entry *entry, img_error *err);
struct qcow2_raw qcow2_entry_encode(const struct qcow2 *q, const struct qcow2_entry *entry);
enum imgi_kind qcow2_entry_kind(const struct qcow2_entry *entry, unsigned subcluster);
/* How many subclusters from that one on are of its kind. */
unsigned qcow2_entry_run(const struct qcow2 *q, const struct qcow2_entry *entry,
                         unsigned subcluster);
/* The bits of subclusters first..last. */
static inline uint32_t qcow2_subcluster_range(unsigned first, unsigned last)
{
    return UINT32_MAX >> (31 - (last - first)) << first;
}
/* The bits of all subclusters of a cluster. */
static inline uint32_t qcow2_subcluster_mask(const struct qcow2 *q)
{
    return qcow2_subcluster_range(0, q->subclusters - 1);
}
/* Who says that the cluster an entry leads to holds metadata. An external data file has none. */
static inline enum qcow2_owner qcow2_entry_owner(const struct qcow2 *q,
                                                 const struct qcow2_entry *entry)
{
    return q->data_file ? QCOW2_OWNER_NONE
                        : qcow2_owned_find(&q->owned, entry->host >> q->cluster_bits);
}
/* What is written there must not land on metadata, whatever the entry says. */
int qcow2_entry_guard(struct qcow2 *q, const struct qcow2_entry *entry, uint64_t guest,
                      img_error *err);
/* Which subcluster of its cluster a guest address lies in. */
static inline unsigned qcow2_subcluster(const struct qcow2 *q, uint64_t guest)
{
    return (unsigned)((guest & (q->cluster_size - 1)) >> q->subcluster_bits);
}

/* ------------------------------------------------------------------- addresses (lookup.c) */

/* Entries in an L2 table. */
static inline uint64_t qcow2_l2_entries(const struct qcow2 *q)
{
    return UINT64_C(1) << q->l2_bits;
}
static inline uint64_t qcow2_l1_index(const struct qcow2 *q, uint64_t guest)
{
    return guest >> (q->cluster_bits + q->l2_bits);
}
static inline uint64_t qcow2_l2_index(const struct qcow2 *q, uint64_t guest)
{
    return (guest >> q->cluster_bits) & (qcow2_l2_entries(q) - 1);
}
/* Guest bytes from `guest` to the end of what its L2 table maps. */
static inline uint64_t qcow2_l2_rest(const struct qcow2 *q, uint64_t guest)
{
    uint64_t covered = UINT64_C(1) << (q->cluster_bits + q->l2_bits);

    return covered - (guest & (covered - 1));
}
/* The L2 table that maps guest, for reading; NULL when there is none. Valid until the next call. */
int qcow2_l2_get(struct qcow2 *q, uint64_t guest, const uint8_t **table, img_error *err);
/* The same for writing: made if there is none, copied if it is shared. */
int qcow2_l2_own(struct qcow2 *q, uint64_t guest, uint8_t **table, img_error *err);
int qcow2_map(struct imgi_node *node, uint64_t offset, uint64_t length, struct imgi_extent *extent,
              img_error *err);

/* ----------------------------------------------------------------- refcounts (refcount.c) */

/* Refcounts in a block, by index; width 2^order bits. Pure. */
static inline uint64_t qcow2_refcount_get(const uint8_t *block, unsigned order, uint64_t index)
{
    switch (order) {
    case 0:
        return block[index / 8] >> index % 8 & 1;
    case 1:
        return block[index / 4] >> 2 * (index % 4) & 3;
    case 2:
        return block[index / 2] >> 4 * (index % 2) & 15;
    case 3:
        return block[index];
    case 4:
        return imgi_get_be16(block + 2 * index);
    case 5:
        return imgi_get_be32(block + 4 * index);
    default:
        return imgi_get_be64(block + 8 * index);
    }
}

void qcow2_refcount_put(uint8_t *block, unsigned order, uint64_t index, uint64_t value);

int qcow2_need_reftable(struct qcow2 *q, img_error *err);
/*
 * The block that counts a cluster; NULL when there is none, and all its counts are 0. Valid until
 * the refcount cache is asked again.
 */
int qcow2_refcount_block(struct qcow2 *q, uint64_t cluster, uint8_t **block, img_error *err);
/* The refcount of a host cluster; 0 where there is no block. */
int qcow2_refcount(struct qcow2 *q, uint64_t cluster, uint64_t *value, img_error *err);
/*
 * Add 1 to the refcounts of clusters whose blocks exist, or nothing at all: a count that is at its
 * maximum is IMG_E_NOSPACE.
 */
int qcow2_refcount_add(struct qcow2 *q, uint64_t cluster, uint64_t count, img_error *err);
/* Subtract 1 at once. discard: return what nobody has any more to the host. */
int qcow2_refcount_drop(struct qcow2 *q, uint64_t cluster, uint64_t count, bool discard,
                        img_error *err);
/*
 * Free clusters from *cluster on: sets *cluster and *count (at most `count`) to the first run,
 * whose refcount blocks it makes. `exact`: a run of all count clusters.
 */
int qcow2_find_free(struct qcow2 *q, uint64_t *cluster, uint64_t *count, bool exact,
                    img_error *err);
/*
 * reftable.c: see to it that the refcount block for a cluster exists, and that the refcount
 * table reaches as far as count clusters. *made: something was made, which may lie in clusters
 * that were free.
 */
int qcow2_need_block(struct qcow2 *q, uint64_t cluster, uint64_t count, bool *made, img_error *err);

/* -------------------------------------------------------------------- space (alloc.c, frees.c) */

/* A run of at most count clusters (exactly count when `exact`), with refcount 1. */
int qcow2_alloc(struct qcow2 *q, uint64_t count, bool exact, uint64_t *cluster, uint64_t *got,
                img_error *err);
/* As qcow2_alloc, for clusters of metadata: the owner is noted. */
int qcow2_alloc_metadata(struct qcow2 *q, uint64_t count, enum qcow2_owner owner, uint64_t *cluster,
                         img_error *err);
/* What that gave is not used after all: nothing refers to it. */
void qcow2_cancel_metadata(struct qcow2 *q, uint64_t cluster, uint64_t count);
/* Space for a compressed stream: *host is its first byte. */
int qcow2_alloc_stream(struct qcow2 *q, uint64_t length, uint64_t *host, img_error *err);
/* Note a run of clusters in a list. */
int qcow2_frees_add(struct qcow2_frees *frees, uint64_t cluster, uint64_t count, bool discard,
                    img_error *err);
/* The clusters lose a reference once all that is in memory now is on disk. */
int qcow2_free_later(struct qcow2 *q, uint64_t cluster, uint64_t count, bool discard,
                     img_error *err);
/* The same for what an L2 entry refers to. */
int qcow2_free_entry(struct qcow2 *q, const struct qcow2_entry *entry, bool discard,
                     img_error *err);
/*
 * Give a cluster's space back to the host, although the tables on disk still lead to it: after a
 * crash the guest sees the zeros that it asked for. The host need not take it, and an encrypted
 * image keeps it, because zeros would be decrypted.
 */
void qcow2_punch(struct qcow2 *q, uint64_t host);
/* Do it: the tables are on disk. */
int qcow2_frees_apply(struct qcow2 *q, img_error *err);
/* Flush when very many clusters are waiting. */
int qcow2_frees_limit(struct qcow2 *q, img_error *err);

/* --------------------------------------------------------------------- write.c, zero.c, resize.c
 */

int qcow2_reserve(struct imgi_node *node, struct imgi_alloc *alloc, img_error *err);
int qcow2_link(struct imgi_node *node, const struct imgi_alloc *alloc, img_error *err);
void qcow2_cancel(struct imgi_node *node, const struct imgi_alloc *alloc);
int qcow2_zero(struct imgi_node *node, uint64_t offset, uint64_t length, bool unmap,
               img_error *err);
int qcow2_discard(struct imgi_node *node, uint64_t offset, uint64_t length, img_error *err);
/* Pad the last compressed stream to a sector (compressed.c). */
int qcow2_pad_stream(struct qcow2 *q, img_error *err);
int qcow2_reach(struct imgi_node *node, uint64_t size, img_error *err);
int qcow2_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode,
                 img_error *err);
/* Make the L1 table large enough for a disk of size bytes. */
int qcow2_grow_l1(struct qcow2 *q, uint64_t size, img_error *err);

/* --------------------------------------------------------------------------- data_file.c */

/*
 * Set q->data: open the external data file, unless the image is open for a look at its metadata
 * alone (q->data is then NULL).
 */
int qcow2_data_open(struct qcow2 *q, img_error *err);
/* Make it, beside the image. */
int qcow2_data_create(struct qcow2 *q, struct imgi_create *create, const char *name,
                      img_error *err);
/*
 * Make it fit a disk of size bytes, of which the disk gains those behind `from` (at most size) as
 * zeros. mode other than off: they are about to be mapped.
 */
int qcow2_data_resize(struct qcow2 *q, uint64_t from, uint64_t size, enum img_preallocation mode,
                      img_error *err);
/* What is to read as zeros must be zeros in a raw data file. Nothing to do for others. */
int qcow2_data_zero(struct qcow2 *q, uint64_t offset, uint64_t length, bool unmap, img_error *err);

/* -------------------------------------------------------------- backing.c, empty.c, trim.c */

int qcow2_set_backing(struct imgi_node *node, const char *name, const char *format,
                      const struct imgi_node *backing, img_error *err);

/* preallocate.c: give the clusters from `from` to the disk's end places, which hold zeros. */
int qcow2_preallocate(struct qcow2 *q, uint64_t from, enum img_preallocation mode, img_error *err);

/*
 * Drop all references from the guest's cluster at `from` on, beyond the disk's end too. In memory;
 * the next flush takes it to disk.
 */
int qcow2_drop_from(struct qcow2 *q, uint64_t from, img_error *err);
/* Drop all references to data: every guest byte is absent afterwards. */
int qcow2_make_empty(struct imgi_node *node, img_error *err);
/*
 * Everything is on disk: drop refcount blocks at the end that count nothing but themselves, and cut
 * the file off behind the last cluster in use.
 */
int qcow2_trim(struct qcow2 *q, img_error *err);

/* ---------------------------------------------------- snapshots (snapshot.c, snapshots.c) */

struct qcow2_snapshots {
    struct qcow2_snapshot *list;
    size_t count;
    uint64_t bytes; /* of the table */
};
int qcow2_snapshots_load(struct qcow2 *q, struct qcow2_snapshots *snapshots, img_error *err);
void qcow2_snapshots_free(struct qcow2_snapshots *snapshots);
int qcow2_info_snapshots(struct imgi_node *node, struct imgi_info *info, img_error *err);
/* The place of a snapshot's L1 table makes sense. */
int qcow2_snapshot_check(struct qcow2 *q, const struct qcow2_snapshot *snapshot, img_error *err);

int qcow2_snapshot_list(struct imgi_node *node, img_snapshot **list, size_t *count, img_error *err);
int qcow2_snapshot_create(struct imgi_node *node, const img_snapshot *snapshot, img_error *err);
int qcow2_snapshot_apply(struct imgi_node *node, const char *id, const char *name, img_error *err);
int qcow2_snapshot_delete(struct imgi_node *node, const char *id, const char *name, img_error *err);
int qcow2_snapshot_view(struct imgi_node *node, const char *id, const char *name, img_error *err);

/* ----------------------------------------------------- dirty bitmaps (bitmap*.c, bitmap.h) */

/*
 * What the directory says. An empty list where the image has no bitmaps, or none that can be
 * relied on.
 */
int qcow2_bitmaps_load(struct qcow2 *q, struct qcow2_bitmap_list *list, img_error *err);
void qcow2_bitmaps_free(struct qcow2_bitmap_list *list);
/* The image is opened for writing: load the bitmaps, or drop those that cannot be relied on. */
int qcow2_bitmaps_open(struct qcow2 *q, img_error *err);
/* Note the clusters of the directory and of the tables of the bitmaps that are loaded. */
int qcow2_bitmaps_own(struct qcow2 *q, img_error *err);
/* The tables of the bitmaps to disk, with what they name; the refcounts are there, flushed. */
int qcow2_bitmaps_out(struct qcow2 *q, img_error *err);
/* A writer is done: all to disk, and the bitmaps can be relied on again. */
int qcow2_bitmaps_finish(struct qcow2 *q, img_error *err);
/*
 * The disk changes its size: the first is called before anything has changed, and fails when a
 * bitmap could not follow; the second when node->size and the header say the new size.
 */
int qcow2_bitmaps_before_resize(struct qcow2 *q, uint64_t size, img_error *err);
int qcow2_bitmaps_resize(struct qcow2 *q, uint64_t old_size, img_error *err);
/* It was to become size, and that failed. */
void qcow2_bitmaps_not_resized(struct qcow2 *q, uint64_t size);
/* Any way in which the guest's bytes are about to change (driver.h). */
int qcow2_track(struct imgi_node *node, uint64_t offset, uint64_t length, img_error *err);
extern const struct imgi_bitmap_ops qcow2_bitmap_ops;

/* ----------------------------------------------------------------- options.c, measure.c, ... */

/* ------------------------------------------------------------------------- encryption (crypt.c) */

/* How a new image is encrypted. */
struct qcow2_crypt_choice {
    enum qcow2_crypt method;
    struct imgi_luks_params luks;
    uint64_t luks_bytes; /* of the LUKS header and its key slots; 0: none */
};
/* Read it from create options. The secret is not looked for yet. */
int qcow2_crypt_wanted(const struct imgi_encryption *from, struct qcow2_crypt_choice *choice,
                       img_error *err);
/* In create: make what the choice needs, and create->cipher. */
int qcow2_crypt_create(struct qcow2 *q, struct imgi_create *create,
                       const struct qcow2_crypt_choice *choice, img_error *err);
/* In open: read the LUKS header, and make node->cipher unless the image's metadata is all that is
 * wanted. */
int qcow2_crypt_open(struct qcow2 *q, struct imgi_node *node, img_error *err);
/* Whether there are key slots to be changed, and the change. */
int qcow2_crypt_check_amend(const struct qcow2 *q, img_error *err);
int qcow2_crypt_amend(struct qcow2 *q, const struct imgi_amend *amend, img_error *err);
void qcow2_crypt_info(const struct qcow2 *q, struct imgi_info *info);

/* Create options, checked. */
struct qcow2_options {
    uint32_t version;
    unsigned cluster_bits, refcount_order;
    enum qcow2_compression compression;
    enum img_preallocation preallocation;
    bool lazy_refcounts, extended_l2, backing;
    struct qcow2_crypt_choice crypt;
    const char *data_file; /* NULL: none */
    bool data_raw;
};
extern const struct imgi_opt qcow2_create_options[], qcow2_open_options[];
int qcow2_options_read(const img_options *options, const struct imgi_opt *table,
                       struct qcow2_options *result, img_error *err);
/* Bytes of a file whose disk of that size is fully allocated. */
int qcow2_full_size(const struct qcow2_options *options, uint64_t size, uint64_t *bytes,
                    img_error *err);

extern const struct imgi_opt qcow2_amend_options[];
int qcow2_amend(struct imgi_node *node, struct imgi_amend *amend, img_error *err);

int qcow2_create(struct imgi_create *create, img_error *err);
int qcow2_measure(const struct imgi_measure *measure, img_measure_result *result, img_error *err);
int qcow2_info(struct imgi_node *node, struct imgi_info *info, img_error *err);
int qcow2_check(struct imgi_node *node, struct imgi_checker *checker, img_error *err);
int qcow2_compact(struct imgi_node *node, struct imgi_compacter *compacter, img_error *err);
/*
 * The image was not closed properly, and its refcounts may lag behind its tables (lazy refcounts):
 * repair all of it, saying nothing. Fails when something remains that cannot be mended.
 */
int qcow2_repair_dirty(struct imgi_node *node, img_error *err);

#endif
