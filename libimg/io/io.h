/*
 * Where bytes live. SPDX-License-Identifier: BSD-2-Clause
 *
 * An imgi_io is one file, block device or piece of memory. Calls are all or
 * nothing: short transfers and EINTR are dealt with inside. Every call may be
 * made from many threads at once, except close, prepare, publish and retract.
 *
 * Errors name the cause ("read of 512 bytes at 0x1000: Input/output error"), and err->image is set
 * to the file's name.
 */
#ifndef IMGI_IO_H
#define IMGI_IO_H

#include <sys/uio.h>

#include "../error.h"

struct imgi_io;

enum imgi_io_flags {
    IMGI_IO_WRITE = 1u << 0,
    IMGI_IO_DIRECT = 1u << 1,    /* O_DIRECT; callers need not align anything */
    IMGI_IO_SYNC = 1u << 2,      /* each write is on disk when it returns */
    IMGI_IO_NO_FLUSH = 1u << 3,  /* flush does nothing (cache mode unsafe) */
    IMGI_IO_NO_FOLLOW = 1u << 4, /* the last component must not be a symbolic link */
    IMGI_IO_NO_DEVICE = 1u << 5  /* it must be a regular file: the policy wants no device */
};

/* One run of a file: bytes, or a hole that reads as zeros. */
struct imgi_io_extent {
    uint64_t length;
    bool hole;
};

enum imgi_prealloc {
    IMGI_PREALLOC_OFF,    /* a hole */
    IMGI_PREALLOC_FALLOC, /* space reserved by the filesystem */
    IMGI_PREALLOC_FULL    /* zeros written */
};

/* What a backend implements. A NULL function means "cannot": the wrapper reports or falls back. */
struct imgi_io_ops {
    const char *name;
    bool once; /* a pipe: see imgi_io_is_pipe */
    int (*read)(struct imgi_io *io, void *buffer, size_t length, uint64_t offset, img_error *err);
    int (*write)(struct imgi_io *io, const struct iovec *iov, int count, uint64_t offset,
                 img_error *err);
    int (*size)(struct imgi_io *io, uint64_t *size, img_error *err);
    int (*resize)(struct imgi_io *io, uint64_t size, enum imgi_prealloc prealloc, img_error *err);
    int (*flush)(struct imgi_io *io, img_error *err);
    int (*zero)(struct imgi_io *io, uint64_t offset, uint64_t length, bool unmap, img_error *err);
    int (*discard)(struct imgi_io *io, uint64_t offset, uint64_t length, img_error *err);
    int (*extent)(struct imgi_io *io, uint64_t offset, uint64_t length,
                  struct imgi_io_extent *extent, img_error *err);
    int (*share)(struct imgi_io *io, uint64_t offset, struct imgi_io *source,
                 uint64_t source_offset, uint64_t length, img_error *err);
    int (*lock)(struct imgi_io *io, unsigned use, unsigned deny, img_error *err);
    int (*prepare)(struct imgi_io *io, img_error *err);
    int (*publish)(struct imgi_io *io, img_error *err);
    void (*retract)(struct imgi_io *io);
    void (*pass)(struct imgi_io *io, uint64_t offset);
    int (*replace)(struct imgi_io *io, const void *bytes, size_t length, img_error *err);
    struct imgi_io *(*below)(struct imgi_io *io, uint64_t *offset, uint64_t *length);
    uint64_t (*usage)(struct imgi_io *io);
    bool (*identity)(struct imgi_io *io, uint64_t id[2]);
    bool (*is_device)(struct imgi_io *io);
    void (*write_out)(struct imgi_io *io, uint64_t offset, uint64_t length);
    void (*evict)(struct imgi_io *io, uint64_t offset, uint64_t length);
    void (*close)(struct imgi_io *io);
};

/* The head of every backend's own struct. */
struct imgi_io {
    const struct imgi_io_ops *ops;
    char *name;     /* as opened; owned */
    unsigned flags; /* enum imgi_io_flags */
};

/*
 * Open a regular file or block device. Anything else (FIFO, terminal, directory) is refused
 * without blocking. Close with imgi_io_close.
 */
int imgi_file_open(struct imgi_io **io, const char *name, unsigned flags, img_error *err);
/* imgi_io_identity of what is open there. */
bool imgi_file_identity(int fd, uint64_t id[2]);

/*
 * Make a file that gets its name when imgi_io_publish is called. Until then whatever has that name
 * stays as it is, and closing without publishing leaves no trace (the file has no name, O_TMPFILE,
 * where the filesystem can do that). Symbolic links are followed to the file they name, whose
 * mode is kept. A file that is there must be writable and not locked by another process;
 * its lock is held until the new file is closed. A block device is opened as it is.
 */
