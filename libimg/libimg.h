/*
 * libimg: virtual disk images (raw, qcow2, VMDK) as a library.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * An img_image is a disk as its guest sees it: a run of bytes, whatever the
 * format of the file and however many backing images lie below it.
 *
 * Conventions, for every function here unless it says otherwise:
 *
 * - Offsets, lengths and sizes are in bytes. No alignment is asked for.
 * - A function that can fail returns 0, or a negative IMG_E_ code, and fills
 *   *err. err may be NULL. A function that succeeds leaves *err alone.
 * - Pointers returned as "const" belong to the object they were asked of and
 *   live as long as it does. What the caller must free is said where it is.
 * - Nothing is printed, no signal is touched, the process is never ended.
 * - Threads: any number of threads may read, write, zero, discard, flush and
 *   map one image at the same time. Opening, closing and changing the shape of
 *   an image (img_resize, img_snapshot_create and the like, img_check with repair) need it to
 * themselves. Options, policies and jobs may be used by many threads once nobody changes them.
 */
#ifndef LIBIMG_H
#define LIBIMG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define IMG_API __attribute__((visibility("default")))
#define IMG_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define IMG_API
#define IMG_PRINTF(fmt, args)
#endif

/* ------------------------------------------------------------------ errors */

/* What kind of failure it was. Programs branch on these, people read the text. */
enum img_code {
    IMG_OK = 0,
    IMG_E_NOMEM = -1,       /* memory could not be had */
    IMG_E_IO = -2,          /* the operating system failed a call */
    IMG_E_FORMAT = -3,      /* not an image of the format it was said to be */
    IMG_E_CORRUPT = -4,     /* the image contradicts itself or its format */
    IMG_E_UNSUPPORTED = -5, /* a feature that this format or build does not have */
    IMG_E_LIMIT = -6,       /* more than the policy allows */
    IMG_E_INVAL = -7,       /* an argument or option makes no sense */
    IMG_E_RANGE = -8,       /* outside the disk, or past the end of a file */
    IMG_E_RDONLY = -9,      /* the image is not open for writing */
    IMG_E_EXISTS = -10,     /* something of that name is there already */
    IMG_E_NOENT = -11,      /* no such file, format, option or snapshot */
    IMG_E_BUSY = -12,       /* another process holds the image */
    IMG_E_NOSPACE = -13,    /* no room left on the device or in the format */
    IMG_E_CANCELLED = -14,  /* the progress function asked to stop */
    IMG_E_DENIED = -15,     /* the policy forbids what the image asks for */
    IMG_E_INTERNAL = -16    /* a defect of libimg */
};

#define IMG_ERROR_IMAGE 256
#define IMG_ERROR_PLACE 128
#define IMG_ERROR_TEXT 640

/*
 * A failure, held by value: no heap, safe to copy between threads. The struct
 * is part of the binary interface and does not grow.
 */
typedef struct img_error {
    int code;                     /* enum img_code */
    int os_errno;                 /* errno of the failed call, or 0 */
    char image[IMG_ERROR_IMAGE];  /* the file it is about, or "" */
    char place[IMG_ERROR_PLACE];  /* the field or place in it, or "" */
    char message[IMG_ERROR_TEXT]; /* the cause, one line, without the image's name */
} img_error;

/* A short phrase for a code ("out of memory"); never NULL. */
IMG_API const char *img_strerror(int code);

/* ----------------------------------------------------------------- options */

/*
 * A set of name=value pairs: a format's create options, or how to open.
 * Names are unique; setting one again replaces its value.
 */
typedef struct img_options img_options;

/* A new, empty set; NULL when memory is short. Free with img_options_free. */
IMG_API img_options *img_options_new(void);
IMG_API void img_options_free(img_options *options);

/* Set one pair. Both strings are copied. */
IMG_API int img_options_set(img_options *options, const char *name, const char *value,
                            img_error *err);

/*
 * Add "name=value,name=value". A comma inside a value is written twice; a bare
 * "name" means "name=on" and "noname" stays as it is. A comma may stand at the end.
 */
IMG_API int img_options_parse(img_options *options, const char *text, img_error *err);

/* The value, or NULL when it was not set. */
IMG_API const char *img_options_get(const img_options *options, const char *name);

/* Number of pairs, and the name of the n-th in the order they were set (NULL past the end). */
IMG_API size_t img_options_count(const img_options *options);
IMG_API const char *img_options_name(const img_options *options, size_t n);

/*
 * A size as people type it: "10G", "1.5T", "4096", "512k" (1024 each).
 * Returns IMG_E_INVAL for what is no size, IMG_E_RANGE for one past 2^63-1.
 */
IMG_API int img_parse_size(const char *text, uint64_t *bytes, img_error *err);

/* ------------------------------------------------------------------ policy */

/*
 * What an image may ask of its host. NULL in place of a policy means the
 * default one: any plain file may be named by an image, formats are probed,
 * tables are limited to 256 MiB in memory, chains to 200 images.
 */
typedef struct img_policy img_policy;

enum img_reach {
    IMG_REACH_ANY,       /* any plain file, as qemu-img does */
    IMG_REACH_DIRECTORY, /* only files in the directory of the image that names them */
    IMG_REACH_NONE       /* no file but the one that was opened by name */
};

enum img_limit {
    IMG_LIMIT_TABLE_BYTES,  /* memory for one table read from a file (256 MiB) */
    IMG_LIMIT_CHAIN_DEPTH,  /* images in one backing chain (200) */
    IMG_LIMIT_VIRTUAL_SIZE, /* size of a virtual disk (2^63-1) */
    IMG_LIMIT_EXTENTS       /* extent files of one image (4096) */
};

/* A policy with the defaults above; NULL when memory is short. */
IMG_API img_policy *img_policy_new(void);
IMG_API void img_policy_free(img_policy *policy);
IMG_API void img_policy_set_reach(img_policy *policy, enum img_reach reach);
/* Whether a format that was not named may be found by probing (default: yes). */
IMG_API void img_policy_set_probe(img_policy *policy, bool allowed);
/*
 * Whether an extent that an image names may be a block device (default: no), and, unless the reach
 * is IMG_REACH_ANY, whether a backing image or a data file may be one.
 */
