/*
 * What a format implements, and what it may call. SPDX-License-Identifier: BSD-2-Clause
 *
 * A format translates addresses; the core moves bytes. A driver answers where a range of the
 * guest's disk is and where it should go, and keeps its own metadata right. It never loops over
 * user data.
 *
 * Locking: the core holds node->lock around every driver function except probe, create, open,
 * close, amend, measure, pack and unpack, so a driver is written as if there were one thread. open,
 * close, resize, amend and what changes or opens snapshots have the node to themselves. pack and
 * unpack run on many threads at once and touch nothing but their arguments and what does not change
 * after open.
 *
 * Formats include this header and nothing else of libimg.
 */
#ifndef IMGI_DRIVER_H
#define IMGI_DRIVER_H

#include <pthread.h>

#include "cache.h"
#include "codec/codec.h"
#include "crypto/luks.h"
#include "error.h"
#include "io/io.h"
#include "options.h"
#include "policy.h"
#include "seen.h"
#include "util/base64.h"
#include "util/bytes.h"
#include "util/checked.h"
#include "util/crc32c.h"
#include "util/iszero.h"
#include "util/scramble.h"
#include "util/text.h"
#include "util/utf16.h"
#include "util/xml.h"

struct imgi_node;
struct imgi_files;
struct imgi_info;
struct imgi_checker;
struct imgi_compacter;
struct imgi_scratch;

/* ---------------------------------------------------------------- extents */

enum imgi_kind {
    IMGI_DATA,   /* io and host say where the bytes are */
    IMGI_ZERO,   /* reads as zeros */
    IMGI_ABSENT, /* ask the backing image; zeros when there is none */
    IMGI_PACKED, /* `stored` bytes at io/host, to be given to unpack; one whole cluster or unit */
    IMGI_OPAQUE  /* ask the driver's read */
};

enum imgi_extent_flags {
    IMGI_EXTENT_INPLACE = 1u << 0,  /* DATA: may be overwritten where it lies */
    IMGI_EXTENT_HOLES = 1u << 1,    /* DATA: holes of the file are zeros of the disk (raw, flat) */
    IMGI_EXTENT_RESERVED = 1u << 2, /* ZERO or ABSENT: io and host tell of space kept for it */
    IMGI_EXTENT_TAIL =
        1u << 3 /* DATA: a cluster that the file's end cuts through reads as zeros behind it */
};

/* One run of the guest's disk. map is given a zeroed one. */
struct imgi_extent {
    uint64_t offset, length; /* guest bytes */
    enum imgi_kind kind;
    unsigned flags;
    struct imgi_io *io;
    uint64_t host;   /* byte of io */
    uint64_t stored; /* PACKED: bytes that may hold the stored form (not past the end of io) */
    /* PACKED, where what is stored as one is no cluster: its guest bytes; at most IMGI_UNIT_MAX. */
    uint64_t unit, unit_length;
};
#define IMGI_UNIT_MAX (64u << 20)

/*
 * Space for guest bytes that are about to be written. The core asks for whole clusters (the last
 * may end at the disk's end); the driver may shorten length, to one cluster at least, so that the
 * space is one run.
 *
 * from..to are the guest's bytes; behind offset + length they are another reservation's. Around
 * them fill_from..fill_to, which the core sets to the whole clusters and the driver may narrow, is
 * stored too, with what it read as before.
 */
struct imgi_alloc {
    uint64_t offset, length; /* guest bytes */
    uint64_t from, to;
    uint64_t fill_from, fill_to;
    uint64_t packed;    /* bytes of the stored form of exactly one cluster, or 0: plain */
    struct imgi_io *io; /* set by the driver */
    uint64_t host;      /* set by the driver */
    uint64_t cookie[2]; /* the driver's own, from reserve to link or cancel */
};

/* ------------------------------------------------------------------ nodes */

/* What becomes of writes that are nothing but zeros. */
enum imgi_detect {
    IMGI_DETECT_OFF,  /* written */
    IMGI_DETECT_ON,   /* made zeros, as img_zero does it */
    IMGI_DETECT_UNMAP /* likewise, and the space may be given back */
};