int imgi_file_create(struct imgi_io **io, const char *name, unsigned flags, img_error *err);

/*
 * Open a pipe: standard input (or output, to write) for "-", or a FIFO, which waits for its other
 * side. What is read can be asked for again until imgi_io_pass; until its end has been seen, its
 * size is INT64_MAX. What is written must ascend; zeros fill what is left out. interrupt may be
 * NULL.
 */
int imgi_pipe_open(struct imgi_io **io, const char *name, unsigned flags,
                   const img_interrupt *interrupt, img_error *err);
/* Whether the name means one. */
bool imgi_pipe_named(const char *name);

/* Memory: a growing buffer, for tests. The content starts empty. */
int imgi_mem_new(struct imgi_io **io, img_error *err);
/* Its bytes; valid until the next write or resize. */
const uint8_t *imgi_mem_bytes(struct imgi_io *io, size_t *length);

/* length bytes of io from offset on. */
struct imgi_io_part {
    struct imgi_io *io;
    uint64_t offset, length;
};
/*
 * The parts, one behind the other, as one file that is only read (joined.c). The ios stay the
 * caller's, and open while this is. The parts lie inside of them.
 */
int imgi_joined_new(struct imgi_io **io, const char *name, const struct imgi_io_part *parts,
                    size_t count, img_error *err);

/* Who made a member, and hears of it. */
struct imgi_member_watch {
    /* Bytes are there; NULL: nobody asks. Called by the threads that write. */
    void (*written)(void *opaque, uint64_t offset, uint64_t length);
    void *opaque;
    bool complete; /* it was published, and has that size */
    uint64_t size;
};
/*
 * An empty file whose first byte will be that one of base, and which ends where base does
 * (member.c). base and watch are the caller's, and stay longer than it.
 */
int imgi_member_new(struct imgi_io **io, const char *name, struct imgi_io *base, uint64_t offset,
                    struct imgi_member_watch *watch, img_error *err);

/* A fault for imgi_fault_new: the nth call (0: the first; counted from when it is set) fails. */
enum imgi_fault_kind {
    IMGI_FAULT_READ = 1u << 0,
    IMGI_FAULT_WRITE = 1u << 1,
    IMGI_FAULT_FLUSH = 1u << 2,
    IMGI_FAULT_RESIZE = 1u << 3,
    IMGI_FAULT_ZERO = 1u << 4,
    IMGI_FAULT_ANY = (1u << 5) - 1
};

/* Passes everything on to base, which it owns, and fails what it is told to. For tests. */
int imgi_fault_new(struct imgi_io **io, struct imgi_io *base, img_error *err);
/* From now on the nth call of these kinds fails with os_errno, and, if sticky, every one behind it.
 */
void imgi_fault_set(struct imgi_io *io, unsigned kinds, uint64_t nth, int os_errno, bool sticky);
/* Whether the fault has been hit since it was set. */
bool imgi_fault_hit(const struct imgi_io *io);

/* What changed in a file of imgi_log_io, in the order in which it did. */
enum imgi_log_kind {
    IMGI_LOG_WRITE,
    IMGI_LOG_ZERO,    /* became zeros, the file longer where the range ends past it */
    IMGI_LOG_DISCARD, /* given back: the bytes may have become zeros */
    IMGI_LOG_RESIZE,  /* to `offset` bytes */
    IMGI_LOG_REPLACE, /* became the `length` bytes of `bytes`, as a whole */
    IMGI_LOG_FLUSH    /* all of this file that stands before it is durable */
};

struct imgi_log_entry {
    enum imgi_log_kind kind;
    unsigned file;
    uint64_t offset, length;
    uint8_t *bytes; /* of a write; the log's */
};

struct imgi_log;

/* An empty log, for any number of files. It outlives them. */
int imgi_log_new(struct imgi_log **log, img_error *err);
void imgi_log_free(struct imgi_log *log);
/* Passes everything on to base, which it owns, and writes it down as a change of file `file`. */
int imgi_log_io(struct imgi_io **io, struct imgi_log *log, unsigned file, struct imgi_io *base,
                img_error *err);
size_t imgi_log_count(struct imgi_log *log);
/* The entries, valid until the next change of a file. */
const struct imgi_log_entry *imgi_log_entries(const struct imgi_log *log);
/* Do to io what the entry says. */
int imgi_log_replay(const struct imgi_log_entry *entry, struct imgi_io *io, img_error *err);

/* Reading past the end of the file is IMG_E_RANGE. */
int imgi_io_read(struct imgi_io *io, void *buffer, size_t length, uint64_t offset, img_error *err);
/* Writing past the end extends the file. */
int imgi_io_write(struct imgi_io *io, const void *buffer, size_t length, uint64_t offset,
                  img_error *err);
