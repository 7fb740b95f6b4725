/*
 * ISO 9660: directory records. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "iso.h"

/* A record, in bytes. */
#define LENGTH 0u
#define ATTRIBUTE_BLOCKS 1u
#define EXTENT 2u
#define SIZE 10u
#define DATE 18u
#define FLAGS 25u
#define UNIT 26u
#define NAME_LENGTH 32u
#define NAME 33u
#define RECORD_MIN 34u

#define SECTOR 2048u /* which records do not cross */

int64_t imgi_iso_seconds(const uint8_t date[7])
{
    int64_t seconds =
        imgi_date_seconds(1900 + date[0], date[1], date[2], date[3], date[4], date[5]);

    return date[1] == 0 ? 0 : seconds - (int8_t)date[6] * 900; /* quarters of hours east */
}

/* "README.TXT;1" is shown as "readme.txt", unless it is in Joliet: then "ReadMe.txt". */
static void set_name(const struct imgi_iso *iso, const uint8_t *name, size_t length,
                     struct imgi_iso_node *node)
{
    size_t count = length;

    if (iso->joliet)
        count = imgi_name_decode(name, length / 2, true, node->name);
    else
        memcpy(node->name, name, length);
    if (count > 2 && node->name[count - 2] == ';' && node->name[count - 1] == '1')
        count -= 2;
    if (count > 1 && node->name[count - 1] == '.')
        count--;
    node->name[count] = '\0';
    for (size_t n = 0; !iso->joliet && n < count; n++) {
        char *at = &node->name[n];

        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at + 'a' - 'A');
        else if (*at == ';' || *at == '/')
            *at = '.';
    }
}

static void decode(const struct imgi_iso *iso, const uint8_t *record, struct imgi_iso_node *node)
{
    size_t name = record[NAME_LENGTH];

    node->extent = imgi_get_le32(record + EXTENT);
    node->attribute_blocks = record[ATTRIBUTE_BLOCKS];
    node->size = imgi_get_le32(record + SIZE);
    node->flags = record[FLAGS];
    node->interleaved = record[UNIT] != 0;
    node->links = 1;
    node->mode = (node->flags & IMGI_ISO_DIRECTORY ? S_IFDIR : S_IFREG) | 0555;
    node->mtime = imgi_iso_seconds(record + DATE);
    node->atime = node->ctime = node->mtime;
    if (name == 1 && record[NAME] <= 1) {
        strcpy(node->name, record[NAME] ? ".." : ".");
        return;
    }
    set_name(iso, record + NAME, name, node);
}

/* The bytes of a record, as many as there are. */
static int read_record(const struct imgi_iso *iso, uint64_t place, uint8_t record[256],
                       unsigned *length, img_error *err)
{
    size_t room = (size_t)IMGI_MIN(256u, SECTOR - place % SECTOR);
    int rc = imgi_volume_read(iso->volume, place, record, room, err);

    *length = 0;
    if (rc < 0 || record[LENGTH] == 0)
        return rc;
    if (record[LENGTH] > room || record[LENGTH] < RECORD_MIN ||
        NAME + record[NAME_LENGTH] > record[LENGTH])
        return imgi_fail_errno(err, EIO, "the directory record at byte %llu is broken",
                               (unsigned long long)place);
    *length = record[LENGTH];
    return 0;
}

/* What of a record is behind its name, which is filled up to an even place. */
static const uint8_t *system_use(const uint8_t *record, unsigned length, size_t *size)
{
    unsigned at = NAME + record[NAME_LENGTH];

    at += at % 2;
    *size = at < length ? length - at : 0;
    return record + at;
}

int imgi_iso_record(const struct imgi_iso *iso, uint64_t place, struct imgi_iso_node *node,
                    unsigned *length, img_error *err)
{
    uint8_t record[256];
    const uint8_t *more;
    size_t size;
    int rc = read_record(iso, place, record, length, err);

    *node = (struct imgi_iso_node){.inode = place};
    if (rc < 0 || *length == 0)
        return rc;
    node->next = place + *length;
    decode(iso, record, node);
    if (!iso->rock_ridge)
        return 0;
    more = system_use(record, *length, &size);
    return imgi_iso_system_use(iso, more, size, node, err);
}

int imgi_iso_find_rock_ridge(struct imgi_iso *iso, img_error *err)
{
    uint8_t record[256];
    const uint8_t *more;
    unsigned length;
    size_t size;
    int rc = read_record(iso, iso->root, record, &length, err);

    if (rc < 0 || length == 0)
        return rc;
    more = system_use(record, length, &size);
    if (size < 7 || memcmp(more, "SP\7\1\xbe\xef", 6) != 0)
        return 0;
    iso->rock_ridge = true;
    iso->skip = more[6];
    return 0;
}