/* What a node was opened with, for opening it again. */
struct imgi_opened {
    img_options *typed; /* what the user said of it and of all below it; or NULL */
    unsigned flags;     /* these and the cache modes: before what was typed changed them */
    enum img_cache cache, backing_cache;
};

/* One image of a chain. */
struct imgi_node {
    /* Set by the core before open. */
    const struct imgi_driver *driver;
    void *state;          /* driver->state_size bytes, zeroed */
    struct imgi_io *file; /* the main file */
    const char *name;     /* of the main file */
    unsigned flags;       /* enum img_open_flags */
    bool writable;
    bool being_made; /* by img_create: the file is what the driver's create has written */
    const img_options *options;
    const struct img_policy *policy;
    const img_secrets *secrets; /* NULL: none */
    pthread_mutex_t lock;       /* see the top of this file */

    /* Filled by the driver's open; constant afterwards, except that resize, amend and snapshots set
     * size and the core changes the backing image's name. */
    uint64_t size;         /* of the disk */
    struct imgi_io *data;  /* where new clusters lie, if that is one file; NULL: file */
    uint32_t cluster_size; /* guest bytes that are mapped and packed as one; a power of two; 0: none
                              (identity) */
    uint32_t grain; /* guest bytes that are present, absent or zero as one, where that is a part of
                       a cluster; a power of two; 0: a cluster */
    uint32_t sector_size;         /* of the disk, as its guest has it; 0: not said */
    char *backing_name;           /* malloc'd, or NULL; the core frees both */
    char *backing_format;         /* malloc'd, or NULL: not said */
    struct imgi_pack_params pack; /* codec IMGI_CODEC_NONE: cannot store compressed */
    bool pack_plain; /* who asks for compression gets plain data: qemu-img's conversions do */
    bool pack_only;  /* every write must be packed, in ascending order, each cluster once */
    bool reads_zero; /* what was never written reads as zeros (and not as the file's old content) */
    bool tracked;    /* the driver's track is to hear of changes; may change later */
    char *salvaged; /* malloc'd: what IMG_OPEN_SALVAGE had to do without, or NULL; the core frees it
                     */
    bool dirty, compressed; /* for info: not closed properly; compressed extents only */
    /*
     * DATA is stored encrypted, by sectors of 512 bytes; PACKED is not. cipher is NULL when the
     * image was opened for its metadata alone (see imgi_node_needs_key). The core frees
     * it. The number of a sector is that of its place in the file, or in the disk.
     */
    bool encrypted;
    struct imgi_cipher *cipher;
    bool cipher_by_guest;

    /* The core's own. */
    struct imgi_files *files;
    struct imgi_node *backing;
    struct imgi_ranges *ranges;
    img_options *options_owned; /* what options points to, when it is the node's; or NULL */
    struct imgi_opened opened;
    struct imgi_appliance *appliance; /* that the image is a disk of, or NULL */
    size_t appliance_disk;            /* which */
    enum imgi_detect detect_zeroes;
    bool no_unmap; /* discards do nothing, and zeros give no space back */
    bool guessed;
    bool begun; /* begin_write has been called, or need not be */
};

/* ----------------------------------------------------------------- driver */

struct imgi_probe {
    const uint8_t *head; /* the first bytes of the file, zero padded to IMGI_PROBE_BYTES */
    size_t length;       /* how many of them the file really has */
    uint64_t size;       /* of the file */
    const uint8_t *tail; /* its last IMGI_PROBE_TAIL_BYTES; NULL: it has not so many */
};
#define IMGI_PROBE_BYTES 4096
#define IMGI_PROBE_TAIL_BYTES 512

/* An image to be made. */
struct imgi_create {
    struct imgi_io *file;                      /* empty, or a device */
    const char *name;                          /* the main file's final name */
    uint64_t size;                             /* of the disk */
    const img_options *options;                /* checked against create_options; never NULL */
    const struct imgi_opt *table;              /* the driver's create_options */
    const char *backing_name, *backing_format; /* NULL: none */
    struct imgi_node *backing;                 /* open for reading, or NULL (none, or not opened) */
    const struct img_policy *policy;
    const img_secrets *secrets; /* NULL: none */
    struct imgi_files *files;
    unsigned flags;
    struct imgi_cipher
        *cipher; /* set by create: the node's, so that its key is not derived twice */
};

