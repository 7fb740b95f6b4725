/*
 * What the parts of libimg/guest/ share. SPDX-License-Identifier: BSD-2-Clause
 *
 * Lock order: guest->starting, guest->lock, then fs->lock. Notices are given without any lock.
 */
#ifndef IMGI_GUEST_H
#define IMGI_GUEST_H

#include "internal.h"

struct imgi_provider;
struct imgi_assembly;

/* A volume and what is known of it. */
struct imgi_volume {
    img_volume info;  /* its strings are the volume's own, malloc'd */
    img_image *image; /* NULL: no range of a disk holds it */
    img_fs *fs;       /* once it was asked for; under guest->lock */
    bool partitioned; /* a disk that has partitions: */
    /* the bytes that these may take, and whether its table is odd. */
    uint64_t usable_start, usable_end;
    bool doubtful;
    bool extended;    /* a partition that holds partitions */
    bool subvolume;   /* a part of another one: it is in no list */
    bool overlapped;  /* it shares bytes with another partition, or with the table */
    bool unsure;      /* a disk of which it is a guess how large its sectors are */
    const char *also; /* what it seems to hold besides info.content, or beside its partitions */
};

struct img_guest {
    img_image **images;
    size_t image_count;
    img_guest_params params;
    pthread_mutex_t starting; /* held while the appliance starts; protects the next two */
    img_error start_failure;  /* why it does not start */
    bool assembled;           /* its volumes are known */
    pthread_mutex_t lock;     /* protects what follows */
    /* Each one is allocated for itself: it stays where it is when others are found. */
    struct imgi_volume **volumes;
    size_t volume_count;
    struct imgi_assembly *assembly; /* the appliance, once it has been started */
};

/* A filesystem. */
struct img_fs {
    const struct imgi_provider *provider;
    img_guest *guest;
    const struct imgi_volume *volume;
    pthread_mutex_t lock; /* around every call of the provider */
    uint64_t root;
    char *warning; /* malloc'd, or NULL */
    void *state;   /* the provider's */
};

/* A file that is open for reading. */
struct img_file {
    img_fs *fs;
    uint64_t inode;
    uint64_t size;
    void *state; /* the provider's */
};

/* ---- guest.c ---- */

/* Give the guest's notice one line of text. */
void imgi_guest_notice(const img_guest *guest, const char *format, ...) IMG_PRINTF(2, 3);
/*
 * Add a volume that is a part of an image, or one that no image holds (NULL). The strings of info
 * are copied. guest->lock is held, or nobody else knows the guest yet.
 */
int imgi_guest_add(img_guest *guest, img_image *image, const img_volume *info, img_error *err);
/* Before the device and the path of a subvolume of btrfs: "btrfsvol:/dev/sda2/root". */
#define IMGI_SUBVOLUME "btrfsvol:"
/*
 * The volume with that device name; also by "LABEL=x", "UUID=x", "PARTUUID=x", "PARTLABEL=x", and
 * in a subvolume's name likewise. guest->lock is held.
 */
struct imgi_volume *imgi_guest_find(img_guest *guest, const char *device);

/* ---- volume.c ---- */

/* Bytes of a volume that a range of an image holds. Outside of it: IMG_E_RANGE. */
int imgi_volume_read(const struct imgi_volume *volume, uint64_t offset, void *buffer, size_t length,
                     img_error *err);

/* ---- partitions.c, gpt.c, mbr.c: partition tables ---- */

/*
 * Add the partitions of a disk that has been added as the last volume, and set what is known of
 * that one: scheme, sector size, ...
 */
int imgi_partitions_find(img_guest *guest, size_t disk, img_error *err);

/* ---- partition_types.c ---- */

/* Whether what was recognised in a partition is what its type announces. */
bool imgi_partition_expects(const struct imgi_volume *volume);
/* Whether it is for boot loaders and for Windows: nobody expects that it can be read. */
bool imgi_partition_is_reserved(const struct imgi_volume *volume);
/* Whether Windows keeps a database about it, outside of the partitions too. */
bool imgi_partition_is_dynamic(const struct imgi_volume *volume);

/* ---- content.c: what a volume holds ---- */

/*
 * Fill in content, label, uuid and holds_filesystem, and what else it may be. What cannot be read
 * leaves them unknown.
 */
int imgi_content_detect(struct imgi_volume *volume, img_error *err);
/* Whether a range of an image is known to hold something. */
bool imgi_content_is_known(img_image *image, uint64_t offset, uint64_t size);
/* Whether the first 512 bytes of a disk are those of a filesystem that looks like an MBR. */
bool imgi_content_is_boot_sector(const uint8_t sector[512]);

/* ---- fs.c ---- */

/* Whether only the appliance reads that kind of filesystem (img_volume.content). */
bool imgi_fs_is_for_appliance(const char *content);
/*
 * The bytes of a volume that its filesystem does not use, in ascending order, to fn as
 * imgi_unused_fn (provider.h) takes them. IMG_E_UNSUPPORTED when nobody can tell.
 */
int imgi_fs_unused(img_guest *guest, struct imgi_volume *volume,
                   int (*fn)(void *opaque, uint64_t offset, uint64_t length, img_error *err),
                   void *opaque, img_error *err);
/* End all filesystems of a guest's volume. */
void imgi_fs_close(img_fs *fs);

/* ---- free_space.c ---- */

/* Bytes of the disk that it was found in. */
uint64_t imgi_free_space_size(const img_free_space *space);

/* ---- guestfs_assembly.c, guestfs_appliance.c ---- */

/* Let the appliance find volumes that are no ranges of disks, and add them. No lock is held. */
int imgi_guestfs_assemble(img_guest *guest, img_error *err);
/*
 * The paths of the subvolumes of a filesystem of btrfs, to be freed by imgi_guestfs_free_list; NULL
 * when libguestfs does not tell. The appliance runs. No lock is held.
 */
char **imgi_guestfs_subvolumes(img_guest *guest, const char *device);
void imgi_guestfs_free_list(char **list);
/* End the appliance. NULL is allowed. */
void imgi_guestfs_end(struct imgi_assembly *assembly);

#endif
