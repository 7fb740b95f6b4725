/*
 * What the parts of the core share. SPDX-License-Identifier: BSD-2-Clause
 *
 * Lock order: ranges (held over data I/O), then node->lock, then a driver's
 * caches. image->scratch_lock and the locks of jobs are leaves.
 */
#ifndef IMGI_INTERNAL_H
#define IMGI_INTERNAL_H

#include "driver.h"

/* ------------------------------------------------------ files of an image (files.c) */

/* One file of an image. */
struct imgi_member {
    struct imgi_io *io;
    char *path;
};

/* All of them: the main one first, then what it names. */
struct imgi_files {
    struct imgi_member *list;
    size_t count;
    unsigned io_flags; /* for files opened or made later, without IMGI_IO_WRITE */
};

struct imgi_files *imgi_files_new(unsigned io_flags, img_error *err);
/* Takes io over, also when it fails. */
int imgi_files_add(struct imgi_files *files, struct imgi_io *io, const char *path, img_error *err);
/* The file of that path, or NULL. */
struct imgi_io *imgi_files_find(const struct imgi_files *files, const char *path);
/* Give every made file its name, the main one last, or none (files.c says what that promises). */
int imgi_files_publish(struct imgi_files *files, img_error *err);
/* Bytes of disk under all of them. */
uint64_t imgi_files_usage(const struct imgi_files *files);
void imgi_files_free(struct imgi_files *files);

/* The imgi_io_flags for a cache mode. */
unsigned imgi_cache_io_flags(enum img_cache cache);

/* Take the locks that an image opened with these flags takes on each of its files. */
int imgi_lock_file(struct imgi_io *io, unsigned open_flags, bool writable, img_error *err);

/* --------------------------------------------------------------- ranges (ranges.c) */

/*
 * Guest ranges in use. Readers and in-place writers share a range; whoever moves clusters
 * (allocate, zero, discard) has it alone, so nobody reads or writes a host cluster that
 * has been given to another guest address meanwhile.
 */
struct imgi_range {
    uint64_t start, end;
    bool exclusive;
    struct imgi_range *next;
};

struct imgi_ranges *imgi_ranges_new(img_error *err);
void imgi_ranges_free(struct imgi_ranges *ranges);
/* Wait until the range can be had. *range is the caller's memory until the release. */
void imgi_ranges_take(struct imgi_ranges *ranges, struct imgi_range *range, uint64_t start,
                      uint64_t end, bool exclusive);
void imgi_ranges_release(struct imgi_ranges *ranges, struct imgi_range *range);

/* ---------------------------------------------------------- nodes (node.c, chain.c) */

/* How the nodes of one image are opened. */
struct imgi_open {
    const char *format; /* NULL: probe */
    unsigned flags;     /* enum img_open_flags */
    enum img_cache cache, backing_cache;
    const img_options *options;
    const struct img_policy *policy; /* never NULL */
    const img_secrets *secrets;      /* NULL: none */
    struct imgi_cipher *cipher;      /* known already: shared with the node, but not its chain */
    bool named; /* by an image, and not by the user: the policy says what kind of file it may be */
    bool being_made; /* by img_create */
    bool insist; /* on IMG_OPEN_WRITE, whatever was typed of read-only and force-share; likewise */
    const img_interrupt *interrupt; /* of waiting for a pipe; NULL: none */
    const char *disk;               /* of an appliance: by its number or id; NULL: its first */
};

/* What the policy wants of files that an image names: flags of enum imgi_io_flags. */
unsigned imgi_named_io_flags(const struct img_policy *policy);
/* Open one image, without its chain. Takes files over, also when it fails. */
int imgi_node_open(struct imgi_node **node, struct imgi_files *files, const struct imgi_open *how,
                   img_error *err);
/* As imgi_node_open, or the disk that how names of the appliance that the file is. */
int imgi_node_open_found(struct imgi_node **node, struct imgi_files *files,
                         const struct imgi_open *how, img_error *err);
/* As imgi_node_open_found, on the file of that name. */
int imgi_node_open_name(struct imgi_node **node, const char *name, const struct imgi_open *how,
                        img_error *err);
/* The same for the name of an image that the user typed, which may mean a pipe (IMG_OPEN_PIPE). */
int imgi_node_open_typed(struct imgi_node **node, const char *name, const struct imgi_open *how,
                         img_error *err);
/* IMG_E_UNSUPPORTED when that format cannot do with a pipe. */
int imgi_driver_check_pipe(const struct imgi_driver *driver, img_error *err);
/* Tell a driver that reads a pipe that guest bytes before offset were read. */
int imgi_node_pass(struct imgi_node *node, uint64_t offset, img_error *err);
/* appliance/open.c: a disk that lies in an appliance. */

/* "ova" or "ovf". */
bool imgi_is_appliance_format(const char *format);
/* Whether a disk is to be looked for in the file: it was asked for, or the file looks like it. */
int imgi_appliance_wanted(struct imgi_io *io, const struct imgi_open *how, bool *wanted,
                          img_error *err);