int imgi_io_writev(struct imgi_io *io, const struct iovec *iov, int count, uint64_t offset,
                   img_error *err);
/* Bytes in the file. Cheap: no system call on the reading path. */
int imgi_io_size(struct imgi_io *io, uint64_t *size, img_error *err);
int imgi_io_resize(struct imgi_io *io, uint64_t size, enum imgi_prealloc prealloc, img_error *err);
int imgi_io_flush(struct imgi_io *io, img_error *err);

/*
 * Make a range read as zeros, extending the file when it ends past it: by punching (when unmap),
 * by zeroing in the filesystem, or by writing; what a file turns out not to
 * support is remembered and not tried again.
 */
int imgi_io_zero(struct imgi_io *io, uint64_t offset, uint64_t length, bool unmap, img_error *err);
/* Give space back if that can be done; never an error when it cannot. */
int imgi_io_discard(struct imgi_io *io, uint64_t offset, uint64_t length, img_error *err);
/* One run that starts at offset; all data where holes cannot be asked for. offset < size. */
int imgi_io_extent(struct imgi_io *io, uint64_t offset, uint64_t length,
                   struct imgi_io_extent *extent, img_error *err);
/*
 * Share blocks of source (reflink). IMG_E_UNSUPPORTED, quickly, when the filesystem, the alignment
 * or the backends do not allow it: the caller then copies.
 */
int imgi_io_share(struct imgi_io *io, uint64_t offset, struct imgi_io *source,
                  uint64_t source_offset, uint64_t length, img_error *err);
/* A pipe: its bytes go by once, from front to back. */
bool imgi_io_is_pipe(const struct imgi_io *io);
/* Of a pipe that is read: bytes before offset will not be asked for again. Others do not care. */
void imgi_io_pass(struct imgi_io *io, uint64_t offset);
/*
 * The file that really holds the byte at *offset, which becomes its place there; *length is cut to
 * the bytes that follow it. io itself unless it is one of imgi_joined_new.
 */
struct imgi_io *imgi_io_below(struct imgi_io *io, uint64_t *offset, uint64_t *length);
/* Bytes of disk that the file takes up. */
uint64_t imgi_io_usage(struct imgi_io *io);
/* Device and inode, to tell whether two names are one file; false where there is no such thing. */
bool imgi_io_identity(struct imgi_io *io, uint64_t id[2]);
/* A block device: it is written in place and has old content. */
bool imgi_io_is_device(struct imgi_io *io);
/*
 * For data that will not be read soon: begin to write it to the disk; and later, wait for that and
 * drop it from the page cache. Both are requests, not promises.
 */
void imgi_io_write_out(struct imgi_io *io, uint64_t offset, uint64_t length);
void imgi_io_evict(struct imgi_io *io, uint64_t offset, uint64_t length);
/*
 * Flush a file of imgi_file_create and give it its name; nothing to do for others. Flushing it
 * before that is free: a file without a name is lost in a power cut anyway.
 */
int imgi_io_publish(struct imgi_io *io, img_error *err);
/*
 * For files that are published together. Prepare: flush it, and let what its name takes the place
 * of be kept until the file is closed. Retract: what was prepared and published loses its name
 * again, and what had it before gets it back, where the file system can exchange names.
 */
int imgi_io_prepare(struct imgi_io *io, img_error *err);
void imgi_io_retract(struct imgi_io *io);
/*
 * Give the file those bytes and no others: a machine that stops leaves the old content or the new.
 * On disk when it returns. Where the file cannot be replaced (a device) it is written over.
 */
int imgi_io_replace(struct imgi_io *io, const void *bytes, size_t length, img_error *err);
/* Close and free; a created file that was not published is gone. NULL is allowed. */
void imgi_io_close(struct imgi_io *io);

/* ---- locks: QEMU's permissions, as byte-range locks on the file itself (lock.c) ---- */

enum imgi_perm {
    IMGI_PERM_READ = 1u << 0, /* consistent read */
    IMGI_PERM_WRITE = 1u << 1,
    IMGI_PERM_WRITE_UNCHANGED = 1u << 2,
    IMGI_PERM_RESIZE = 1u << 3
};

/*
 * Say what this process does with the file (use) and what it does not let others do meanwhile
 * (deny). IMG_E_BUSY when another process is in the way: 'Failed to get "write" lock', naming the
 * holder's pid where the kernel tells it. Replaces what was held before. Released at close.
 */
int imgi_io_lock(struct imgi_io *io, unsigned use, unsigned deny, img_error *err);

/* IMG_E_BUSY when a file of that name is in use as a disk, which takes no lock: mounted, also by a
 * filesystem in user space, or attached to a loop device. (attached.c) */
int imgi_check_attached(const char *path, img_error *err);

#endif
