/*
 * What the parts that use libguestfs share. SPDX-License-Identifier: BSD-2-Clause
 *
 * A guest has one appliance, which is started when it is first needed: guest->starting is held
 * meanwhile, and is taken before guest->lock. The appliance reads the disks from servers of ours,
 * so its first disk is the guest's first, by whatever image that is. libguestfs keeps its errors,
 * and what to do about them, for each thread: therefore every use of it is between
 * imgi_guestfs_enter and imgi_guestfs_leave.
 */
#ifndef IMGI_GUESTFS_H
#define IMGI_GUESTFS_H

#include "provider.h"

#ifdef HAVE_GUESTFS

#include <guestfs.h>

#include "../serve/serve.h"

/* The functions of libguestfs that are used. */
#define IMGI_GUESTFS_FUNCTIONS(F)                                                                  \
    F(create_flags)                                                                                \
    F(close)                                                                                       \
    F(set_error_handler)                                                                           \
    F(last_error)                                                                                  \
    F(last_errno)                                                                                  \
    F(set_autosync)                                                                                \
    F(set_backend)                                                                                 \
    F(set_backend_setting)                                                                         \
    F(add_drive_opts)                                                                              \
    F(launch)                                                                                      \
    F(shutdown)                                                                                    \
    F(cryptsetup_open)                                                                             \
    F(btrfs_subvolume_list)                                                                        \
    F(free_btrfssubvolume_list)                                                                    \
    F(lvm_scan)                                                                                    \
    F(lvs)                                                                                         \
    F(list_md_devices)                                                                             \
    F(blockdev_getsize64)                                                                          \
    F(vfs_type)                                                                                    \
    F(vfs_label)                                                                                   \
    F(vfs_uuid)                                                                                    \
    F(mkmountpoint)                                                                                \
    F(mount_ro)                                                                                    \
    F(statvfs)                                                                                     \
    F(free_statvfs)                                                                                \
    F(lstatns)                                                                                     \
    F(free_statns)                                                                                 \
    F(ls)                                                                                          \
    F(lstatnslist)                                                                                 \
    F(free_statns_list)                                                                            \
    F(readlink)                                                                                    \
    F(lgetxattrs)                                                                                  \
    F(free_xattr_list)                                                                             \
    F(lgetxattr)                                                                                   \
    F(mount)                                                                                       \
    F(umount_all)                                                                                  \
    F(tar_in_opts)                                                                                 \
    F(mkdtemp)                                                                                     \
    F(rename)                                                                                      \
    F(rm_rf)                                                                                       \
    F(realpath)                                                                                    \
    F(is_dir)                                                                                      \
    F(pread)

struct imgi_guestfs {
#define MEMBER(name) __typeof__(guestfs_##name) *name;
    IMGI_GUESTFS_FUNCTIONS(MEMBER)
#undef MEMBER
};

/* The appliance. */
struct imgi_assembly {
    struct imgi_guestfs call;
    guestfs_h *handle;
    struct imgi_server **servers; /* one for each image */
    size_t count;
    pthread_mutex_t lock; /* around every use of the handle */
    unsigned mounted;     /* filesystems */
};

/* ---- guestfs_load.c ---- */

int imgi_guestfs_load(struct imgi_guestfs *call, img_error *err);

/* ---- guestfs_appliance.c ---- */

/* Start an appliance with the guest's disks. purpose: "read xfs on /dev/sda1". */
int imgi_appliance_start(struct imgi_assembly **assembly, const img_guest *guest,
                         const char *purpose, bool writable, img_error *err);
/* The handle, with the lock held. */
guestfs_h *imgi_guestfs_enter(struct imgi_assembly *assembly);
void imgi_guestfs_leave(struct imgi_assembly *assembly);
/* What libguestfs said last, in one line; with the lock held. */
int imgi_guestfs_fail(struct imgi_assembly *assembly, img_error *err, const char *format, ...)
    IMG_PRINTF(3, 4);
/* Start the guest's own, unless it runs. guest->starting is held. */
int imgi_guestfs_start_locked(img_guest *guest, const char *purpose, img_error *err);

/* ---- guestfs_assembly.c ---- */

/* What a volume in LUKS is called when it is open, by the UUID of the LUKS. */
#define IMGI_LUKS_NAME "luks-%.40s"
/* Open a volume of LUKS, and look for logical volumes in it. It has a UUID. */
int imgi_guestfs_unlock(struct imgi_assembly *assembly, const img_guest *guest,
                        const img_volume *volume, bool writable, img_error *err);

/* ---- guestfs_nodes.c: files by number, although libguestfs knows them by path ---- */

struct imgi_nodes;

int imgi_nodes_new(struct imgi_nodes **nodes, img_error *err);
void imgi_nodes_free(struct imgi_nodes *nodes); /* NULL is allowed */
/*
 * The number of the file that has that name there (parent 0: it is the root), and what is known of
 * it. The first name by which a file is seen is the one that is used.
 */
int imgi_nodes_add(struct imgi_nodes *nodes, uint64_t parent, const char *name,
                   const struct guestfs_statns *found, uint64_t *inode, img_error *err);
/* Its path below `top`; free it. IMG_E_NOENT when no file of that number has been seen. */
int imgi_nodes_path(const struct imgi_nodes *nodes, const char *top, uint64_t inode, char **path,
                    img_error *err);
/* What was found of it when it was added, if that is still known. */
bool imgi_nodes_stat(const struct imgi_nodes *nodes, uint64_t inode, img_stat *stat);
/* Its type, as in st_mode; 0: no file of that number has been seen. */
uint32_t imgi_nodes_type(const struct imgi_nodes *nodes, uint64_t inode);

#endif /* HAVE_GUESTFS */

#endif
