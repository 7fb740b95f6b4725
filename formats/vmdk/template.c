/*
 * Writing a new descriptor. SPDX-License-Identifier: BSD-2-Clause
 *
 * The order is the one all readers know: header, extents, disk database. A comment
 * line, not a blank one, stands before the first extent: QEMU counts an extent behind a blank line
 * twice.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "descriptor.h"
#include "disk.h"

/* More are not to be seen in VMware's own descriptors. */
#define IMPORT_CYLINDERS_MAX 65535u

void vmdk_text_add(struct vmdk_text *text, const char *format, ...)
{
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (text->failed || length < 0) {
        text->failed = true;
        return;
    }
    if (text->room - text->length <= (size_t)length) {
        size_t room = 2 * text->room + (size_t)length + 1;
        char *bytes = realloc(text->bytes, room);

        if (!bytes) {
            text->failed = true;
            return;
        }
        text->bytes = bytes;
        text->room = room;
    }
    va_start(args, format);
    vsnprintf(text->bytes + text->length, text->room - text->length, format, args);
    va_end(args);
    text->length += (size_t)length;
}

uint64_t vmdk_scramble(uint64_t value)
{
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

/*
 * As QEMU does it: as many cylinders as fit, with no limit, since nobody boots by them any more.
 * What is to be imported keeps to what importers reckon with.
 */
static void add_geometry(const struct vmdk_template *template, struct vmdk_text *text)
{
    unsigned heads = strcmp(template->adapter, "ide") == 0 ? 16 : 255, sectors = 63;
    uint64_t cylinders = template->size / ((uint64_t)heads * sectors * VMDK_SECTOR);

    if (strcmp(template->create_type, "streamOptimized") == 0)
        cylinders = IMGI_MIN(IMGI_MAX(cylinders, 1), IMPORT_CYLINDERS_MAX);
    vmdk_text_add(text, "ddb.geometry.cylinders = \"%llu\"\n", (unsigned long long)cylinders);
    vmdk_text_add(text, "ddb.geometry.heads = \"%u\"\n", heads);
    vmdk_text_add(text, "ddb.geometry.sectors = \"%u\"\n", sectors);
}

/* longContentID ends with the CID. The UUID begins with VMware's own number (60 00 C2 9). */
static void add_identifiers(const struct vmdk_template *template, struct vmdk_text *text)
{
    uint64_t a = vmdk_scramble(template->seed), b = vmdk_scramble(a), c = vmdk_scramble(b);

    vmdk_text_add(text, "ddb.longContentID = \"%016llx%08x%08x\"\n", (unsigned long long)a,
                  (unsigned)(b >> 32), template->cid);
    if (template->uuid) {
        vmdk_text_add(text, "ddb.uuid = \"%s\"\n", template->uuid);
        return;
    }
    vmdk_text_add(text, "ddb.uuid = \"60 00 C2 9%x", (unsigned)(b & 15));
    for (unsigned i = 0; i < 12; i++)
        vmdk_text_add(text, "%s%02x", i == 4 ? "-" : " ",
                      (unsigned)((i < 8 ? c >> (8 * i) : b >> (8 * (i - 7))) & 0xff));
    vmdk_text_add(text, "\"\n");
}

void vmdk_template_write(const struct vmdk_template *template, struct vmdk_text *text)
{
    vmdk_text_add(text, "# Disk DescriptorFile\nversion=1\n");
    vmdk_text_add(text, "CID=%08x\nparentCID=%08x\n", template->cid, template->parent_cid);
    vmdk_text_add(text, "createType=\"%s\"\n", template->create_type);
    if (template->parent)
        vmdk_text_add(text, "parentFileNameHint=\"%s\"\n", template->parent);
    vmdk_text_add(text, "# Extent description\n%s", template->extents);
    vmdk_text_add(text, "# The Disk Data Base\n#DDB\n");
    vmdk_text_add(text, "ddb.virtualHWVersion = \"%s\"\n", template->hw_version);
    add_geometry(template, text);
    vmdk_text_add(text, "ddb.adapterType = \"%s\"\n", template->adapter);
    add_identifiers(template, text);
    if (template->thin)
        vmdk_text_add(text, "ddb.thinProvisioned = \"1\"\n");
    vmdk_text_add(text, "ddb.toolsVersion = \"%s\"\n", template->tools_version);
}