IMG_API void img_policy_set_devices(img_policy *policy, bool allowed);
IMG_API void img_policy_set_limit(img_policy *policy, enum img_limit limit, uint64_t value);

/* ----------------------------------------------------------------- secrets */

/*
 * Passphrases by id, for images that are encrypted: an image's options name one by
 * "encrypt.key-secret" (qcow2) or "key-secret" (luks). A set is filled by one thread before it is
 * used, then any number of threads and images may use it. It must stay until the last of those
 * images is closed. Secrets are cleared from memory when the set is freed.
 */
typedef struct img_secrets img_secrets;

/* A new, empty set; NULL when memory is short. */
IMG_API img_secrets *img_secrets_new(void);
IMG_API void img_secrets_free(img_secrets *secrets); /* NULL is allowed */

/*
 * Add one secret: the properties are those of qemu-img's `--object secret`. "id" is its name, or
 * the device or UUID of a volume, see img_guest_params; "data" is the secret itself, or "file" the
 * name of a file that holds it, to its last byte; "format" says whether that is "raw" (the default)
 * or "base64". Nothing is kept of properties, whose values img_options_free clears.
 */
IMG_API int img_secrets_add(img_secrets *secrets, const img_options *properties, img_error *err);

/* ----------------------------------------------------------------- formats */

/* The n-th format's name ("raw", "qcow2", "vmdk"), or NULL past the last. */
IMG_API const char *img_format_name(size_t n);

/* One create option of a format. All strings are constant. */
typedef struct img_option_info {
    const char *name;
    const char *type;  /* "str", "size", "num" or "bool (on/off)" */
    const char *value; /* the default, or NULL when there is none */
    const char *help;  /* one line */
    bool implicit;     /* has a default that a report of the creation does not show */
    unsigned reserved[4];
} img_option_info;

/* Fill *info with the n-th create option of a format; false past the last one. */
IMG_API bool img_format_option(const char *format, size_t n, img_option_info *info);

/* The same for the options of an image that img_amend can change; false at once if there are none.
 */
IMG_API bool img_format_amend_option(const char *format, size_t n, img_option_info *info);

/* ------------------------------------------------------------------ images */

typedef struct img_image img_image;

enum img_open_flags {
    IMG_OPEN_WRITE = 1u << 0,      /* for writing too */
    IMG_OPEN_NO_BACKING = 1u << 1, /* leave the backing chain closed: absent data reads as zeros */
    IMG_OPEN_SHARE = 1u << 2,      /* read although a writer has it open (qemu-img's -U) */
    IMG_OPEN_NO_LOCK = 1u << 3,    /* take no locks at all */
    IMG_OPEN_CHECK = 1u << 4,      /* for img_check: open what is too damaged to use */
    IMG_OPEN_NO_FILES = 1u << 5,   /* for a look at the metadata: open nothing the image names */
    IMG_OPEN_TYPED = 1u << 6,      /* a user typed the name, see img_open */
    IMG_OPEN_OPTIONS = 1u << 7,    /* the name is a list of options, see img_open */
    IMG_OPEN_NO_KEY = 1u << 8,     /* ask for no passphrase: what is encrypted cannot be read */
    IMG_OPEN_NO_DATA = 1u << 9,    /* for img_info: leave files closed that hold nothing but data */
    IMG_OPEN_PIPE = 1u << 10,      /* the name may mean a pipe, see img_open */
    IMG_OPEN_SALVAGE = 1u << 11    /* for reading: make do without metadata that is lost */
};

/* How writes reach the disk, and reads come from it (qemu-img's -t and -T). */
enum img_cache {
    IMG_CACHE_WRITEBACK,    /* page cache; on disk after img_flush and img_close */
    IMG_CACHE_NONE,         /* O_DIRECT; on disk after img_flush and img_close */
    IMG_CACHE_WRITETHROUGH, /* page cache; on disk when img_write returns */
    IMG_CACHE_DIRECTSYNC,   /* O_DIRECT; on disk when img_write returns */
    IMG_CACHE_UNSAFE        /* page cache; never forced to the disk */
};

/* "none", "writeback", "writethrough", "directsync", "unsafe" to the above. */
IMG_API int img_parse_cache(const char *text, enum img_cache *cache, img_error *err);

/*
 * Whether to go on waiting for a pipe: asked ten times a second meanwhile, by any thread. Anything
 * but 0 ends what waits with IMG_E_CANCELLED.
 */
typedef struct img_interrupt {
    int (*asked)(void *opaque);
    void *opaque;
} img_interrupt;

/* How to open. Zeroed, it opens read-only and probes the format. */
typedef struct img_open_params {
    const char *format; /* NULL: probe */
    unsigned flags;     /* enum img_open_flags */
    enum img_cache cache;
    const img_options *options;          /* NULL: none */
    const img_policy *policy;            /* NULL: the default */
    const img_secrets *secrets;          /* for every image of the chain; NULL: none. Not copied */
    const enum img_cache *backing_cache; /* of the images below; NULL: as cache. Copied */
    const char *disk;                    /* of an appliance: see below; NULL: its first */
    const img_interrupt *interrupt;      /* with IMG_OPEN_PIPE; NULL: none. Copied */
} img_open_params;

/*
 * Open the image in the file of that name, with its backing chain.
 * A name in drop that
 * is no partition by itself is IMG_E_INVAL. params may be NULL. On success *image is the caller's,
 * to end with img_close. An image whose format was guessed to be raw refuses writes that would make
 * it look like another format.
 *
 * The name is a file's, whatever it looks like. With IMG_OPEN_TYPED it may also be what qemu-img's
 * user may type: "file:NAME", or "json:" and a JSON object; what looks like a protocol ("nbd:x") is
 * one. With IMG_OPEN_OPTIONS it is "driver=FMT,file.filename=NAME,...", a comma in a value written
 * twice. Both ways take the same nested options: driver, file.driver, file.filename, file.locking,
 * file.aio, backing and backing.*, read-only, force-share, cache.direct, cache.no-flush, discard,
 * detect-zeroes, and those of the format. They override format, flags and cache. Such names must
 * come from somebody who may open any file: never from an image.
 *
 * With IMG_OPEN_PIPE "-" is standard input, and the name may be a FIFO's. What comes from a pipe is
 * read once, from front to back, so such an image is good for one img_convert, img_check or
 * img_info and nothing else. Only some formats can be read like that: raw when its size is said,
 * and streamOptimized VMDK. The same flag lets img_create write to standard output or a FIFO, for
 * one img_convert. Broken pipes raise SIGPIPE, which is the caller's to ignore.
 */