struct imgi_measure {
    uint64_t size;
    const img_options *options;
    const struct imgi_opt *table;
    bool has_source;
    img_image *source;
    struct imgi_node *top; /* of source */
};

/* What is to be changed of an image. */
struct imgi_amend {
    const img_options *options;   /* checked against amend_options; never NULL */
    const struct imgi_opt *table; /* the driver's amend_options */
    bool force;                   /* what may make the disk unreadable is wanted */

    /* The core's own. */
    img_job *job;
    struct imgi_scratch *scratch;
    unsigned step, steps;
};

enum imgi_repair { IMGI_REPAIR_NONE, IMGI_REPAIR_LEAKS, IMGI_REPAIR_ALL };

/* A dirty bitmap: which of the disk's bytes have changed since it was added or cleared. */
struct imgi_bitmap {
    const char *name;
    uint64_t granularity; /* bytes of a bit, a power of two */
    bool enabled;         /* the guest's writes set bits */
    bool inconsistent;    /* cannot be relied on: all that can be done is to remove it */
};

/* All of these take bitmaps by their number in the list, which get is asked for first. */
struct imgi_bitmap_ops {
    /* This image can have bitmaps. Called without node->lock. */
    bool (*supported)(const struct imgi_node *node);
    /* IMG_E_NOENT past the last one, and then says nothing. */
    int (*get)(struct imgi_node *node, size_t n, struct imgi_bitmap *bitmap, img_error *err);
    /* At the end of the list. The name is new and not empty. */
    int (*add)(struct imgi_node *node, const struct imgi_bitmap *bitmap, img_error *err);
    int (*remove)(struct imgi_node *node, size_t n, img_error *err);
    int (*enable)(struct imgi_node *node, size_t n, bool enabled, img_error *err);
    int (*clear)(struct imgi_node *node, size_t n, img_error *err);
    /* Set the bits that the range, which lies inside the disk, touches. */
    int (*set)(struct imgi_node *node, size_t n, uint64_t offset, uint64_t length, img_error *err);
    /* How many bytes from offset on, `length` at most, have bits alike. */
    int (*run)(struct imgi_node *node, size_t n, uint64_t offset, uint64_t length, uint64_t *run,
               bool *dirty, img_error *err);
};

struct imgi_driver {
    const char *name;
    bool read_only;  /* images of this format are never written */
    bool brief_info; /* info says nothing of clusters or of a dirty flag, as qemu-img's */
    bool pipes;      /* create and open can do with a file whose bytes go by once */
    size_t state_size;
    const struct imgi_opt *create_options; /* ended by name NULL; NULL: cannot create */
    const struct imgi_opt *open_options;   /* likewise; NULL: none */
    const struct imgi_opt *amend_options;  /* likewise; with amend */
    bool backing_typed; /* an image does not name its backing image: the user may do it */

    /* life */
    /* 0..100: how sure it is that the head is of this format. Pure. raw answers 1. */
    int (*probe)(const struct imgi_probe *probe);
    /* Write an empty image to create->file (magic last). */
    int (*create)(struct imgi_create *create, img_error *err);
    int (*open)(struct imgi_node *node, img_error *err);
    /* Always runs, after a failed open too. Writes out nothing: flush and finish did that. */
    void (*close)(struct imgi_node *node);
    /*
     * Once, before the first change to an image that was opened for writing (not to one that is
     * being made): what must be different from then on (an identifier of the content).
     */
    int (*begin_write)(struct imgi_node *node, img_error *err);
    /* Before a close that keeps the image: write what only a complete image has (footer). */
    int (*finish)(struct imgi_node *node, img_error *err);
    int (*info)(struct imgi_node *node, struct imgi_info *info, img_error *err);
    /* The top-level list "snapshots"; says nothing when there are none. */
    int (*snapshots)(struct imgi_node *node, struct imgi_info *info, img_error *err);

