/*
 * tar headers, from bytes and back. SPDX-License-Identifier: BSD-2-Clause
 *
 * Places in a header block (POSIX.1-1988 ustar): numbers are octal text, ended by a space or NUL.
 * A size that does not fit is stored as a binary number whose first bit is set (GNU tar).
 */
#include <stdio.h>
#include <string.h>

#include "tar.h"

#define NAME_AT 0u
#define NAME_BYTES 100u
#define MODE_AT 100u
#define UID_AT 108u
#define GID_AT 116u
#define SIZE_AT 124u
#define MTIME_AT 136u
#define NUMBER_BYTES 12u /* size and mtime */
#define CHECKSUM_AT 148u
#define CHECKSUM_BYTES 8u
#define TYPE_AT 156u
#define MAGIC_AT 257u
#define PREFIX_AT 345u
#define PREFIX_BYTES 155u

/* What eleven octal digits hold. */
#define OCTAL_MAX UINT64_C(077777777777)

static unsigned checksum(const uint8_t block[IMGI_TAR_BLOCK])
{
    unsigned sum = 0;

    for (size_t i = 0; i < IMGI_TAR_BLOCK; i++)
        sum += i >= CHECKSUM_AT && i < CHECKSUM_AT + CHECKSUM_BYTES ? ' ' : block[i];
    return sum;
}

/* Octal digits with spaces in front, ended by a space, a NUL or the end of the field. */
static bool get_octal(const uint8_t *bytes, size_t length, uint64_t *number)
{
    size_t i = 0, digits = 0;

    *number = 0;
    while (i < length && bytes[i] == ' ')
        i++;
    for (; i < length && bytes[i] >= '0' && bytes[i] <= '7'; i++, digits++) {
        if (*number > UINT64_MAX >> 3)
            return false;
        *number = *number << 3 | (uint64_t)(bytes[i] - '0');
    }
    return digits > 0 && (i == length || bytes[i] == ' ' || bytes[i] == '\0');
}

static bool get_number(const uint8_t bytes[NUMBER_BYTES], uint64_t *number)
{
    if (!(bytes[0] & 0x80))
        return get_octal(bytes, NUMBER_BYTES, number);
    *number = bytes[0] & 0x7f;
    for (size_t i = 1; i < NUMBER_BYTES; i++) {
        if (*number > UINT64_MAX >> 8)
            return false; /* negative ones too */
        *number = *number << 8 | bytes[i];
    }
    return true;
}

static void put_octal(uint8_t *bytes, size_t length, uint64_t number)
{
    char text[24];

    snprintf(text, sizeof(text), "%0*llo", (int)length - 1, (unsigned long long)number);
    memcpy(bytes, text, length);
}

static void put_number(uint8_t bytes[NUMBER_BYTES], uint64_t number)
{
    if (number <= OCTAL_MAX) {
        put_octal(bytes, NUMBER_BYTES, number);
        return;
    }
    bytes[0] = 0x80;
    for (size_t i = NUMBER_BYTES; i-- > 1; number >>= 8)
        bytes[i] = (uint8_t)number;
}

static void get_name(const uint8_t block[IMGI_TAR_BLOCK], struct imgi_tar_header *header)
{
    const char *name = (const char *)block + NAME_AT, *prefix = (const char *)block + PREFIX_AT;
    int length = (int)strnlen(name, NAME_BYTES), before = (int)strnlen(prefix, PREFIX_BYTES);

    /* GNU tar, whose magic ends in a space, keeps other things where the prefix is. */
    if (block[MAGIC_AT + 5] == ' ')
        before = 0;
    snprintf(header->name, sizeof(header->name), "%.*s%s%.*s", before, prefix, before ? "/" : "",
             length, name);
}

int imgi_tar_decode(const uint8_t block[IMGI_TAR_BLOCK], struct imgi_tar_header *header,
                    img_error *err)
{
    uint64_t sum;

    *header = (struct imgi_tar_header){0};
    if (memcmp(block + MAGIC_AT, "ustar", 5) != 0)
        return imgi_fail(err, IMG_E_CORRUPT, "magic: not 'ustar'");
    if (!get_octal(block + CHECKSUM_AT, CHECKSUM_BYTES, &sum) || sum != checksum(block))
        return imgi_fail(err, IMG_E_CORRUPT, "checksum: not that of the header, which is %o",
                         checksum(block));
    if (!get_number(block + SIZE_AT, &header->size))
        return imgi_fail(err, IMG_E_CORRUPT, "size: not a number");
    if (!get_number(block + MTIME_AT, &header->mtime))
        header->mtime = 0;
    header->type = (char)block[TYPE_AT];
    /* The types of plain files in other times: none, and contiguous. */
    if (header->type == '\0' || header->type == '7')
        header->type = IMGI_TAR_FILE;
    get_name(block, header);
    return 0;
}

void imgi_tar_encode(const struct imgi_tar_header *header, uint8_t block[IMGI_TAR_BLOCK])
{
    size_t length = strnlen(header->name, NAME_BYTES);

    memset(block, 0, IMGI_TAR_BLOCK);
    memcpy(block + NAME_AT, header->name, length);
    put_octal(block + MODE_AT, 8, 0644);
    put_octal(block + UID_AT, 8, 0);
    put_octal(block + GID_AT, 8, 0);
    put_number(block + SIZE_AT, header->size);
    put_number(block + MTIME_AT, header->mtime);
    block[TYPE_AT] = IMGI_TAR_FILE;
    memcpy(block + MAGIC_AT, "ustar\00000", 8);
    put_octal(block + CHECKSUM_AT, CHECKSUM_BYTES - 1, checksum(block));
    block[CHECKSUM_AT + CHECKSUM_BYTES - 1] = ' ';
}

bool imgi_tar_looks_like(const uint8_t *head, size_t length, struct imgi_tar_header *header)
{
    return length >= IMGI_TAR_BLOCK && imgi_tar_decode(head, header, NULL) == 0;
}