IMG_API int img_open(img_image **image, const char *name, const img_open_params *params,
                     img_error *err);

/*
 * An appliance is a machine's disks with an OVF document about them: packed into one file (OVA), or
 * the document with its files beside it. Opening either opens the disk that params->disk names, by
 * its number in the document, from 1 on, or by its diskId; NULL: the first that has a file. A
 * format of NULL, "ova" or "ovf" finds the format of the disk itself by probing; any other,
 * together with `disk`, is that of the disk. Disks are opened for reading only, and nothing is
 * unpacked. In a list of options the disk is "disk=N".
 */

/* The number of the next disk with a file behind this one in its appliance; 0: there is none. */
IMG_API size_t img_appliance_next_disk(const img_image *image);

enum img_manifest {
    IMG_MANIFEST_NONE,    /* no image of the chain is of an appliance */
    IMG_MANIFEST_MISSING, /* what is in an appliance of the chain cannot be verified */
    IMG_MANIFEST_PRESENT  /* img_convert verifies the disk, img_check all files */
};
IMG_API enum img_manifest img_appliance_manifest(const img_image *image);

/*
 * What is in the appliance of that name, as JSON text: "members", "virtual-systems", "disks",
 * "manifest". Free it with img_free. *json is NULL when the file is no appliance, or when params
 * ask for a disk or another format.
 */
IMG_API int img_appliance_info(const char *name, const img_open_params *params, char **json,
                               img_error *err);

/*
 * A new OVA, made of one or several disks, which are known by their number and sizes (bytes)
 * beforehand. options: those that img_format_option lists for "ova", or NULL. params: cache and
 * policy, or NULL. The file appears under its name when img_appliance_close succeeds.
 */
typedef struct img_appliance img_appliance;
IMG_API int img_appliance_create(img_appliance **appliance, const char *name, const uint64_t *sizes,
                                 size_t count, const img_options *options,
                                 const img_open_params *params, img_error *err);
/*
 * The next disk, in the order of the sizes: an empty image to be filled, in ascending order as
 * img_convert does it, and closed by the caller before the next one is asked for.
 */
IMG_API int img_appliance_disk(img_appliance *appliance, img_image **image, img_error *err);
/* All disks are closed: complete the OVA and publish it. It is gone afterwards, also on failure. */
IMG_API int img_appliance_close(img_appliance *appliance, img_error *err);
/*
 * Give it up: nothing is left. As with img_appliance_close, the image of its last disk has been
 * ended before, with img_close or img_abandon: it writes into the appliance. NULL is allowed.
 */
IMG_API void img_appliance_abandon(img_appliance *appliance);

/*
 * Make an image and open it for writing. Its files appear under their names
 * when img_close succeeds, replacing what was there; until then, and when the
 * process dies, the names are untouched (a block device is written in place).
 * size: bytes; where options hold "size" that one counts and size must be 0.
 * options: the format's create options, or NULL. "backing_file" and "backing_fmt"
 * make an overlay; the size may then be 0 to take that of the backing image.
 * params: flags, cache, policy and secrets as for img_open (format is ignored, and options instead
 * of a name make no image), or NULL.
 */
IMG_API int img_create(img_image **image, const char *name, const char *format, uint64_t size,
                       const img_options *options, const img_open_params *params, img_error *err);

/*
 * Write out what is cached, end the image, free it. An image that img_create
 * made is published here. After a failure the image is gone all the same, and
 * a new one was not published. image may be NULL.
 */
IMG_API int img_close(img_image *image, img_error *err);

/* End an image without publishing it: what img_create made is removed. NULL is allowed. */
IMG_API void img_abandon(img_image *image);

IMG_API uint64_t img_size(const img_image *image);
/* Whether the file that is open there (O_PATH will do) is one of the image or of its chain. */
IMG_API bool img_lies_in(const img_image *image, int fd);
IMG_API const char *img_name(const img_image *image);
IMG_API const char *img_format(const img_image *image);
/* True when the format was found by probing and only "raw" fitted. */
IMG_API bool img_format_guessed(const img_image *image);
/*
 * What is wrong with an image that would not have opened without IMG_OPEN_SALVAGE, and what was
 * done about it, for people to read; NULL: nothing. So far streamOptimized VMDK alone can make do
 * without its metadata.
 */
IMG_API const char *img_salvaged(const img_image *image);
/* Bytes of the format's allocation unit; 0 where it has none. */
IMG_API uint32_t img_cluster_size(const img_image *image);
/* The backing image's name as the image holds it, and its format; NULL when there is none. */
IMG_API const char *img_backing_name(const img_image *image);
IMG_API const char *img_backing_format(const img_image *image);
/* The backing image's name as it is opened, relative to the caller. Free it with img_free. */
IMG_API int img_backing_path(const img_image *image, char **path, img_error *err);

/*
 * Read or write length bytes at offset. All or nothing is reported, though a
 * failed write may have changed a part of the range. A range past the end of the
 * disk is IMG_E_RANGE.
 */
IMG_API int img_read(img_image *image, uint64_t offset, void *buffer, size_t length,
                     img_error *err);
IMG_API int img_write(img_image *image, uint64_t offset, const void *buffer, size_t length,
                      img_error *err);

/*
 * As img_write, stored compressed where that is smaller. Offset and length are multiples of
 * img_cluster_size; the last cluster may be cut by the disk's end. IMG_E_UNSUPPORTED when the
 * format cannot.
 */