    /* address */
    /* One run that begins at offset, of 1 to length bytes. No data is read. Merges what it can. */
    int (*map)(struct imgi_node *node, uint64_t offset, uint64_t length, struct imgi_extent *extent,
               img_error *err);
    /* Only for formats whose map answers IMGI_OPAQUE. */
    int (*read)(struct imgi_node *node, uint64_t offset, void *buffer, size_t length,
                img_error *err);
    /*
     * The guest's bytes are about to change, in whatever way: dirty bitmaps want to know. Called
     * only while node->tracked is set, and before anything is done; a failure is the request's.
     */
    int (*track)(struct imgi_node *node, uint64_t offset, uint64_t length, img_error *err);
    int (*reserve)(struct imgi_node *node, struct imgi_alloc *alloc, img_error *err);
    int (*link)(struct imgi_node *node, const struct imgi_alloc *alloc, img_error *err);
    void (*cancel)(struct imgi_node *node, const struct imgi_alloc *alloc);
    /*
     * The range (whole clusters, or whole grains of one cluster; the last may end at the disk's
     * end) must read as zeros. IMG_E_UNSUPPORTED: the core writes zeros instead. unmap: the space
     * may go.
     */
    int (*zero)(struct imgi_node *node, uint64_t offset, uint64_t length, bool unmap,
                img_error *err);
    /* Whole clusters that are no longer needed. Never required to do anything. */
    int (*discard)(struct imgi_node *node, uint64_t offset, uint64_t length, img_error *err);

    /* compressed clusters; NULL pack: imgi_pack as it is; NULL unpack: imgi_unpack with
     * node->pack.codec */
    int (*pack)(const struct imgi_node *node, struct imgi_packer *packer, uint64_t offset,
                const void *in, size_t length, void *out, size_t capacity, size_t *packed,
                img_error *err);
    int (*unpack)(const struct imgi_node *node, struct imgi_unpacker *unpacker,
                  const struct imgi_extent *extent, const void *in, size_t in_length, void *out,
                  size_t out_length, img_error *err);

    /*
     * Of an image that is read from a pipe (imgi_io_is_pipe of node->file): guest bytes before
     * offset were read and will not be asked for again; give up what was kept for them. At the
     * disk's end: nothing more will be asked for, and it is time to see whether the rest of the
     * file is as it should be.
     */
    int (*pass)(struct imgi_node *node, uint64_t offset, img_error *err);

    /* whole image */
    /* Write out the metadata, in the right order, ending with the files' own flush. */
    int (*flush)(struct imgi_node *node, img_error *err);
    /*
     * Before resize makes a disk larger: let go of what lies behind its end, on disk, and see to it
     * that the space there can be written. No image on disk says that the space is there. NULL: it
     * need not be done, or cannot.
     */
    int (*reach)(struct imgi_node *node, uint64_t size, img_error *err);
    /*
     * Whether resize can give the disk that size, as far as that can be told without a change:
     * asked before reach, resize, and begin_write on their account. NULL: it always can, or resize
     * tells.
     */
    int (*can_resize)(struct imgi_node *node, uint64_t size, enum img_preallocation mode,
                      img_error *err);
    /*
     * Larger: what the backing image has in the new space, and what the cluster that the old end
     * cuts has behind it, is the core's business. mode is IMG_PREALLOC_OFF unless the disk grows.
     */
    int (*resize)(struct imgi_node *node, uint64_t size, enum img_preallocation mode,
                  img_error *err);
    /*
     * Give up all that the image holds of its disk, so that the backing image shows through. What
     * it held is in the backing image by then, on disk. NULL: cannot.
     */
    int (*make_empty)(struct imgi_node *node, img_error *err);
    /*
     * Name another backing image in the file (NULL: none), on disk when it returns; the core
     * changes the node. backing is that image; NULL where there is none, and, unless needs_backing
     * is set, where it has not been looked at. IMG_E_NOSPACE when there is no room for the name;
     * the image is then as it was. NULL: cannot.
     */
    int (*set_backing)(struct imgi_node *node, const char *name, const char *format,
                       const struct imgi_node *backing, img_error *err);
    bool needs_backing; /* what the file says of its backing image is more than a name */
    /*
     * Around a commit into base, on which node stands and which is open for writing: let node
     * know the base again when its content has changed. begin comes before anything is changed in
     * the base, in the place of its begin_write; end when all is on disk, or the commit has
     * failed. Both nodes' locks are held. NULL: nothing of the base stands in node.
     */
    int (*commit_begin)(struct imgi_node *node, struct imgi_node *base, img_error *err);
    int (*commit_end)(struct imgi_node *node, struct imgi_node *base, img_error *err);
    /*
     * Snapshots inside the image. They change the disk's shape: nobody else uses the node. The one
     * meant has that id and that name, NULL being any; the first one of several; IMG_E_NOENT. NULL
     * functions: the format has none, and snapshot_advice tells what its users do instead (NULL:
     * not known).
     */
    const char *snapshot_advice;
    int (*snapshot_list)(struct imgi_node *node, img_snapshot **list, size_t *count,
                         img_error *err);
    int (*snapshot_create)(struct imgi_node *node, const img_snapshot *snapshot, img_error *err);
    int (*snapshot_apply)(struct imgi_node *node, const char *id, const char *name, img_error *err);
    int (*snapshot_delete)(struct imgi_node *node, const char *id, const char *name,
                           img_error *err);
    /* A node that is open for reading only: map it as it was then, node->size too. */
    int (*snapshot_view)(struct imgi_node *node, const char *id, const char *name, img_error *err);
    int (*check)(struct imgi_node *node, struct imgi_checker *checker, img_error *err);
    /*
     * Move what lies at the end of the image's file into its holes and cut the file off behind what
     * is left. What has been done when it is stopped stays, and the disk is what it was at any
     * time. Nobody else uses the node. NULL: cannot.
     */
    int (*compact)(struct imgi_node *node, struct imgi_compacter *compacter, img_error *err);
    /*
     * Change options of the image, on disk when it returns. Called without the lock, with the node
     * to itself. Everything that can be refused is refused before anything changes; each of
     * several changes is made as a whole or not at all. NULL: cannot.
     */
    int (*amend)(struct imgi_node *node, struct imgi_amend *amend, img_error *err);
    int (*measure)(const struct imgi_measure *measure, img_measure_result *result, img_error *err);
    const struct imgi_bitmap_ops *bitmaps; /* NULL: has no dirty bitmaps */
};

