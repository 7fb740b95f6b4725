/*
 * Opening appliances. SPDX-License-Identifier: BSD-2-Clause
 *
 * What an appliance keeps does not change after it was opened: any thread may look at it.
 */
#include "appliance.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool has_suffix(const char *name, const char *suffix)
{
    size_t length = strlen(name), end = strlen(suffix);

    return length > end && strcasecmp(name + length - end, suffix) == 0;
}

/* ----------------------------------------------------------------- probing */

/* The first member's own header may stand behind others about it: then all are looked at. */
static bool is_ova(struct imgi_io *io, const struct imgi_tar_header *first)
{
    struct imgi_tar tar;
    bool found;

    if (first->type == IMGI_TAR_FILE)
        return has_suffix(first->name, ".ovf");
    if (imgi_tar_read(&tar, io, NULL) < 0)
        return false;
    found = tar.count > 0 && has_suffix(tar.list[0].name, ".ovf");
    imgi_tar_clear(&tar);
    return found;
}

static int read_head(struct imgi_io *io, uint8_t head[IMGI_PROBE_BYTES], size_t *length,
                     img_error *err)
{
    uint64_t size;
    int rc = imgi_io_size(io, &size, err);

    if (rc < 0)
        return rc;
    *length = (size_t)IMGI_MIN(size, IMGI_PROBE_BYTES);
    return imgi_io_read(io, head, *length, 0, err);
}

int imgi_appliance_probe(struct imgi_io *io, enum imgi_appliance_kind *kind, img_error *err)
{
    uint8_t head[IMGI_PROBE_BYTES];
    struct imgi_tar_header first;
    size_t length;
    int rc = read_head(io, head, &length, err);

    *kind = IMGI_APPLIANCE_NONE;
    if (rc < 0)
        return rc;
    if (imgi_ovf_looks_like(head, length))
        *kind = IMGI_APPLIANCE_OVF;
    else if (imgi_tar_looks_like(head, length, &first) && is_ova(io, &first))
        *kind = IMGI_APPLIANCE_OVA;
    return 0;
}

/* ----------------------------------------------------------------- opening */

static int read_text(struct imgi_io *io, const char *what, uint64_t limit, char **text,
                     size_t *length, img_error *err)
{
    uint64_t size;
    int rc = imgi_io_size(io, &size, err);

    if (rc == 0 && size > limit)
        rc = imgi_fail(err, IMG_E_LIMIT, "%s: %llu bytes are over the limit of %llu", what,
                       (unsigned long long)size, (unsigned long long)limit);
    if (rc < 0)
        return rc;
    *text = malloc((size_t)size + 1);
    if (!*text)
        return imgi_fail_nomem(err, what);
    *length = (size_t)size;
    (*text)[size] = '\0';
    return imgi_io_read(io, *text, *length, 0, err);
}

static int keep(char **name, const char *text, img_error *err)
{
    *name = strdup(text);
    return *name ? 0 : imgi_fail_nomem(err, "an appliance");
}

static int read_document(struct imgi_appliance *appliance, struct imgi_io *io, img_error *err)
{
    int rc = read_text(io, "OVF", IMGI_XML_BYTES_MAX, &appliance->document,
                       &appliance->document_length, err);

    return rc < 0 ? rc
                  : imgi_ovf_parse(&appliance->ovf, appliance->document, appliance->document_length,
                                   err);
}

static int read_manifest(struct imgi_appliance *appliance, struct imgi_io *io, const char *name,
                         img_error *err)
{
    char *text = NULL;
    size_t length = 0;
    int rc = read_text(io, "manifest", IMGI_MANIFEST_BYTES_MAX, &text, &length, err);

    if (rc == 0)
        rc = imgi_manifest_parse(&appliance->manifest, text, length, err);
    free(text);
    if (rc < 0)
        imgi_error_prefix(err, "manifest '%s'", name);
    return rc < 0 ? rc : keep(&appliance->manifest_name, name, err);
}