IMG_API int img_write_compressed(img_image *image, uint64_t offset, const void *buffer,
                                 size_t length, img_error *err);

enum img_zero_flags {
    IMG_ZERO_UNMAP = 1u << 0,      /* the space may be given back */
    IMG_ZERO_NO_FALLBACK = 1u << 1 /* IMG_E_UNSUPPORTED rather than zeros that are written */
};

/* Make the range read as zeros. */
IMG_API int img_zero(img_image *image, uint64_t offset, uint64_t length, unsigned flags,
                     img_error *err);

/* The range's content is no longer needed. What it reads as afterwards is not promised. */
IMG_API int img_discard(img_image *image, uint64_t offset, uint64_t length, img_error *err);

/* When it returns, all that was written before it began survives a power cut. */
IMG_API int img_flush(img_image *image, img_error *err);

/*
 * Set the size of the disk. New space reads as zeros. Shrinking loses what is past the end, for
 * good: what is lost is gone also when the call fails half-way.
 */
IMG_API int img_resize(img_image *image, uint64_t size, img_error *err);

/* What is set aside for the space that a disk gains. */
enum img_preallocation {
    IMG_PREALLOC_OFF,      /* nothing */
    IMG_PREALLOC_METADATA, /* its place in the file, which has holes there */
    IMG_PREALLOC_FALLOC,   /* likewise, and space from the filesystem */
    IMG_PREALLOC_FULL      /* likewise, with zeros written */
};

/*
 * As img_resize. IMG_E_INVAL when the format does not know the mode, and for any but
 * IMG_PREALLOC_OFF when the disk does not grow.
 */
IMG_API int img_resize_preallocated(img_image *image, uint64_t size, enum img_preallocation mode,
                                    img_error *err);

/* --------------------------------------------------------------- snapshots */

/* A snapshot inside an image. */
typedef struct img_snapshot {
    const char *id;         /* given out by the image: a number, and unique */
    const char *name;       /* need not be unique */
    uint64_t disk_size;     /* bytes of the disk at that time */
    uint64_t vm_state_size; /* bytes of a machine's state that was saved with it */
    uint64_t date_sec;      /* when it was made: seconds since 1970, */
    uint32_t date_nsec;     /* and nanoseconds */
    uint64_t vm_clock;      /* nanoseconds the machine had been running */
    uint64_t icount;        /* instructions it had executed; UINT64_MAX: not known */
    uint64_t reserved[4];
} img_snapshot;

/*
 * The snapshots in the image, in its order. *list is one piece of memory, to be freed with
 * img_free; it holds *count of them. A format that cannot have any has none.
 */
IMG_API int img_snapshot_list(img_image *image, img_snapshot **list, size_t *count, img_error *err);

/*
 * Whether the image's format can have snapshots inside the image: 0, or IMG_E_UNSUPPORTED, which
 * says what there is instead. That this one image cannot be written is found out later.
 */
IMG_API int img_snapshot_supported(const img_image *image, img_error *err);

/*
 * Keep the disk as it is now. Of *snapshot, name (up to 255 bytes), date, vm_clock and icount are
 * used; the others are the image's to set. IMG_E_UNSUPPORTED when the format or this image cannot,
 * IMG_E_INVAL when the image's refcounts are too narrow for another snapshot.
 *
 * This and the two below: the image is open for writing and nobody uses it meanwhile. They happen
 * wholly or not at all, whenever they fail or the machine stops, and are on disk when they return.
 * id or name may be NULL, for any; of several that fit the first one is taken; IMG_E_NOENT when
 * there is none.
 */
IMG_API int img_snapshot_create(img_image *image, const img_snapshot *snapshot, img_error *err);
/* Make the disk what it was, its size included. What it is now is lost. The snapshot stays. */
IMG_API int img_snapshot_apply(img_image *image, const char *id, const char *name, img_error *err);
IMG_API int img_snapshot_delete(img_image *image, const char *id, const char *name, img_error *err);

/*
 * From now on the image, which is open for reading only, is the disk that the snapshot holds. The
 * backing chain is the same. Nobody uses the image meanwhile.
 */
IMG_API int img_snapshot_view(img_image *image, const char *id, const char *name, img_error *err);

enum img_extent_flags {
    IMG_EXTENT_DATA = 1u << 0,    /* stored bytes */
    IMG_EXTENT_ZERO = 1u << 1,    /* reads as zeros */
    IMG_EXTENT_PRESENT = 1u << 2, /* some image of the chain decides what it reads as */
    IMG_EXTENT_PACKED = 1u << 3,  /* stored compressed */
    IMG_EXTENT_HOST = 1u << 4     /* host and file say where it is stored */
};

/* One run of the disk, as the whole chain makes it. */
typedef struct img_extent {
    uint64_t offset; /* of the run in the disk */
    uint64_t length;
    unsigned flags;   /* enum img_extent_flags */
    unsigned depth;   /* 0: this image, 1: its backing image, ... */
    uint64_t host;    /* byte of the file where the run begins */
    const char *file; /* that file's name */
    uint64_t reserved[4];
} img_extent;

/*
 * What is at offset, for at most length bytes: one run that begins there and
 * has at least one byte. Adjacent runs may be alike; merging is the caller's.
 */
IMG_API int img_map(img_image *image, uint64_t offset, uint64_t length, img_extent *extent,
                    img_error *err);

/*
 * All that is known about the image, as JSON text with qemu-img's keys
 * ("virtual-size", "format-specific", ...). Free it with img_free.
 */
IMG_API int img_info(img_image *image, char **json, img_error *err);

/* Free what libimg gave out as the caller's. NULL is allowed. */
IMG_API void img_free(void *memory);

/* ------------------------------------------------------------ dirty bitmaps */

/*
 * A bitmap that is stored in the image tells which parts of the disk have changed since it was
 * added or cleared: a bit for every `granularity` bytes. While it is enabled every write, zero
 * and discard request sets bits, and so does whatever writes for the caller (img_convert,
 * img_commit, img_rebase). The bits are on disk, and can be relied on, once img_close has
 * succeeded: a bitmap of an image whose writer died is inconsistent, and can only be removed.
 * Functions that change bitmaps need an image that is open for writing, and have it to themselves.
 */