/* Every driver, ended by NULL. Defined in formats/registry.c. */
extern const struct imgi_driver *const imgi_drivers[];

/* --------------------------------------------------------------- services */

/*
 * Open another file of the image (an extent), by the name that stands in the image. The policy
 * judges it; a file that create made a moment ago is found although it has no name yet. Opened for
 * writing when the node is writable (and `writable`). It belongs to the node, which closes it.
 * Opening the same file twice gives the same io.
 */
int imgi_node_open_file(struct imgi_node *node, const char *role, const char *name, bool writable,
                        struct imgi_io **io, img_error *err);

/*
 * The same for a piece of the disk. It may be a block device only where the policy allows devices,
 * or the user does (devices).
 */
int imgi_node_open_extent(struct imgi_node *node, const char *name, bool devices,
                          struct imgi_io **io, img_error *err);

/*
 * The same for the one file with all data, for which a relative name is first looked for in the
 * current directory, as QEMU does, unless the policy confines the image to its own.
 */
int imgi_node_open_data_file(struct imgi_node *node, const char *name, struct imgi_io **io,
                             img_error *err);
/* The same for a file that the user named: nobody judges it. */
int imgi_node_open_path(struct imgi_node *node, const char *path, bool writable,
                        struct imgi_io **io, img_error *err);

/*
 * In create: make a file beside the main one. It belongs to create->files and gets its name with
 * it.
 */
int imgi_create_file(struct imgi_create *create, const char *name, struct imgi_io **io,
                     img_error *err);
/* The same for the one file with all data, where imgi_node_open_data_file looks for it. */
int imgi_create_data_file(struct imgi_create *create, const char *name, struct imgi_io **io,
                          img_error *err);

/*
 * A new file of an image that is open for writing, beside the main one; nothing may have that name.
 * It is unnamed until imgi_io_publish, and belongs to the node.
 */
int imgi_node_create_file(struct imgi_node *node, const char *name, struct imgi_io **io,
                          img_error *err);
/*
 * The file's path still means that file, and no link or device: what is removed is what the image
 * has open.
 */
int imgi_node_check_removal(const struct imgi_node *node, struct imgi_io *io, img_error *err);
/*
 * Take its name away from a file that the image needs no more, if that may be removed. It stays
 * open as long as the node.
 */