/* The member that has the document's name with another suffix, or else the first with it. */
static const struct imgi_tar_member *find_companion(const struct imgi_appliance *appliance,
                                                    const char *suffix)
{
    const struct imgi_tar *tar = &appliance->tar;
    size_t stem = strlen(appliance->document_name) - strlen(".ovf");

    for (int any = 0; any < 2; any++) {
        for (size_t i = 0; i < tar->count; i++) {
            const char *name = tar->list[i].name;

            if (has_suffix(name, suffix) &&
                (any || (strlen(name) == stem + strlen(suffix) &&
                         strncmp(name, appliance->document_name, stem) == 0)))
                return &tar->list[i];
        }
    }
    return NULL;
}

static int open_member(const struct imgi_appliance *appliance, const struct imgi_tar_member *member,
                       struct imgi_io **io, img_error *err)
{
    const struct imgi_io_part part = {appliance->io, member->offset, member->size};

    return imgi_joined_new(io, appliance->name, &part, 1, err);
}

static int open_ova(struct imgi_appliance *appliance, img_error *err)
{
    const struct imgi_tar_member *member = NULL;
    struct imgi_io *io = NULL;
    int rc = imgi_tar_read(&appliance->tar, appliance->io, err);

    for (size_t i = 0; rc == 0 && !member && i < appliance->tar.count; i++)
        if (has_suffix(appliance->tar.list[i].name, ".ovf"))
            member = &appliance->tar.list[i];
    if (rc == 0 && !member)
        rc = imgi_fail(err, IMG_E_FORMAT, "the archive has no member '*.ovf': it is no OVA");
    if (rc == 0)
        rc = keep(&appliance->document_name, member->name, err);
    if (rc == 0)
        rc = open_member(appliance, member, &io, err);
    if (rc == 0)
        rc = read_document(appliance, io, err);
    imgi_io_close(io);
    io = NULL;
    if (rc == 0 && (member = find_companion(appliance, ".mf"))) {
        rc = open_member(appliance, member, &io, err);
        if (rc == 0)
            rc = read_manifest(appliance, io, member->name, err);
        imgi_io_close(io);
    }
    if (rc == 0 && (member = find_companion(appliance, ".cert")))
        rc = keep(&appliance->certificate_name, member->name, err);
    return rc;
}

/* The document's file name with another suffix; the caller frees it. NULL: no memory. */
static char *companion_name(const struct imgi_appliance *appliance, const char *suffix)
{
    const char *name = appliance->document_name;
    size_t stem = strlen(name) - (has_suffix(name, ".ovf") ? strlen(".ovf") : 0);
    char *companion = malloc(stem + strlen(suffix) + 1);

    if (companion) {
        memcpy(companion, name, stem);
        strcpy(companion + stem, suffix);
    }
    return companion;
}

/* A file beside the document; *found is false when there is none. */
static int look_beside(struct imgi_appliance *appliance, const char *suffix, char **name,
                       struct imgi_appliance_file *file, bool *found, img_error *err)
{
    img_error fault = {0};
    int rc;

    *found = false;
    *name = companion_name(appliance, suffix);
    if (!*name)
        return imgi_fail_nomem(err, "an appliance");
    rc = imgi_appliance_file(appliance, *name, file, &fault);
    /* A link that leads away is none of the appliance's files. */
    if (rc == IMG_E_NOENT || (rc == IMG_E_DENIED && fault.os_errno == 0))
        return 0;
    *found = true;
    return rc < 0 ? imgi_appliance_file(appliance, *name, file, err) : 0;
}