typedef struct img_bitmap {
    const char *name; /* belongs to the image, until its bitmaps change */
    uint64_t granularity;
    bool enabled;
    bool inconsistent;
    uint64_t reserved[4];
} img_bitmap;

/* Whether the image can have bitmaps: format and version do. */
IMG_API bool img_bitmap_supported(const img_image *image);

/* The n-th bitmap. IMG_E_NOENT past the last one; an image whose format has none has none. */
IMG_API int img_bitmap_get(img_image *image, size_t n, img_bitmap *bitmap, img_error *err);

/*
 * Add a bitmap, all clean. granularity: a power of two, 512 at least; 0: the image's cluster
 * size, but 4096 at least and 65536 at most. IMG_E_EXISTS when there is one of that name.
 */
IMG_API int img_bitmap_add(img_image *image, const char *name, uint64_t granularity, bool enabled,
                           img_error *err);

/* Those below answer IMG_E_NOENT when there is no bitmap of that name. */
IMG_API int img_bitmap_remove(img_image *image, const char *name, img_error *err);
/* Make all of it clean. */
IMG_API int img_bitmap_clear(img_image *image, const char *name, img_error *err);
IMG_API int img_bitmap_enable(img_image *image, const char *name, bool enabled, img_error *err);

/*
 * What is dirty in source_name becomes dirty in name too. source: an image whose disk has the same
 * size, or NULL: the same image.
 */
IMG_API int img_bitmap_merge(img_image *image, const char *name, img_image *source,
                             const char *source_name, img_error *err);

/*
 * Whether the byte at offset is *dirty, and in *run for how many bytes, of `length` at most, the
 * answer is the same.
 */
IMG_API int img_bitmap_run(img_image *image, const char *name, uint64_t offset, uint64_t length,
                           uint64_t *run, bool *dirty, img_error *err);

/* --------------------------------------------------------- long operations */

/* How a long operation runs, and who hears of it. */
typedef struct img_job img_job;

typedef struct img_progress {
    const char *phase; /* "convert", "compare", "check" */
    uint64_t done;     /* bytes of the disk dealt with */
    uint64_t total;
    uint64_t reserved[4];
} img_progress;

/*
 * Called by the threads of the operation, one at a time. Not zero ends the
 * operation with IMG_E_CANCELLED.
 */
typedef int img_progress_fn(void *opaque, const img_progress *progress);

enum img_job_flags {
    IMG_JOB_COMPRESS = 1u << 0,     /* store compressed where the target can */
    IMG_JOB_TARGET_ZERO = 1u << 1,  /* an existing target is known to read as zeros */
    IMG_JOB_SALVAGE = 1u << 2,      /* what cannot be read becomes zeros, and is counted */
    IMG_JOB_STRICT = 1u << 3,       /* compare: sizes and allocation must be equal too */
    IMG_JOB_REPAIR_LEAKS = 1u << 4, /* check: free what is lost */
    IMG_JOB_REPAIR_ALL = 1u << 5,   /* check: mend everything that can be */
    IMG_JOB_NO_BACKING_COPY =
        1u << 6,                 /* convert: leave out what the target's backing image holds */
    IMG_JOB_KEEP = 1u << 7,      /* commit: do not empty the image afterwards */
    IMG_JOB_UNSAFE = 1u << 8,    /* rebase: change the name only, whatever the disk reads as then */
    IMG_JOB_FORCE = 1u << 9,     /* amend: also what may make the disk unreadable (its last key) */
    IMG_JOB_NO_VERIFY = 1u << 10 /* convert, check: do not hold an appliance to its manifest */
};

/* With defaults: a thread a processor (16 at most), no flags, 4096 as sparse size. NULL: no memory.
 */
IMG_API img_job *img_job_new(void);
IMG_API void img_job_free(img_job *job);
IMG_API void img_job_set_threads(img_job *job, unsigned threads); /* 1 to 64; 0: the default */
IMG_API void img_job_set_flags(img_job *job, unsigned flags);     /* enum img_job_flags */
/* Zeros in the source this long become holes; 0: none do, the target is fully allocated. */
IMG_API void img_job_set_sparse(img_job *job, uint64_t bytes);
/* Bytes a second at most; 0: no limit. */
IMG_API void img_job_set_rate(img_job *job, uint64_t bytes);
IMG_API void img_job_set_progress(img_job *job, img_progress_fn *fn, void *opaque);
/* Bytes that the last operation salvaged as zeros. */
IMG_API uint64_t img_job_salvaged(const img_job *job);

/*
 * Copy the sources, one behind the other, into target, which must be open for
 * writing and large enough. The result is the same whatever the number of threads. job may
 * be NULL. The target stays open: the caller closes or abandons it.
 */
IMG_API int img_convert(img_job *job, img_image *const *sources, size_t count, img_image *target,
                        img_error *err);

typedef struct img_compare_result {
    bool equal;
    bool size_differs;       /* the sizes are not the same */
    bool allocation_differs; /* strict: "offset" is allocated in one image only */
    uint64_t offset;         /* the first byte of the first difference */
    uint64_t reserved[4];
} img_compare_result;

/*
 * Compare what two disks hold. The longer one's tail must be zeros. job may be
 * NULL. A difference is no error: the function returns 0 and fills *result.
 */
IMG_API int img_compare(img_job *job, img_image *a, img_image *b, img_compare_result *result,
                        img_error *err);

/*
 * Write what the image holds, and all images between it and base, into base: the name of an image
 * of its chain (as that image or the one above it names it), or NULL for its backing image. A base
 * that is too small grows. Then, if base is NULL and the job's flags have no IMG_JOB_KEEP, the
 * image is emptied where its format can, so that it reads through. The image is open for writing,
 * and nobody uses it meanwhile; base is opened for writing while this runs. With base not NULL the
 * images between them no longer hold what they held. job may be NULL.
 */
IMG_API int img_commit(img_job *job, img_image *image, const char *base, img_error *err);