int imgi_node_remove_file(struct imgi_node *node, struct imgi_io *io, img_error *err);

/*
 * In measure: the guest bytes of all clusters of that size that hold data (whole clusters), walking
 * the source's map. 0 when there is no source.
 */
int imgi_measure_data(const struct imgi_measure *measure, uint32_t cluster_size, uint64_t *bytes,
                      img_error *err);

/* In amend: it has so many steps, of which the next one begins. */
void imgi_amend_steps(struct imgi_amend *amend, unsigned steps);
void imgi_amend_next(struct imgi_amend *amend);
/* How far the step is; IMG_E_CANCELLED when the user wants to stop. */
int imgi_amend_progress(struct imgi_amend *amend, uint64_t done, uint64_t total, img_error *err);
/* In amend: give the disk another size, as img_resize does. */
int imgi_amend_resize(struct imgi_node *node, struct imgi_amend *amend, uint64_t size,
                      img_error *err);

/* What a typed mode (NULL: none) of a format without metadata to prepare asks of the file. */
int imgi_file_prealloc_parse(const char *text, enum imgi_prealloc *mode, img_error *err);

/* What a mode asks of the file: places for clusters are the driver's business. */
static inline enum imgi_prealloc imgi_file_prealloc(enum img_preallocation mode)
{
    if (mode == IMG_PREALLOC_FALLOC)
        return IMGI_PREALLOC_FALLOC;
    return mode == IMG_PREALLOC_FULL ? IMGI_PREALLOC_FULL : IMGI_PREALLOC_OFF;
}

/* ---- tables (tables.c) ---- */

/* Read a table of the main file, which the policy judges; free it, after a failure too. */
int imgi_node_read_table(struct imgi_node *node, const struct imgi_table *table, uint8_t **bytes,
                         img_error *err);

/* What a format's tables say of a cluster, and of those behind it. Zeroed but for count. */
struct imgi_cluster {
    enum imgi_kind kind;
    uint64_t host;   /* DATA, PACKED: byte of the main file */
    uint64_t stored; /* PACKED */
    uint64_t count;  /* so many clusters from this one on are alike, DATA one behind the other */
};

/* The cluster at index * size of the disk. */
typedef int imgi_cluster_fn(struct imgi_node *node, uint64_t index, struct imgi_cluster *found,
                            img_error *err);

/*
 * map, for a disk in clusters of `size` bytes whose tables lookup reads: as long a run as a bounded
 * number of lookups finds. The extent comes with offset and length set to what was asked for.
 */
int imgi_map_clusters(struct imgi_node *node, uint64_t size, imgi_cluster_fn *lookup,
                      struct imgi_extent *extent, img_error *err);

/* ---- identifiers (ident.c) ---- */

#define IMGI_UUID_BYTES 16

/* Where identifiers of a new image begin: the same each time, unless SOURCE_DATE_EPOCH differs. */
uint64_t imgi_ident_seed(void);
/* The seed with what tells the image from others. */
uint64_t imgi_ident_mix(uint64_t seed, const void *bytes, size_t length);
/* A number that nobody who knew the old one can know; repeatable with SOURCE_DATE_EPOCH. */
uint64_t imgi_ident_fresh(uint64_t old);
/* The next UUID of a seed, in the order of RFC 4122. */
void imgi_ident_uuid(uint64_t *seed, uint8_t uuid[IMGI_UUID_BYTES]);
/* Between that order and the one with little-endian fields in front (GUIDs). */
void imgi_uuid_swap(uint8_t uuid[IMGI_UUID_BYTES]);
/* Seconds since 1970 that stand in new images: SOURCE_DATE_EPOCH, or 0. */
uint64_t imgi_ident_time(void);

/* ---- encryption (encryption.c) ---- */

/* Where options about encryption, and the secrets they name, come from. */
struct imgi_encryption {
    const img_secrets *secrets; /* NULL: none */
    const img_options *options;
    const struct imgi_opt *table;
    const char *prefix; /* of the options' names: "encrypt." or "" */
};

/* A LUKS header and its key slots: length bytes of io. */
struct imgi_luks_place {
    struct imgi_io *io;
    uint64_t offset, length;
};

