/*
 * Filesystems: whose they are, and what is asked of them. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "provider.h"

static const struct imgi_provider *const providers[] = {
    &imgi_provider_ext2,
    &imgi_provider_fat,
    &imgi_provider_ntfs,
    &imgi_provider_iso,
    &imgi_provider_guestfs,
};

/* ---------------------------------------------------------------- opening */

static const struct imgi_provider *provider_of(const char *content)
{
    for (size_t n = 0; content && n < IMGI_COUNT(providers); n++) {
        if (providers[n]->reads(content))
            return providers[n];
    }
    return NULL;
}

bool imgi_fs_is_for_appliance(const char *content)
{
    return provider_of(content) == &imgi_provider_guestfs;
}

/* What no range of a disk holds only the appliance has. */
static const struct imgi_provider *provider_for(const struct imgi_volume *volume)
{
    if (!volume->image)
        return volume->info.holds_filesystem ? &imgi_provider_guestfs : NULL;
    return provider_of(volume->info.content);
}

void imgi_fs_close(img_fs *fs)
{
    if (!fs)
        return;
    fs->provider->close(fs);
    pthread_mutex_destroy(&fs->lock);
    free(fs->warning);
    free(fs);
}

static int open_fs(img_guest *guest, struct imgi_volume *volume, img_error *err)
{
    const struct imgi_provider *provider = provider_for(volume);
    img_fs *fs;
    int rc;

    if (!provider)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "%s: holds no known filesystem (%s)",
                         volume->info.device,
                         volume->info.content ? volume->info.content : "unknown");
    fs = calloc(1, sizeof(*fs));
    if (!fs)
        return imgi_fail_nomem(err, "a filesystem");
    fs->provider = provider;
    fs->guest = guest;
    fs->volume = volume;
    pthread_mutex_init(&fs->lock, NULL);
    rc = provider->open(fs, err);
    if (rc < 0) {
        imgi_error_prefix(err, "%s", volume->info.device);
        imgi_fs_close(fs);
        return rc;
    }
    volume->fs = fs;
    return 0;
}

/* Find the volume, and make its provider ready for it. Volumes stay once they are known. */
static int prepare(img_guest *guest, const char *device, struct imgi_volume **volume,
                   img_error *err)
{
    const struct imgi_provider *provider = NULL;
    int rc = 0;

    pthread_mutex_lock(&guest->lock);
    *volume = imgi_guest_find(guest, device);
    if (*volume && !(*volume)->fs)
        provider = provider_for(*volume);
    pthread_mutex_unlock(&guest->lock);
    if (!*volume)
        return imgi_fail(err, IMG_E_NOENT, "%s: no such device in the guest", device);
    if (provider && provider->prepare)
        rc = provider->prepare(guest, *volume, err);
    if (rc < 0)
        imgi_error_prefix(err, "%s", (*volume)->info.device);
    return rc;
}

int img_guest_fs(img_guest *guest, const char *device, img_fs **fs, img_error *err)
{
    struct imgi_volume *volume;
    bool opened = false;
    int rc = prepare(guest, device, &volume, err);

    *fs = NULL;
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&guest->lock);
    if (!volume->fs) {
        rc = open_fs(guest, volume, err);
        opened = rc == 0;
    }
    if (rc == 0)
        *fs = volume->fs;
    pthread_mutex_unlock(&guest->lock);
    if (opened && (*fs)->warning)
        imgi_guest_notice(guest, "%s: %s", device, (*fs)->warning);
    return rc;
}

/* -------------------------------------------------------------- questions */

const char *img_fs_device(const img_fs *fs)
{
    return fs->volume->info.device;
}

const char *img_fs_type(const img_fs *fs)
{
    return fs->volume->info.content;
}

const char *img_fs_warning(const img_fs *fs)
{
    return fs->warning;
}

uint64_t img_fs_root(const img_fs *fs)
{
    return fs->root;
}

int img_fs_usage_of(img_fs *fs, img_fs_usage *usage, img_error *err)
{
    int rc;

    *usage = (img_fs_usage){0};
    pthread_mutex_lock(&fs->lock);
    rc = fs->provider->usage(fs, usage, err);
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

int imgi_fs_unused(img_guest *guest, struct imgi_volume *volume, imgi_unused_fn *fn, void *opaque,
                   img_error *err)
{
    const struct imgi_provider *provider = provider_of(volume->info.content);
    img_fs *fs;
    int rc;

    if (!provider || !provider->unused)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "what %s does not use is not known",
                         volume->info.content);
    rc = img_guest_fs(guest, volume->info.device, &fs, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&fs->lock);
    rc = fs->provider->unused(fs, fn, opaque, err);
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

int img_fs_stat(img_fs *fs, uint64_t inode, img_stat *stat, img_error *err)
{
    int rc;

    *stat = (img_stat){.inode = inode};
    pthread_mutex_lock(&fs->lock);
    rc = fs->provider->stat(fs, inode, stat, err);
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

int img_fs_readlink(img_fs *fs, uint64_t inode, char **target, img_error *err)
{
    int rc;

    *target = NULL;
    pthread_mutex_lock(&fs->lock);
    rc = fs->provider->readlink(fs, inode, target, err);
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

int img_fs_xattr_names(img_fs *fs, uint64_t inode, char **names, size_t *length, img_error *err)
{
    int rc;

    *names = NULL;
    *length = 0;
    if (!fs->provider->xattr_names)
        return 0;
    pthread_mutex_lock(&fs->lock);
    rc = fs->provider->xattr_names(fs, inode, names, length, err);
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

int img_fs_xattr(img_fs *fs, uint64_t inode, const char *name, void **value, size_t *length,
                 img_error *err)
{
    int rc;

    *value = NULL;
    *length = 0;
    if (!fs->provider->xattr)
        return imgi_fail_errno(err, ENODATA, "%s", name);
    pthread_mutex_lock(&fs->lock);
    rc = fs->provider->xattr(fs, inode, name, value, length, err);
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

/* ---------------------------------------------------------------- looking up */

/* What is looked for in a directory. */
struct search {
    const char *name;
    size_t length;
    uint64_t inode;
    bool found;
};

static int compare_entry(void *opaque, const char *name, size_t length, uint64_t inode,
                         uint32_t mode, img_error *err)
{
    struct search *search = opaque;

    (void)mode, (void)err;
    if (!search->found && length == search->length && memcmp(name, search->name, length) == 0) {
        search->found = true;
        search->inode = inode;
    }
    return 0;
}

static int look_through(img_fs *fs, uint64_t directory, const char *name, uint64_t *inode,
                        img_error *err)
{
    struct search search = {.name = name, .length = strlen(name)};
    int rc = fs->provider->list(fs, directory, compare_entry, &search, err);

    if (rc < 0)
        return rc;
    if (!search.found)
        return imgi_fail_errno(err, ENOENT, "%s", name);
    *inode = search.inode;
    return 0;
}

int img_fs_lookup(img_fs *fs, uint64_t directory, const char *name, uint64_t *inode, img_error *err)
{
    int rc;

    pthread_mutex_lock(&fs->lock);
    rc = fs->provider->lookup ? fs->provider->lookup(fs, directory, name, inode, err)
                              : look_through(fs, directory, name, inode, err);
    pthread_mutex_unlock(&fs->lock);
    return rc;
}