/*
 * Make the image of that name and format, relative to where the image lies, its backing image; with
 * NULL or "" it has none from now on. What the disk reads as stays the same: what differs is copied
 * into the image first, compressed with IMG_JOB_COMPRESS. With IMG_JOB_UNSAFE only the name is
 * changed; the image is then open with IMG_OPEN_NO_BACKING, and nothing looks at either backing
 * image. The image is open for writing and nobody uses it meanwhile. IMG_E_NOSPACE when there is no
 * room for the name. job may be NULL.
 */
IMG_API int img_rebase(img_job *job, img_image *image, const char *name, const char *format,
                       img_error *err);

/*
 * Change options that the image was created with: those that img_format_amend_option lists. What is
 * not in options stays. What cannot be done is refused before anything is changed; a failure of
 * the disk may come after some of several changes were made, each of them as a whole, and leaves
 * an image that holds what it held. A smaller size loses what is past it, as img_resize does. The
 * image is open for writing and nobody uses it meanwhile. Flags: IMG_JOB_FORCE. job may be NULL.
 */
IMG_API int img_amend(img_job *job, img_image *image, const img_options *options, img_error *err);

typedef struct img_sparsify_result {
    uint64_t zeros;         /* bytes of the disk that were stored as zeros, and are so no more */
    uint64_t before, after; /* bytes that the image's files took on their disk, and take */
    uint64_t unused; /* bytes of the disk that were stored, and are zeros now: see img_free_space */
    uint64_t reserved[3];
} img_sparsify_result;

/*
 * Give up the space of what the image stores although it is zeros, as far as its format can say
 * that without storing them. The disk stays what it is, also when this is cancelled or the machine
 * stops; what its job's free space has, which counts as zeros, may become zeros. The image is open
 * for writing, and nobody writes to it meanwhile. IMG_E_UNSUPPORTED when its format cannot give up
 * space. Threads and progress of the job count; it may be NULL.
 */
IMG_API int img_sparsify(img_job *job, img_image *image, img_sparsify_result *result,
                         img_error *err);

typedef struct img_compact_result {
    uint64_t before, after;       /* bytes from the start of the image's file to its end */
    uint64_t usage_before, usage; /* bytes that it took on its disk, and takes */
    uint64_t moved;               /* bytes that were copied */
    uint64_t reserved[4];
} img_compact_result;

/*
 * Make the image's file shorter: what lies at its end moves into its holes, and it is cut off
 * behind what is left. Lost space is found again before. The disk stays what it is, and so do
 * snapshots and bitmaps; when this is cancelled, fails or the machine stops, what has been moved
 * stays moved, and at worst some space is lost until the next check or compact. The image is open
 * for writing, and nobody uses it meanwhile. IMG_E_UNSUPPORTED when its format cannot do that. job
 * may be NULL.
 */
IMG_API int img_compact(img_job *job, img_image *image, img_compact_result *result, img_error *err);

typedef struct img_check_result {
    uint64_t corruptions, leaks; /* found and still there */
    uint64_t corruptions_fixed, leaks_fixed;
    uint64_t check_errors; /* parts that could not be examined */
    uint64_t total_clusters, allocated_clusters, fragmented_clusters, compressed_clusters;
    uint64_t image_end_offset; /* 0: not known */
    uint64_t reserved[8];
} img_check_result;

/* Hears of each finding, as one line of text. Called by the thread that runs the check. */
typedef void img_finding_fn(void *opaque, const char *text);

/*
 * Check that an image's metadata is in order. IMG_E_UNSUPPORTED when the
 * format has no check. Faults are counted, not returned as errors. job and
 * finding may be NULL.
 */
IMG_API int img_check(img_job *job, img_image *image, img_finding_fn *finding, void *opaque,
                      img_check_result *result, img_error *err);

typedef struct img_measure_result {
    uint64_t required;        /* bytes a file for this content needs */
    uint64_t fully_allocated; /* bytes once every cluster is in use */
    uint64_t bitmaps;         /* bytes for the persistent bitmaps */
    bool has_bitmaps;         /* the target could hold bitmaps, and the source has a say */
    uint64_t reserved[4];
} img_measure_result;

/*
 * How large a new image of that format would be. With source (not NULL) for its
 * content, otherwise for an empty disk of size bytes.
 */
IMG_API int img_measure(const char *format, const img_options *options, img_image *source,
                        uint64_t size, img_measure_result *result, img_error *err);

/* -------------------------------------------------------- inside the guest */

/*
 * What is in a disk, or in the disks of one machine: partitions, and the filesystems in them. All
 * of it is read only. Names are those that libguestfs gives: the first disk is /dev/sda, its first
 * partition /dev/sda1.
 *
 * Any number of threads may use one guest at the same time. The images stay the caller's, who keeps
 * them open, and does not write to them, until img_guest_close.
 *
 * An error about something in a filesystem has in os_errno what the kernel would have said of it:
 * ENOENT, ENOTDIR, EISDIR, ELOOP, EIO, ...
 */
typedef struct img_guest img_guest;

/* Hears, as one line of text, of what takes long and of what is not as it should be. Any thread. */
typedef void img_notice_fn(void *opaque, const char *text);

enum img_guest_flags {
    IMG_GUEST_NO_APPLIANCE = 1u << 0 /* never start a virtual machine, see img_guest_assemble */
};

/* Zeroed, it has nothing to say to anybody. */
typedef struct img_guest_params {
    unsigned flags;        /* enum img_guest_flags */
    uint32_t sector_size;  /* of the disks: 512 or 4096; 0: found by a look at them */
    img_notice_fn *notice; /* NULL: nobody listens */
    void *opaque;
    /* Passphrases of LUKS volumes in the guest, by the volume's device or UUID, or "all" for any.
     * NULL: none. Not copied, it stays until img_guest_close. */
    const img_secrets *secrets;
} img_guest_params;

/* Find the partitions and what is in them. params may be NULL. */
IMG_API int img_guest_open(img_guest **guest, img_image *const *images, size_t count,
                           const img_guest_params *params, img_error *err);
IMG_API void img_guest_close(img_guest *guest); /* NULL is allowed */

