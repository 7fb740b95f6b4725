/*
 * Filesystems of CDs and DVDs. SPDX-License-Identifier: BSD-2-Clause
 *
 * ECMA-119 (ISO 9660) and ECMA-167 (UDF) share a sequence of volume descriptors at 32 KiB.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "content.h"

#define SECTOR 2048u
#define FIRST (16 * SECTOR)
#define DESCRIPTORS 64u /* that are looked at */

enum { PRIMARY = 1, SUPPLEMENTARY = 2, END = 255 };

static bool is_joliet(const uint8_t *descriptor)
{
    const uint8_t *escape = descriptor + 88;

    return descriptor[0] == SUPPLEMENTARY && escape[0] == '%' && escape[1] == '/' &&
           (escape[2] == '@' || escape[2] == 'C' || escape[2] == 'E');
}

/* When it was changed, or made: 16 digits, which nothing needs to end. */
static void set_date(struct imgi_look *look, const uint8_t *descriptor)
{
    static const uint8_t widths[] = {4, 2, 2, 2, 2, 2, 2};
    static const char missing[] = "0000000000000000";
    const char *date = (const char *)descriptor + 830;
    size_t used = 0;

    if (memcmp(date, missing, 16) == 0)
        date = (const char *)descriptor + 813;
    for (size_t n = 0; n < 16; n++) {
        if (date[n] < '0' || date[n] > '9')
            return;
    }
    if (memcmp(date, missing, 16) == 0)
        return;
    for (size_t n = 0; n < IMGI_COUNT(widths); date += widths[n], n++)
        used += (size_t)snprintf(look->uuid + used, sizeof(look->uuid) - used, "%s%.*s",
                                 n ? "-" : "", widths[n], date);
}

/* Joliet's name of the volume has all letters: it is used when it says the same. */
static void set_name(struct imgi_look *look, const uint8_t *descriptor)
{
    char name[sizeof(look->label)];

    memcpy(name, look->label, sizeof(name));
    imgi_look_label_utf16(look, descriptor + 40, 32, true);
    if (look->label[0] == '\0')
        memcpy(look->label, name, sizeof(name));
}

/* ---------------------------------------------------------------------- UDF */

#define ANCHOR 256u /* the sector that says where UDF's descriptors are */
#define ID_DIGITS 16u

enum { TAG_PRIMARY = 1, TAG_ANCHOR = 2, TAG_LOGICAL = 6, TAG_END = 8 };

/* UDF's text: a byte that says how it is encoded, and how long it is in its last byte. */
static void set_udf_text(struct imgi_look *look, const uint8_t *text, size_t room)
{
    size_t length = IMGI_MIN((size_t)text[room - 1], room - 1);
    uint8_t wide[2 * 128] = {0};

    if (length < 2)
        return;
    for (size_t n = 1; n < length && text[0] == 8; n++)
        wide[2 * n - 1] = text[n];
    if (text[0] == 8)
        imgi_look_label_utf16(look, wide, 2 * (length - 1), true);
    else if (text[0] == 16)
        imgi_look_label_utf16(look, text + 1, (length - 1) & ~(size_t)1, true);
}

/* The set of volumes has an identifier that begins with digits that nobody else has. */
static void set_udf_id(struct imgi_look *look, const uint8_t *text)
{
    set_udf_text(look, text, 128);
    if (strspn(look->label, "0123456789abcdefABCDEF") >= ID_DIGITS) {
        for (size_t n = 0; n < ID_DIGITS; n++)
            look->uuid[n] = (char)tolower(look->label[n]);
    }
    look->uuid[ID_DIGITS] = '\0';
    look->label[0] = '\0';
}

static void look_through(struct imgi_look *look, const uint8_t *anchor, uint32_t sector_size)
{
    uint32_t count = imgi_get_le32(anchor + 16) / sector_size, first = imgi_get_le32(anchor + 20);
    uint8_t name[128] = {0}, sector[512];

    for (uint32_t n = 0; n < IMGI_MIN(count, DESCRIPTORS); n++) {
        if (!imgi_look_read(look, ((uint64_t)first + n) * sector_size, sector, sizeof(sector)) ||
            imgi_get_le16(sector) == TAG_END)
            break;
        if (imgi_get_le16(sector) == TAG_PRIMARY)
            set_udf_id(look, sector + 72);
        if (imgi_get_le16(sector) == TAG_LOGICAL)
            memcpy(name, sector + 84, sizeof(name));
    }
    set_udf_text(look, name, sizeof(name));
}

/* Sectors are those of the disk it was made for. */
static void look_for_udf_name(struct imgi_look *look)
{
    static const uint16_t sizes[] = {2048, 512, 4096, 1024};
    uint8_t anchor[512];

    look->label[0] = look->uuid[0] = '\0';
    for (size_t n = 0; n < IMGI_COUNT(sizes); n++) {
        if (!imgi_look_read(look, (uint64_t)ANCHOR * sizes[n], anchor, sizeof(anchor)) ||
            imgi_get_le16(anchor) != TAG_ANCHOR || imgi_get_le32(anchor + 12) != ANCHOR)
            continue;
        look_through(look, anchor, sizes[n]);
        break;
    }
}

/* -------------------------------------------------------------- descriptors */

const char *imgi_look_disc(struct imgi_look *look)
{
    const char *content = NULL;
    uint8_t descriptor[SECTOR];
    bool udf = false;

    for (unsigned n = 0; n < DESCRIPTORS; n++) {
        const char *id = (const char *)descriptor + 1;

        if (!imgi_look_read(look, FIRST + n * SECTOR, descriptor, sizeof(descriptor)))
            break;
        if (memcmp(id, "NSR0", 4) == 0) {
            udf = true;
        } else if (memcmp(id, "CD001", 5) == 0 && descriptor[0] == PRIMARY && !content) {
            content = "iso9660";
            imgi_look_label(look, descriptor + 40, 32);
            set_date(look, descriptor);
        } else if (memcmp(id, "CD001", 5) == 0 && is_joliet(descriptor)) {
            set_name(look, descriptor);
        } else if (memcmp(id, "CD001", 5) != 0 && memcmp(id, "BEA01", 5) != 0 &&
                   memcmp(id, "BOOT2", 5) != 0) {
            break;
        }
    }
    if (!udf)
        return content;
    look_for_udf_name(look);
    return "udf";
}