/* Open the disk that how names, in the one file in files, which it takes over. */
int imgi_appliance_open_node(struct imgi_node **node, struct imgi_files *files,
                             const struct imgi_open *how, img_error *err);

/* Close a node and all below it. NULL is allowed. */
void imgi_node_close(struct imgi_node *node);
/* Called before each change: tells the driver of the first. */
int imgi_node_begin_write(struct imgi_node *node, img_error *err);
/*
 * Called before guest bytes change, by every way in which they do: tells the driver, if it wants to
 * know.
 */
int imgi_node_track(struct imgi_node *node, uint64_t offset, uint64_t length, img_error *err);
/* The last changes have been made: what only a complete image has. The flush is the caller's. */
int imgi_node_finish(struct imgi_node *node, img_error *err);
/* Write out metadata and flush the files. */
int imgi_node_flush(struct imgi_node *node, img_error *err);

/* Open the backing images of node, down to the last. */
int imgi_chain_open(struct imgi_node *node, const struct imgi_open *how, img_error *err);
/* IMG_E_BUSY when a file of the image, or of one below it, is in use as a disk
 * (imgi_check_attached): what is free in filesystems that may change meanwhile is not known. */
int imgi_chain_check_idle(const struct imgi_node *top, img_error *err);
/* IMG_E_CORRUPT when the file of `below`, opened as `path`, is one of the images from top down to
 * last. */
int imgi_chain_check_loop(const struct imgi_node *top, const struct imgi_node *last,
                          const struct imgi_node *below, const char *path, img_error *err);
/* The name under which a backing image is opened. The caller frees it. */
int imgi_backing_path(const struct img_policy *policy, const char *image, const char *backing,
                      char **path, img_error *err);

/* reopen.c: a chain that changes below an open image. The image must not be in use meanwhile. */

/*
 * Open the backing image of `above`, a node of the image, again, as it was opened, what the user
 * typed of it included: for writing or for reading only, with all that is below it. After a failure
 * the old one is still there.
 */
int imgi_reopen_backing(img_image *image, struct imgi_node *above, bool writable, img_error *err);
/*
 * Open an image that is to stand below top for reading: with its chain, or alone, without the files
 * that it names.
 */
int imgi_open_below(img_image *image, const char *name, const char *format, bool alone,
                    struct imgi_node **node, img_error *err);
/* Close what is below top and put another chain there (NULL: none), which is named like that from
 * now on. */
int imgi_replace_backing(img_image *image, struct imgi_node *backing, const char *name,
                         const char *format, img_error *err);

/* NULL when there is no such format. */
const struct imgi_driver *imgi_driver_find(const char *name);
/* The best driver for the file, never NULL: raw takes what nobody else does. */
int imgi_probe_file(struct imgi_io *io, const struct imgi_driver **driver, img_error *err);
/* The same, after a write that has not been made yet. */
int imgi_probe_after(struct imgi_io *io, uint64_t offset, const uint8_t *buffer, size_t length,
                     const struct imgi_driver **driver, img_error *err);
/* The best driver for a head that has been read. */
const struct imgi_driver *imgi_probe_head(const struct imgi_probe *probe);

/* ------------------------------------------------------------- requests (read.c, write.c) */

/* What one thread needs to read packed clusters. Zeroed to begin with. */
struct imgi_scratch {
    struct imgi_unpacker *unpacker;
    uint8_t *packed;
    size_t packed_size;
    uint8_t *cluster;
    size_t cluster_size;
    const struct imgi_node *cached; /* whose cluster is in there (read-only nodes only) */
    uint64_t cached_offset;
    struct imgi_scratch *next; /* free list of the image */
};

void imgi_scratch_clear(struct imgi_scratch *scratch);

/* stored.c: data as it lies in the file, which may be encrypted */

/* Where it lies. */
struct imgi_stored {
    struct imgi_io *io;
    uint64_t guest, host;
};

/* What is read and written as one. */
static inline uint64_t imgi_stored_unit(const struct imgi_node *node)
{
    return node->encrypted ? IMGI_CIPHER_SECTOR : 1;
}
/* The guest's bytes of a data extent. */
int imgi_stored_read(struct imgi_node *node, const struct imgi_extent *extent, uint8_t *buffer,
                     img_error *err);
/* Write whole units to new space. The vectors are changed. */
int imgi_stored_writev(struct imgi_node *node, const struct imgi_stored *at, struct iovec *iov,
                       int count, img_error *err);
/* Write over a data extent. Unless it consists of whole units, these are the caller's alone. */
int imgi_stored_overwrite(struct imgi_node *node, const struct imgi_extent *extent,
                          const uint8_t *buffer, img_error *err);
/* Encrypt, in place, what is to be written there; whole sectors of an encrypted node. */
int imgi_stored_encrypt(const struct imgi_node *node, uint64_t guest, uint64_t host, void *bytes,
                        size_t length, img_error *err);

/* Reads through the chain. The range lies inside the node. */
int imgi_node_read(struct imgi_node *node, uint64_t offset, void *buffer, size_t length,
                   struct imgi_scratch *scratch, img_error *err);
