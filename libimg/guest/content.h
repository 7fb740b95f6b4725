/*
 * Finding out what a volume holds. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef IMGI_CONTENT_H
#define IMGI_CONTENT_H

#include "guest.h"
#include "util/uuid.h"

#define IMGI_LOOK_BYTES (68u << 10) /* most signatures are in there */
#define IMGI_LABEL_UNITS 512u       /* of UTF-16: F2FS has the longest labels */
#define IMGI_CONTENT_UUID 48u       /* room for one as text: LVM's are longer than others */

/* A look at a volume, and what was seen. */
struct imgi_look {
    const struct imgi_volume *volume;
    uint8_t *head; /* of the volume; zeros where it is shorter */
    char label[IMGI_UTF8_ROOM(2 * IMGI_LABEL_UNITS)];
    char uuid[IMGI_CONTENT_UUID];
};

/* content.c */

/* Bytes from anywhere; false: there are none to be had. */
bool imgi_look_read(const struct imgi_look *look, uint64_t offset, void *buffer, size_t length);
/* Up to the first NUL, without blanks at the end. */
void imgi_look_label(struct imgi_look *look, const uint8_t *bytes, size_t length);
void imgi_look_label_utf16(struct imgi_look *look, const uint8_t *bytes, size_t length,
                           bool big_endian);
/* 16 bytes, none when they are all zeros. */
void imgi_look_uuid(struct imgi_look *look, const uint8_t *bytes);

/*
 * Detectors: each says the content's name, or NULL, and fills label and uuid as far as there are
 * any.
 */
/* content_fat.c */
const char *imgi_look_vfat(struct imgi_look *look);
const char *imgi_look_exfat(struct imgi_look *look);
const char *imgi_look_ntfs(struct imgi_look *look);
/* content_disc.c */
const char *imgi_look_disc(struct imgi_look *look);
/* content_hfs.c */
const char *imgi_look_hfs(struct imgi_look *look);
/* content_member.c */
const char *imgi_look_raid(struct imgi_look *look);
const char *imgi_look_lvm(struct imgi_look *look);
const char *imgi_look_zfs(struct imgi_look *look);
const char *imgi_look_vmfs(struct imgi_look *look);

/* Whether it is a boot sector of FAT. content_fat.c */
bool imgi_is_fat(const uint8_t sector[512]);

#endif
