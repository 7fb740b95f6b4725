/*
 * ISO 9660: what Rock Ridge adds to a record. SPDX-License-Identifier: BSD-2-Clause
 *
 * Entries of a name of two letters, a length and a version. When they do not fit in the record,
 * one of them says where they go on.
 */
#include <errno.h>
#include <string.h>

#include "iso.h"

#define HEADER 4u
#define CONTINUATIONS_MAX 64u
#define AREA_MAX 2048u

/* Flags of names and of parts of links. */
#define GOES_ON 0x01u
#define CURRENT 0x02u
#define PARENT 0x04u
#define ROOT 0x08u
/* Of times. */
#define LONG_FORM 0x80u

/* What is put together of several entries. */
struct reader {
    const struct imgi_iso *iso;
    struct imgi_iso_node *node;
    size_t name, target; /* their lengths */
    bool named;
    bool joined; /* the link's next part belongs to the last one */
    /* Where it goes on; length 0: nowhere. */
    uint64_t place;
    size_t length;
};

/* ------------------------------------------------------------------- entries */

static void take_mode(struct imgi_iso_node *node, const uint8_t *entry, unsigned length)
{
    if (length < 36)
        return;
    node->mode = imgi_get_le32(entry + 4) & 0177777;
    node->links = imgi_get_le32(entry + 12);
    node->uid = imgi_get_le32(entry + 20);
    node->gid = imgi_get_le32(entry + 28);
}

/* As Linux packs them when there is no upper half. */
static void take_device(struct imgi_iso_node *node, const uint8_t *entry, unsigned length)
{
    uint32_t high, low;

    if (length < 20)
        return;
    high = imgi_get_le32(entry + 4);
    low = imgi_get_le32(entry + 12);
    node->major = high ? high : low >> 8;
    node->minor = high ? low : low & 0xff;
}

static void take_name(struct reader *reader, const uint8_t *entry, unsigned length)
{
    struct imgi_iso_node *node = reader->node;

    if (length < 5 || entry[4] & (CURRENT | PARENT))
        return;
    length -= 5;
    if (!reader->named)
        reader->name = 0;
    reader->named = true;
    if (length > sizeof(node->name) - 1 - reader->name)
        return;
    memcpy(node->name + reader->name, entry + 5, length);
    reader->name += length;
    node->name[reader->name] = '\0';
}

static void add_target(struct reader *reader, const void *text, size_t length)
{
    struct imgi_iso_node *node = reader->node;

    if (length > IMGI_ISO_TARGET_MAX - reader->target)
        return;
    memcpy(node->target + reader->target, text, length);
    reader->target += length;
    node->target[reader->target] = '\0';
}

static void take_link(struct reader *reader, const uint8_t *entry, unsigned length)
{
    for (unsigned at = 5; at + 2 <= length && at + 2u + entry[at + 1] <= length;
         at += 2u + entry[at + 1]) {
        unsigned flags = entry[at];
        size_t used = reader->target;

        if (!reader->joined && used > 0 && reader->node->target[used - 1] != '/')
            add_target(reader, "/", 1);
        if (flags & ROOT)
            add_target(reader, "/", 1);
        else if (flags & CURRENT)
            add_target(reader, ".", 1);
        else if (flags & PARENT)
            add_target(reader, "..", 2);
        else
            add_target(reader, entry + at + 2, entry[at + 1]);
        reader->joined = flags & GOES_ON;
    }
}

/* Digits of a number. */
static unsigned number(const uint8_t *digits, unsigned count)
{
    unsigned value = 0;

    for (unsigned n = 0; n < count; n++)
        value = value * 10 + (digits[n] - '0') % 10u;
    return value;
}

static int64_t long_seconds(const uint8_t date[17])
{
    int64_t seconds =
        imgi_date_seconds((int)number(date, 4), number(date + 4, 2), number(date + 6, 2),
                          number(date + 8, 2), number(date + 10, 2), number(date + 12, 2));

    return seconds - (int8_t)date[16] * 900;
}

static void take_times(struct imgi_iso_node *node, const uint8_t *entry, unsigned length)
{
    int64_t *times[] = {&node->btime, &node->mtime, &node->atime, &node->ctime};
    unsigned at = 5, size;

    if (length < 5)
        return;
    size = entry[4] & LONG_FORM ? 17 : 7;
    for (size_t n = 0; n < IMGI_COUNT(times); n++) {
        if (!(entry[4] >> n & 1))
            continue;
        if (at + size > length)
            return;
        *times[n] = size == 17 ? long_seconds(entry + at) : imgi_iso_seconds(entry + at);
        at += size;
    }
}

static void take_continuation(struct reader *reader, const uint8_t *entry, unsigned length)
{
    if (length < 28)
        return;
    reader->place =
        (uint64_t)imgi_get_le32(entry + 4) * reader->iso->block_size + imgi_get_le32(entry + 12);
    reader->length = IMGI_MIN(imgi_get_le32(entry + 20), AREA_MAX);
}

/* A directory that was too deep for ISO 9660 is somewhere else. */
static void take_child(struct imgi_iso_node *node, const uint8_t *entry, unsigned length)
{
    if (length < 12)
        return;
    node->extent = imgi_get_le32(entry + 4);
    node->attribute_blocks = 0;
    node->flags |= IMGI_ISO_DIRECTORY;
    node->size = 0; /* it is in the directory itself */
}

static void take(struct reader *reader, const uint8_t *entry, unsigned length)
{
    static const struct {
        char name[3];
        void (*node)(struct imgi_iso_node *node, const uint8_t *entry, unsigned length);
        void (*reader)(struct reader *reader, const uint8_t *entry, unsigned length);
    } kinds[] = {
        {"PX", take_mode, NULL},  {"PN", take_device, NULL}, {"NM", NULL, take_name},
        {"SL", NULL, take_link},  {"TF", take_times, NULL},  {"CE", NULL, take_continuation},
        {"CL", take_child, NULL},
    };

    if (memcmp(entry, "RE", 2) == 0)
        reader->node->relocated = true;
    if (memcmp(entry, "ZF", 2) == 0)
        reader->node->compressed = true;
    for (size_t n = 0; n < IMGI_COUNT(kinds); n++) {
        if (memcmp(entry, kinds[n].name, 2) != 0)
            continue;
        if (kinds[n].node)
            kinds[n].node(reader->node, entry, length);
        else
            kinds[n].reader(reader, entry, length);
    }
}

static void read_area(struct reader *reader, const uint8_t *bytes, size_t size)
{
    unsigned length;

    for (size_t at = 0; at + HEADER <= size; at += length) {
        length = bytes[at + 2];
        if (length < HEADER || length > size - at || memcmp(bytes + at, "ST", 2) == 0)
            return;
        take(reader, bytes + at, length);
    }
}

int imgi_iso_system_use(const struct imgi_iso *iso, const uint8_t *bytes, size_t length,
                        struct imgi_iso_node *node, img_error *err)
{
    struct reader reader = {.iso = iso, .node = node};
    uint8_t area[AREA_MAX];

    if (length < iso->skip)
        return 0;
    read_area(&reader, bytes + iso->skip, length - iso->skip);
    for (unsigned n = 0; reader.length > 0; n++) {
        size_t size = reader.length;
        int rc;

        if (n == CONTINUATIONS_MAX)
            return imgi_fail_errno(err, EIO, "a directory record never ends");
        rc = imgi_volume_read(iso->volume, reader.place, area, size, err);
        if (rc < 0)
            return rc;
        reader.length = 0;
        read_area(&reader, area, size);
    }
    return 0;
}