/*
 * Volumes that no range of a disk holds (LVM, RAID, opened LUKS) and filesystems that no other
 * library reads are left to libguestfs, which starts a virtual machine: that takes seconds, 20 of
 * them without KVM, and the notice says so beforehand. Filesystems start it when they are first
 * used. This starts it to find such volumes, if the disks hold parts of any; from then on
 * img_guest_volume lists them. IMG_E_UNSUPPORTED when that is not possible, says why.
 */
IMG_API int img_guest_assemble(img_guest *guest, img_error *err);

enum img_volume_kind {
    IMG_VOLUME_DISK,
    IMG_VOLUME_PARTITION,
    IMG_VOLUME_LOGICAL, /* of LVM */
    IMG_VOLUME_RAID,
    IMG_VOLUME_CRYPT /* an opened LUKS volume */
};

/* Something with a device name. Strings are NULL where there is nothing to say. */
typedef struct img_volume {
    enum img_volume_kind kind;
    const char *device;    /* "/dev/sda1" */
    const char *parent;    /* of a partition: its disk */
    size_t disk;           /* of a disk or partition: the number of the image, */
    uint64_t offset, size; /* and its place there, in bytes */
    unsigned number;       /* of a partition: as in its device's name */
    const char *scheme;    /* of a disk: "gpt", "mbr" */
    uint32_t sector_size;  /* of a disk that has such a table: 512 or 4096 */
    const char *type;      /* of a partition: GPT's GUID (in capitals), or MBR's number ("0x83") */
    const char *name;      /* of a partition: GPT's name for it, in UTF-8 */
    const char *part_uuid; /* of a partition */
    bool bootable;         /* of a partition of MBR: it is the active one */
    bool holds_filesystem; /* what is in it may be looked into */
    /* What is in it, with libguestfs's name for it: "ext4", "vfat", "swap", "LVM2_member",
     * "crypto_LUKS", ...; and what that calls itself. */
    const char *content, *label, *uuid;
    uint64_t reserved[4];
} img_volume;

/* The n-th volume: each disk, then its partitions. IMG_E_NOENT past the last one. */
IMG_API int img_guest_volume(const img_guest *guest, size_t n, img_volume *volume, img_error *err);

/* A filesystem. It belongs to its guest. */
typedef struct img_fs img_fs;

/* The filesystem in the volume of that device name, opened when it is first asked for. */
IMG_API int img_guest_fs(img_guest *guest, const char *device, img_fs **fs, img_error *err);

IMG_API const char *img_fs_device(const img_fs *fs);
IMG_API const char *img_fs_type(const img_fs *fs); /* "ext4", ... */
/* What is wrong with it that does not hinder reading, for people: "its journal ..."; or NULL. */
IMG_API const char *img_fs_warning(const img_fs *fs);

/* The figures that statvfs(3) has. */
typedef struct img_fs_usage {
    uint64_t block_size;
    uint64_t blocks, blocks_free, blocks_available; /* available: to those who are not root */
    uint64_t files, files_free;                     /* inodes; 0: it has no fixed number of them */
    uint64_t name_max;
    uint64_t reserved[4];
} img_fs_usage;
IMG_API int img_fs_usage_of(img_fs *fs, img_fs_usage *usage, img_error *err);

/* A file is known by its inode number, which is another one in each filesystem. */
IMG_API uint64_t img_fs_root(const img_fs *fs);

typedef struct img_stat {
    uint64_t inode;
    uint32_t mode; /* as st_mode of stat(2): type and permissions */
    uint32_t links, uid, gid;
    uint32_t device_major, device_minor; /* of a device node */
    uint64_t size;
    uint64_t allocated;                 /* bytes of the volume that it takes */
    int64_t atime, mtime, ctime, btime; /* seconds since 1970; 0: not known */
    uint32_t atime_nsec, mtime_nsec, ctime_nsec, btime_nsec;
    uint64_t reserved[4];
} img_stat;
IMG_API int img_fs_stat(img_fs *fs, uint64_t inode, img_stat *stat, img_error *err);
/* The file of that name (a single one, no path) in a directory. */
IMG_API int img_fs_lookup(img_fs *fs, uint64_t directory, const char *name, uint64_t *inode,
                          img_error *err);
/* What a symbolic link says. Free *target with img_free. */
IMG_API int img_fs_readlink(img_fs *fs, uint64_t inode, char **target, img_error *err);
/* The names of its extended attributes, each with its 0 byte, *length bytes in all; for img_free.
 */
IMG_API int img_fs_xattr_names(img_fs *fs, uint64_t inode, char **names, size_t *length,
                               img_error *err);
/* The value of one ("user.comment"), for img_free. os_errno is ENODATA when it has none. */
IMG_API int img_fs_xattr(img_fs *fs, uint64_t inode, const char *name, void **value, size_t *length,
                         img_error *err);

/* A directory's entries as they were when it was opened, "." and ".." not among them. */
typedef struct img_dir img_dir;
typedef struct img_dirent {
    const char *name;
    uint64_t inode;
    uint32_t mode; /* the type alone, as in st_mode; 0: not known */
    uint32_t reserved[3];
} img_dirent;
IMG_API int img_dir_open(img_dir **dir, img_fs *fs, uint64_t inode, img_error *err);
/* The n-th, in the filesystem's order; false past the last one. */
IMG_API bool img_dir_entry(const img_dir *dir, size_t n, img_dirent *entry);
IMG_API void img_dir_close(img_dir *dir);

/* The content of a regular file. */
typedef struct img_file img_file;
IMG_API int img_file_open(img_file **file, img_fs *fs, uint64_t inode, img_error *err);
IMG_API uint64_t img_file_size(const img_file *file);
/* *length is what is wanted, and becomes what there was: less only at the file's end. */
IMG_API int img_file_read(img_file *file, uint64_t offset, void *buffer, size_t *length,
                          img_error *err);
/* How many bytes from offset on, `length` at most, are all in a *hole, or all not. */
IMG_API int img_file_run(img_file *file, uint64_t offset, uint64_t length, uint64_t *run,
                         bool *hole, img_error *err);
