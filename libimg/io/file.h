/*
 * The file backend's own struct, which its parts share. SPDX-License-Identifier: BSD-2-Clause
 *
 * Parts: file.c (open, read, write, size), direct.c (O_DIRECT), sparse.c (holes, zeros, shared
 * blocks), lock.c and holder.c (locks), attached.c (users that take none), stage.c (files that get
 * their name when complete), replace.c (other content as a whole).
 */
#ifndef IMGI_FILE_H
#define IMGI_FILE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "backend.h"

struct imgi_stage;

/* Things that a file turned out not to be able to do; they are not tried again. */
enum imgi_missing {
    IMGI_MISSING_PUNCH = 1u << 0,      /* fallocate: punch a hole */
    IMGI_MISSING_ZERO_RANGE = 1u << 1, /* fallocate: zero a range */
    IMGI_MISSING_ALLOCATE = 1u << 2,   /* fallocate: reserve space */
    IMGI_MISSING_SEEK = 1u << 3,       /* SEEK_DATA, SEEK_HOLE */
    IMGI_MISSING_SHARE = 1u << 4,      /* FICLONERANGE */
    IMGI_MISSING_DISCARD = 1u << 5     /* BLKDISCARD */
};

/* Locks that a descriptor holds: sets of enum imgi_perm. */
struct imgi_held {
    unsigned use, deny;
};

/* The run of data or hole that was found last. */
struct imgi_run {
    uint64_t offset, end;
    uint64_t changes; /* the file's count when the run was looked for */
    bool hole;
};

struct imgi_file {
    struct imgi_io io;
    int fd;
    bool device;         /* a block device, else a regular file */
    uint32_t block;      /* device: bytes of a logical block */
    uint32_t align;      /* O_DIRECT: offsets and lengths are multiples of this; 0: page cache */
    uint32_t mem_align;  /* O_DIRECT: buffers, likewise */
    atomic_uint missing; /* enum imgi_missing */

    /*
     * The size as this process knows it. Changed under lock; read without. lock is held shared by
     * whatever changes bytes (and may extend the file), and alone by what must not run beside that:
     * ftruncate, which could cut off another thread's extension, and the read-modify-write of
     * blocks for O_DIRECT.
     */
    _Atomic uint64_t size;
    pthread_rwlock_t lock;

    /* Counts changes of the content, after each is done; makes run stale. */
    _Atomic uint64_t changes;
    pthread_mutex_t run_lock; /* guards run */
    struct imgi_run run;

    struct imgi_held held;
    struct imgi_stage *stage; /* NULL: opened, not created */
    bool published;           /* created, and has its name */
};

/* file.c */
extern const struct imgi_io_ops imgi_file_ops;

/* The flags of open(2) for flags of enum imgi_io_flags. */
int imgi_file_open_flags(unsigned flags);
/* Fails for what is neither a regular file nor (unless flags say no) a block device, saying what it
 * is. */
int imgi_file_check_kind(const struct stat *info, unsigned flags, img_error *err);
/* Report that open(2) failed; what: "cannot be opened". */
int imgi_file_open_failed(int os_errno, unsigned flags, const char *what, img_error *err);
/* Make an io of an open descriptor, which it owns from now on, also when this fails. */
int imgi_file_adopt(struct imgi_file **file, int fd, const char *name, unsigned flags,
                    img_error *err);
/* Bytes up to end are in the file now. Called with lock held. */
void imgi_file_grown(struct imgi_file *file, uint64_t end);
/* Make the file at least end bytes long with a hole. Returns an errno. */
int imgi_file_extend(struct imgi_file *file, uint64_t end);

/*
 * pread and pwritev until all is done or the file ends (*got < length). These return an errno.
 * align is that of O_DIRECT, or 0.
 */
int imgi_fd_read(int fd, void *buffer, size_t length, uint64_t offset, uint32_t align, size_t *got);
int imgi_fd_writev(int fd, const struct iovec *iov, int count, uint64_t offset);

/* direct.c: reading and writing what O_DIRECT itself would refuse. These return an errno. */
void imgi_direct_setup(struct imgi_file *file);
bool imgi_direct_fits(const struct imgi_file *file, const struct iovec *iov, int count,
                      uint64_t offset);
int imgi_direct_read(struct imgi_file *file, void *buffer, size_t length, uint64_t offset,
                     size_t *got);
int imgi_direct_write(struct imgi_file *file, const struct iovec *iov, int count, uint64_t offset);

/* sparse.c */
int imgi_file_zero(struct imgi_io *io, uint64_t offset, uint64_t length, bool unmap,
                   img_error *err);
int imgi_file_discard(struct imgi_io *io, uint64_t offset, uint64_t length, img_error *err);
int imgi_file_extent(struct imgi_io *io, uint64_t offset, uint64_t length,
                     struct imgi_io_extent *extent, img_error *err);
int imgi_file_share(struct imgi_io *io, uint64_t offset, struct imgi_io *source,
                    uint64_t source_offset, uint64_t length, img_error *err);
/* Reserve space, extending the file. Returns an errno; EOPNOTSUPP: this file cannot. */
int imgi_file_allocate(struct imgi_file *file, uint64_t offset, uint64_t length);

/* lock.c */
int imgi_file_lock(struct imgi_io *io, unsigned use, unsigned deny, img_error *err);
/* As imgi_io_lock, for a bare descriptor; *held is what it holds, before and after. */
int imgi_fd_lock(int fd, struct imgi_held *held, unsigned use, unsigned deny, img_error *err);

/* holder.c: the process that holds a lock on a byte of fd's file by another descriptor; 0: not
 * known. */
pid_t imgi_lock_holder(int fd, uint64_t byte);

/* replace.c */
int imgi_file_replace(struct imgi_io *io, const void *bytes, size_t length, img_error *err);

/* stage.c */
/* A new file that is to take the name of an open one, which keeps its locks until then. */
int imgi_stage_successor(struct imgi_io **io, const struct imgi_file *old, img_error *err);
int imgi_stage_prepare(struct imgi_io *io, img_error *err);
int imgi_stage_publish(struct imgi_io *io, img_error *err);
void imgi_stage_retract(struct imgi_io *io);
/* Remove what was not published. */
void imgi_stage_free(struct imgi_stage *stage);

#endif