/* The same for any range of any node (NULL: no disk at all): what lies past its end is zeros. */
int imgi_node_read_padded(struct imgi_node *node, uint64_t offset, void *buffer, size_t length,
                          struct imgi_scratch *scratch, img_error *err);
/* The same as imgi_node_read for who holds the range already. */
int imgi_node_read_held(struct imgi_node *node, uint64_t offset, void *buffer, size_t length,
                        struct imgi_scratch *scratch, img_error *err);
int imgi_node_write(struct imgi_node *node, uint64_t offset, const void *buffer, size_t length,
                    struct imgi_scratch *scratch, img_error *err);
/* flags: enum img_zero_flags. */
int imgi_node_zero(struct imgi_node *node, uint64_t offset, uint64_t length, unsigned flags,
                   struct imgi_scratch *scratch, img_error *err);
int imgi_node_discard(struct imgi_node *node, uint64_t offset, uint64_t length, img_error *err);

/* One cluster (the last one may be cut by the disk's end), packed unless that makes it no smaller.
 */
int imgi_node_write_compressed(struct imgi_node *node, uint64_t offset, const void *buffer,
                               size_t length, struct imgi_packer *packer,
                               struct imgi_scratch *scratch, img_error *err);
/* Fails unless the image is open for writing and the range lies inside it. what: "write". */
int imgi_check_change(const img_image *image, const char *what, uint64_t offset, uint64_t length,
                      img_error *err);
/* Cache modes that promise that a write is on disk when it returns: the metadata too. */
int imgi_settle(img_image *image, img_error *err);

/* The driver's resize; what a longer backing image has in the new space stays hidden. */
int imgi_node_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode,
                     struct imgi_scratch *scratch, img_error *err);

/*
 * Space for one packed cluster, its bytes, and the link to them. The caller has the guest's cluster
 * to itself.
 */
int imgi_node_write_packed(struct imgi_node *node, uint64_t offset, uint64_t length,
                           const void *packed, size_t packed_length, img_error *err);
/* The driver's pack, or the codec's. *packed is 0 when plain storage is as good. */
int imgi_node_pack(const struct imgi_node *node, struct imgi_packer *packer, uint64_t offset,
                   const void *in, void *out, size_t capacity, size_t *packed, img_error *err);

/* reserve and link under the node's lock, with what they return checked. */
int imgi_node_reserve(struct imgi_node *node, struct imgi_alloc *alloc, img_error *err);
int imgi_node_link(struct imgi_node *node, const struct imgi_alloc *alloc, img_error *err);

/* The driver's map, under the node's lock, checked. */
int imgi_node_map(struct imgi_node *node, uint64_t offset, uint64_t length,
                  struct imgi_extent *extent, img_error *err);
/* Whether the node's clusters have no address of their own: guest bytes lie where the file has
 * them. */
bool imgi_node_is_identity(const struct imgi_node *node);
/* Guest bytes that are present, absent or zero as one. */
static inline uint32_t imgi_node_grain(const struct imgi_node *node)
{
    return node->grain ? node->grain : node->cluster_size;
}

/* ------------------------------------------------------------------ extents (extent.c) */

/* One run of the disk and the node that decided it. */
struct imgi_layer_run {
    struct imgi_extent extent;
    struct imgi_node *node; /* NULL: nobody has it, it reads as zeros */
    unsigned depth;
};

/* Where a run comes from, through the whole chain. kind is never IMGI_ABSENT. */
int imgi_chain_map(struct imgi_node *top, uint64_t offset, uint64_t length,
                   struct imgi_layer_run *run, img_error *err);

/* ------------------------------------------------------------------- images (image.c) */

struct img_image {
    struct imgi_node *top;
    bool created;                        /* by img_create: to be published */
    enum img_cache cache, backing_cache; /* of the top, and of all below */
    struct img_policy policy;            /* a copy: the caller's may go */
    const img_secrets *secrets;          /* the caller's, who keeps them; NULL: none */
    pthread_mutex_t scratch_lock;
    struct imgi_scratch *scratch; /* not in use by any thread */
};

/* An image without a top. End it with img_abandon. */
img_image *imgi_image_new(const img_open_params *params, img_error *err);
/* How its nodes are opened. */
struct imgi_open imgi_image_how(const img_image *image, const img_open_params *params);

struct imgi_scratch *imgi_scratch_take(img_image *image, img_error *err);
void imgi_scratch_give(img_image *image, struct imgi_scratch *scratch);

/*
 * img_open and img_create on an I/O object instead of a named file, for tests. Both take io
 * over, also when they fail. Files that the image names are looked for beside `name`.
 */
int imgi_image_open_io(img_image **image, struct imgi_io *io, const char *name,
                       const img_open_params *params, img_error *err);
int imgi_image_create_io(img_image **image, struct imgi_io *io, const char *name,
                         const char *format, uint64_t size, const img_options *options,
                         const img_open_params *params, img_error *err);

/* ---------------------------------------------------------------------- info (info.c) */

/* What say says, as JSON text. */
int imgi_info_text(int (*say)(void *opaque, struct imgi_info *info, img_error *err), void *opaque,
                   char **json, img_error *err);

#endif