/* The digest of the whole, in hexadecimal digits; name: "md5", "sha256", ... For img_free. */
IMG_API int img_file_digest(img_file *file, const char *name, char **digits, img_error *err);
IMG_API void img_file_close(img_file *file);

/*
 * The directory tree of a guest: filesystems under their mount points. It belongs to the caller,
 * and must go before its guest does. Symbolic links mean what they mean in the guest: "/" is the
 * tree's root, nothing leads out of it.
 */
typedef struct img_tree img_tree;
typedef struct img_place {
    img_fs *fs;
    uint64_t inode;
} img_place;
IMG_API int img_tree_new(img_tree **tree, img_guest *guest, img_error *err);
IMG_API void img_tree_free(img_tree *tree);
/* Put the filesystem of a device at a path, "/" first. Nobody uses the tree meanwhile. */
IMG_API int img_tree_mount(img_tree *tree, const char *device, const char *path, img_error *err);
/*
 * Put the guest's root filesystem at "/" and, as its fstab says, the others at their mount points.
 * These are opened when a path first leads there; what of them cannot be mounted is told to the
 * guest's notice. With several root filesystems the one of that device; NULL: there must be only
 * one, and filesystems that the appliance reads count when there is no other. Without an operating
 * system, IMG_E_NOENT.
 */
IMG_API int img_tree_mount_root(img_tree *tree, const char *device, img_error *err);
enum img_tree_flags {
    IMG_TREE_NO_FOLLOW = 1u << 0 /* a symbolic link at the end is what is meant */
};
IMG_API int img_tree_find(img_tree *tree, const char *path, unsigned flags, img_place *place,
                          img_error *err);
/*
 * One step down, into what is mounted there, or up with ".."; that of the tree's root is itself.
 * Links are not followed.
 */
IMG_API int img_tree_step(img_tree *tree, const img_place *directory, const char *name,
                          img_place *place, img_error *err);
/* Whether a filesystem is mounted on that directory, which a step into it would lead to. */
IMG_API bool img_tree_covered(img_tree *tree, const img_place *directory);
/* Where something is mounted on that directory, its root instead. */
IMG_API void img_tree_cross(img_tree *tree, img_place *place);
/* The same, but only where that has been opened already. */
IMG_API void img_tree_cross_opened(img_tree *tree, img_place *place);
/* The n-th mount; false past the last one. The strings belong to the tree. */
IMG_API bool img_tree_mounted(const img_tree *tree, size_t n, const char **device,
                              const char **path);
/*
 * Copy local files and directories into the guest, as "cp -a" does: into the directory `target`, or
 * one of them to a new name. The images are open for writing. libguestfs's appliance, started for
 * this alone, mounts what the tree has mounted, and replays journals first. After a failure a part
 * may have been copied; the filesystems have been unmounted, or are as after a power cut. In any
 * case the tree and its guest know nothing of what is new: they are to be closed then.
 */
IMG_API int img_tree_put(img_tree *tree, const char *const *sources, size_t count,
                         const char *target, img_error *err);

enum img_inspect_flags {
    IMG_INSPECT_PACKAGES = 1u << 0 /* list the installed packages too */
};
/*
 * The operating systems on the disks, as JSON text: a list under "operatingsystems", each with the
 * keys of virt-inspector ("root", "name", "distro", "arch", "hostname", "mountpoints",
 * "applications", ...). Free it with img_free.
 */
IMG_API int img_guest_inspect(img_guest *guest, unsigned flags, char **json, img_error *err);

/*
 * What of a disk its guest does not use: space that no partition has, free blocks of filesystems,
 * swap. A job that is given it treats these parts as zeros (img_convert, img_sparsify). What is in
 * doubt counts as used: the space before the first partition, contents that nobody here knows,
 * filesystems whose journal has not been replayed, partitions that overlap, ...
 */
typedef struct img_free_space img_free_space;
enum img_free_flags {
    IMG_FREE_SWAP = 1u << 0 /* the content of swap, too; its header stays */
};
typedef struct img_free_params {
    unsigned flags;            /* enum img_free_flags */
    const char *const *ignore; /* device names of volumes that are kept whole */
    size_t ignore_count;
    const char *const *drop; /* and of partitions all of which counts as not used */
    size_t drop_count;
} img_free_params;
/*
 * Of the image that is the disk-th of the guest. IMG_E_BUSY when that is mounted or attached to a
 * loop device, as far as this can be seen: it may change meanwhile. What is kept whole is told to
 * the notice. params may be NULL. The result stays when the guest is closed.
 */
IMG_API int img_free_space_find(img_free_space **space, img_guest *guest, size_t disk,
                                const img_free_params *params, img_error *err);
IMG_API void img_free_space_free(img_free_space *space); /* NULL is allowed */
IMG_API uint64_t img_free_space_bytes(const img_free_space *space);
/* How many bytes from offset on, `length` at most, are all *free, or all not. */
IMG_API uint64_t img_free_space_run(const img_free_space *space, uint64_t offset, uint64_t length,
                                    bool *free);
/* What was found in one volume; in the disk itself: between its partitions. */
typedef struct img_free_volume {
    const char *device;
    const char *content; /* as in img_volume */
    uint64_t bytes;      /* that are not used */
    const char *kept;    /* why all of it counts as used; NULL: it was understood */
    uint64_t reserved[2];
} img_free_volume;
/* The n-th; false past the last one. */
IMG_API bool img_free_space_volume(const img_free_space *space, size_t n, img_free_volume *volume);
/*
 * Not copied: the caller keeps it until the job has ended. NULL: none. It is of the one source of
 * img_convert, or of the image of img_sparsify, neither of which has been written to since.
 */
IMG_API void img_job_set_free_space(img_job *job, const img_free_space *space);

/* ----------------------------------------------------------------- library */

/* "0.1.0" */
IMG_API const char *img_version(void);

/* Names and values of what this build has: "deflate: isa-l, libdeflate, zlib"; NULL past the last.
 */
IMG_API const char *img_feature(size_t n);

#ifdef __cplusplus
}
#endif
#endif