/* Whether open has to make node->cipher: create did not, and more than metadata is wanted. */
static inline bool imgi_node_needs_key(const struct imgi_node *node)
{
    return !node->cipher && !(node->flags & (IMG_OPEN_CHECK | IMG_OPEN_NO_FILES | IMG_OPEN_NO_KEY));
}
/* The passphrase that key-secret names. It belongs to the set. */
int imgi_secret_of(const struct imgi_encryption *from, struct imgi_passphrase *passphrase,
                   img_error *err);
/* What the create options ask for, checked. */
int imgi_luks_wanted(const struct imgi_encryption *from, struct imgi_luks_params *params,
                     img_error *err);
/* Read and check a header. No key is derived. */
int imgi_luks_read(struct imgi_luks_header *header, struct imgi_luks_place place, img_error *err);
/* The cipher that the passphrase opens. Takes seconds. */
int imgi_luks_open(const struct imgi_encryption *from, const struct imgi_luks_header *header,
                   struct imgi_luks_place place, struct imgi_cipher **cipher, img_error *err);
/* Make a header in a place that reads as zeros. Takes seconds. */
int imgi_luks_make(const struct imgi_encryption *from, const struct imgi_luks_params *params,
                   struct imgi_luks_place place, struct imgi_cipher **cipher, img_error *err);
/*
 * Amend the key slots as the options state, keyslot, old-secret, new-secret and iter-time say.
 * force: the last one may be erased too.
 */
int imgi_luks_change_slots(const struct imgi_encryption *from, bool force,
                           struct imgi_luks_header *header, struct imgi_luks_place place,
                           const struct imgi_cipher *cipher, img_error *err);
/* Say the keys that qemu-img's info has for a LUKS header. say_format: "format" too. */
void imgi_luks_info(struct imgi_info *info, const struct imgi_luks_header *header, bool say_format);

/* ---- info: a tree of keys in the order they are said. Keys as qemu-img's JSON has them. ---- */
void imgi_info_string(struct imgi_info *info, const char *key, const char *value);
void imgi_info_uint(struct imgi_info *info, const char *key, uint64_t value);
void imgi_info_bool(struct imgi_info *info, const char *key, bool value);
/* key is NULL inside a list. Every begin has its end. */
void imgi_info_dict_begin(struct imgi_info *info, const char *key);
void imgi_info_dict_end(struct imgi_info *info);
void imgi_info_list_begin(struct imgi_info *info, const char *key);
void imgi_info_list_end(struct imgi_info *info);

/* In compact: so many bytes have to move, as far as that can be told before. */
int imgi_compact_begin(struct imgi_compacter *compacter, uint64_t total, img_error *err);
/* So many have been copied; IMG_E_CANCELLED when the user wants to stop. */
int imgi_compact_progress(struct imgi_compacter *compacter, uint64_t bytes, img_error *err);

/* ---- check ---- */
enum imgi_finding {
    IMGI_FINDING_CORRUPTION,
    IMGI_FINDING_LEAK,
    IMGI_FINDING_ERROR,
    IMGI_FINDING_REPAIRED,
    IMGI_FINDING_NOTE /* is no fault */
};

struct imgi_checker {
    enum imgi_repair repair;
    img_check_result *result; /* the driver fills the cluster figures; imgi_found counts faults */
    img_finding_fn *finding;
    void *opaque;
    img_job *job; /* for imgi_check_progress; NULL: nobody watches */
};

/* Count a fault (by kind; REPAIRED and NOTE are only said) and say it in one line, "ERROR cluster 5
 * refcount=0 reference=1". */
void imgi_found(struct imgi_checker *checker, enum imgi_finding kind, const char *format, ...)
    IMG_PRINTF(3, 4);
/* Says how far it is; IMG_E_CANCELLED when the user wants to stop. */
int imgi_check_progress(struct imgi_checker *checker, uint64_t done, uint64_t total,
                        img_error *err);
/* A pass of a check, or a repair of what it has counted. */
typedef int imgi_check_fn(void *check, img_error *err);
/*
 * Look; where something was found that may be repaired, mend it and look again: what is counted in
 * the end is what is left, besides what was fixed.
 */
int imgi_check_mend(struct imgi_checker *checker, imgi_check_fn *look, imgi_check_fn *mend,
                    void *check, img_error *err);

#endif
