/*
 * GUIDs: those that have a meaning, and new ones. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdio.h>

#include "disk.h"

/* As they lie in the file: the first three numbers are little-endian. */
#define GUID(a, b, c, d, e, f, g, h, i, j, k)                                                      \
    {                                                                                              \
        {                                                                                          \
            (a) & 0xff, (a) >> 8 & 0xff, (a) >> 16 & 0xff, (a) >> 24, (b)&0xff, (b) >> 8,          \
                (c)&0xff, (c) >> 8, d, e, f, g, h, i, j, k                                         \
        }                                                                                          \
    }

const struct vhdx_guid vhdx_region_bat =
    GUID(0x2dc27766u, 0xf623u, 0x4200u, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08);
const struct vhdx_guid vhdx_region_metadata =
    GUID(0x8b7ca206u, 0x4790u, 0x4b9au, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e);
const struct vhdx_guid vhdx_item_parameters =
    GUID(0xcaa16737u, 0xfa36u, 0x4d43u, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b);
const struct vhdx_guid vhdx_item_size =
    GUID(0x2fa54224u, 0xcd1bu, 0x4876u, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8);
const struct vhdx_guid vhdx_item_disk_id =
    GUID(0xbeca12abu, 0xb2e6u, 0x4523u, 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46);
const struct vhdx_guid vhdx_item_logical_sector =
    GUID(0x8141bf1du, 0xa96fu, 0x4709u, 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f);
const struct vhdx_guid vhdx_item_physical_sector =
    GUID(0xcda348c7u, 0x445du, 0x4471u, 0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56);
const struct vhdx_guid vhdx_item_parent =
    GUID(0xa8d35f2du, 0xb30bu, 0x454du, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c);
const struct vhdx_guid vhdx_locator_type =
    GUID(0xb04aefb7u, 0xd19eu, 0x4a81u, 0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13);

struct vhdx_guid vhdx_guid_get(const uint8_t *bytes)
{
    struct vhdx_guid guid;

    memcpy(guid.bytes, bytes, sizeof(guid.bytes));
    return guid;
}

void vhdx_guid_put(uint8_t *bytes, const struct vhdx_guid *guid)
{
    memcpy(bytes, guid->bytes, sizeof(guid->bytes));
}

bool vhdx_guid_equal(const struct vhdx_guid *a, const struct vhdx_guid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool vhdx_guid_is_zero(const struct vhdx_guid *guid)
{
    static const struct vhdx_guid zero;

    return vhdx_guid_equal(guid, &zero);
}

/* Which byte stands where in the text. */
static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

static bool hyphen_before(size_t n)
{
    return n == 4 || n == 6 || n == 8 || n == 10;
}

void vhdx_guid_format(const struct vhdx_guid *guid, char text[VHDX_GUID_TEXT])
{
    char *out = text;

    *out++ = '{';
    for (size_t n = 0; n < sizeof(order); n++) {
        if (hyphen_before(n))
            *out++ = '-';
        out += snprintf(out, 3, "%02x", guid->bytes[order[n]]);
    }
    *out++ = '}';
    *out = '\0';
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool vhdx_guid_parse(const char *text, struct vhdx_guid *guid)
{
    if (*text++ != '{')
        return false;
    for (size_t n = 0; n < sizeof(order); n++, text += 2) {
        int high, low;

        if (hyphen_before(n) && *text++ != '-')
            return false;
        high = digit(text[0]);
        low = high < 0 ? -1 : digit(text[1]);
        if (low < 0)
            return false;
        guid->bytes[order[n]] = (uint8_t)(high << 4 | low);
    }
    return strcmp(text, "}") == 0;
}

struct vhdx_guid vhdx_guid_next(uint64_t *seed)
{
    struct vhdx_guid guid;

    imgi_ident_uuid(seed, guid.bytes);
    imgi_uuid_swap(guid.bytes);
    return guid;
}

struct vhdx_guid vhdx_guid_new(const struct vhdx_guid *last)
{
    uint64_t seed = imgi_ident_fresh(imgi_get_le64(last->bytes) ^ imgi_get_le64(last->bytes + 8));

    return vhdx_guid_next(&seed);
}
