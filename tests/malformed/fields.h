/*
 * Changes of one field each. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef FIELDS_H
#define FIELDS_H

#include "malformed.h"

/* Write a number over a field. */
struct change {
    char name[48];
    size_t offset;
    unsigned width;
    bool big_endian;
    uint64_t value;
};

struct changes {
    struct change *list;
    size_t count;
};

/* A field of a header, and the values that have a meaning for it besides 0, 1, max-1 and max. */
struct field {
    const char *name;
    size_t offset;
    unsigned width;
    uint64_t values[12]; /* ended by the first 0 */
};

void change_add(struct changes *changes, const struct change *change);
/* All values of the fields of one header that begins at base. */
void change_add_fields(struct changes *changes, const struct field *fields, size_t count,
                       size_t base, bool big_endian);

/* Every change for an image of that format, which is in file. */
void changes_qcow2(struct changes *changes, const struct file *file);
void changes_qcow(struct changes *changes, const struct file *file);
void changes_qed(struct changes *changes, const struct file *file);
void changes_parallels(struct changes *changes, const struct file *file);
void changes_bochs(struct changes *changes, const struct file *file);
void changes_cloop(struct changes *changes, const struct file *file);
void changes_dmg(struct changes *changes, const struct file *file);
void changes_vdi(struct changes *changes, const struct file *file);
void changes_vhd(struct changes *changes, const struct file *file);
void changes_vmdk(struct changes *changes, const struct file *file);

#endif