static int open_ovf(struct imgi_appliance *appliance, img_error *err)
{
    const char *slash = strrchr(appliance->name, '/');
    struct imgi_appliance_file file = {0};
    char *name = NULL;
    bool found;
    int rc = keep(&appliance->document_name, slash ? slash + 1 : appliance->name, err);

    if (rc == 0)
        rc = read_document(appliance, appliance->io, err);
    if (rc == 0)
        rc = look_beside(appliance, ".mf", &name, &file, &found, err);
    if (rc == 0 && found)
        rc = read_manifest(appliance, file.io, name, err);
    imgi_appliance_file_close(&file);
    free(name);
    name = NULL;
    if (rc == 0)
        rc = look_beside(appliance, ".cert", &name, &file, &found, err);
    if (rc == 0 && found)
        rc = keep(&appliance->certificate_name, name, err);
    imgi_appliance_file_close(&file);
    free(name);
    return rc;
}

static int judge_kind(struct imgi_appliance *appliance, img_error *err)
{
    uint8_t head[IMGI_PROBE_BYTES];
    struct imgi_tar_header first;
    size_t length;
    int rc = read_head(appliance->io, head, &length, err);

    if (rc < 0)
        return rc;
    if (imgi_ovf_looks_like(head, length))
        appliance->kind = IMGI_APPLIANCE_OVF;
    else if (imgi_tar_looks_like(head, length, &first))
        appliance->kind = IMGI_APPLIANCE_OVA;
    else
        return imgi_fail(err, IMG_E_FORMAT,
                         "neither an OVA (a tar archive) nor an OVF document: it holds no disks to "
                         "choose from");
    return 0;
}

int imgi_appliance_open(struct imgi_appliance **out, struct imgi_io *io, const char *name,
                        const struct img_policy *policy, img_error *err)
{
    struct imgi_appliance *appliance = calloc(1, sizeof(*appliance));
    int rc;

    if (!appliance)
        return imgi_fail_nomem(err, "an appliance");
    appliance->io = io;
    appliance->policy = *policy;
    appliance->inside = *policy;
    appliance->inside.reach = IMG_REACH_NONE;
    if (policy->reach == IMG_REACH_ANY)
        appliance->policy.reach = IMG_REACH_DIRECTORY;
    rc = keep(&appliance->name, name, err);
    if (rc == 0)
        rc = judge_kind(appliance, err);
    if (rc == 0)
        rc = appliance->kind == IMGI_APPLIANCE_OVA ? open_ova(appliance, err)
                                                   : open_ovf(appliance, err);
    if (rc < 0)
        imgi_appliance_close(appliance);
    else
        *out = appliance;
    return rc;
}

void imgi_appliance_close(struct imgi_appliance *appliance)
{
    if (!appliance)
        return;
    imgi_tar_clear(&appliance->tar);
    imgi_ovf_clear(&appliance->ovf);
    imgi_manifest_clear(&appliance->manifest);
    free(appliance->document);
    free(appliance->document_name);
    free(appliance->manifest_name);
    free(appliance->certificate_name);
    free(appliance->name);
    free(appliance);
}

/* ---------------------------------------------------------------- choosing */

static bool find_disk(const struct imgi_ovf *ovf, const char *disk, size_t *index)
{
    char *end;
    unsigned long number;

    for (*index = 0; *index < ovf->disk_count; ++*index) {
        if (disk ? strcmp(ovf->disks[*index].id, disk) == 0 : ovf->disks[*index].file != NULL)
            return true;
    }
    if (!disk || *disk < '0' || *disk > '9')
        return false;
    errno = 0;
    number = strtoul(disk, &end, 10);
    if (errno || *end || number < 1 || number > ovf->disk_count)
        return false;
    *index = number - 1;
    return true;
}

int imgi_appliance_disk(const struct imgi_appliance *appliance, const char *disk, size_t *index,
                        img_error *err)
{
    const struct imgi_ovf *ovf = &appliance->ovf;

    if (find_disk(ovf, disk, index))
        return 0;
    if (!disk)
        return imgi_fail(err, IMG_E_NOENT, "the appliance has no disk with a file");
    return imgi_fail(err, IMG_E_NOENT, "the appliance has no disk '%s': it has %zu", disk,
                     ovf->disk_count);
}
