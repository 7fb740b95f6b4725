/*
 * What the types of partitions announce. SPDX-License-Identifier: BSD-2-Clause
 *
 * A signature may be left over from former times: what it says counts when the type does not
 * contradict. Types that are not listed here announce something that nobody here understands.
 */
#include <string.h>

#include "guest.h"

#define ANY "*"
#define EXT "ext2 ext3 ext4 xfs btrfs"
#define WINDOWS "ntfs exfat vfat"

static const struct expected {
    const char *type, *contents;
} table[] = {
    /* Used for anything, also by those who did not care. */
    {"0x07", ANY},
    {"0x83", ANY},
    {"0FC63DAF-8483-4772-8E79-3D69D8477DE4", ANY}, /* Linux's filesystems */
    {"EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", ANY}, /* Windows' basic data */
    {"0x01", "vfat"},
    {"0x04", "vfat"},
    {"0x06", "vfat"},
    {"0x0b", "vfat"},
    {"0x0c", "vfat"},
    {"0x0e", "vfat"},
    {"0x11", "vfat"},
    {"0x14", "vfat"},
    {"0x16", "vfat"},
    {"0x1b", "vfat"},
    {"0x1c", "vfat"},
    {"0x1e", "vfat"},
    {"0xef", "vfat"},
    {"C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "vfat"}, /* EFI's system */
    {"0x17", WINDOWS},
    {"0x27", WINDOWS},
    {"DE94BBA4-06D1-4D40-A16A-BFD50179D6AC", WINDOWS}, /* recovery */
    {"0x82", "swap"},
    {"0657FD6D-A4AB-43C4-84E5-0933C84B4F4F", "swap"},
    {"BC13C2FF-59E6-4262-A352-B275FD6F7172", "vfat " EXT}, /* /boot */
    {"933AC7E1-2EB4-4F13-B844-0E14E2AEF915", EXT},         /* /home */
    {"773F91EF-66D4-49B5-BD83-D683BF40AD16", EXT},         /* one of a user */
    {"3B8F8425-20E0-4F3B-907F-1A25A76F98E8", EXT},         /* /srv */
    {"4D21B016-B534-45C2-A9FB-5C16E091FD2D", EXT},         /* /var */
    {"7EC6F557-3BC5-4ACA-B293-16EF5DF639D1", EXT},         /* /var/tmp */
    /* The root and /usr: x86-64, x86, arm64, arm, riscv64, ppc64le, s390x, loongarch64. */
    {"4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", EXT},
    {"44479540-F297-41B2-9AF7-D131D5F0458A", EXT},
    {"B921B045-1DF0-41C3-AF44-4C6F280D3FAE", EXT},
    {"69DAD710-2CE4-4E3C-B16C-21A1D49ABED3", EXT},
    {"72EC70A6-CF74-40E6-BD49-4BDA08E8F224", EXT},
    {"C31C45E6-3F39-412E-80FB-4809C4980599", EXT},
    {"5EEAD9A9-FE09-4A1E-A1D7-520D00531306", EXT},
    {"77055800-792C-4F94-B39A-98C91B762BB6", EXT},
    {"8484680C-9521-48C6-9C11-B0720656F69E", EXT},
    {"75250D76-8CC6-458E-BD66-BD47CC81A812", EXT},
    {"B0E01050-EE5F-4390-949A-9101B17104E9", EXT},
    {"7D0359A3-02B3-4F0A-865C-654403E70625", EXT},
    {"BEAEC34B-8442-439B-A40B-984381ED097D", EXT},
    {"15BB03AF-77E7-4D4A-B12B-C0D084F7491C", EXT},
    {"8A4F5770-50AA-4ED3-874A-99B710DB6FEA", EXT},
    {"E611C702-575C-4CBE-9A46-434FA0BF7E3F", EXT},
};

/* Whether the word is one of the list's. */
static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = list; *at != '\0'; at += strspn(at, " ")) {
        size_t here = strcspn(at, " ");

        if (here == length && memcmp(at, word, length) == 0)
            return true;
        at += here;
    }
    return false;
}

bool imgi_partition_expects(const struct imgi_volume *volume)
{
    const img_volume *info = &volume->info;

    for (size_t n = 0; info->type && info->content && n < IMGI_COUNT(table); n++) {
        if (strcmp(table[n].type, info->type) == 0)
            return strcmp(table[n].contents, ANY) == 0 ||
                   has_word(table[n].contents, info->content);
    }
    return !info->type;
}

static bool is_one_of(const struct imgi_volume *volume, const char *const *types, size_t count)
{
    for (size_t n = 0; volume->info.type && n < count; n++) {
        if (strcmp(types[n], volume->info.type) == 0)
            return true;
    }
    return false;
}

bool imgi_partition_is_reserved(const struct imgi_volume *volume)
{
    static const char *const types[] = {"21686148-6449-6E6F-744E-656564454649",
                                        "9E1A2D38-C612-4316-AA26-8B49521E5A8B",
                                        "E3C9E316-0B5C-4DB8-817D-F92DF00215AE", "0x41"};

    return is_one_of(volume, types, IMGI_COUNT(types));
}

bool imgi_partition_is_dynamic(const struct imgi_volume *volume)
{
    static const char *const types[] = {"0x42", "AF9B60A0-1431-4F62-BC68-3311714A69AD",
                                        "5808C8AA-7E8F-42E0-85D2-E1E90434CFB3"};

    return is_one_of(volume, types, IMGI_COUNT(types));
}
