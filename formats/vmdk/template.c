/*
 * Writing a new descriptor. SPDX-License-Identifier: BSD-2-Clause
 *
 * The order is the one all readers know: header, extents, disk database. A comment
 * line, not a blank one, stands before the first extent: QEMU counts an extent behind a blank line
 * twice.
 */
#include "descriptor.h"
#include "disk.h"

/* More are not to be seen in VMware's own descriptors. */
#define IMPORT_CYLINDERS_MAX 65535u

/*
 * As QEMU does it: as many cylinders as fit, with no limit, since nobody boots by them any more.
 * What is to be imported keeps to what importers reckon with.
 */
static void add_geometry(const struct vmdk_template *template, struct imgi_text *text)
{
    unsigned heads = strcmp(template->adapter, "ide") == 0 ? 16 : 255, sectors = 63;
    uint64_t cylinders = template->size / ((uint64_t)heads * sectors * VMDK_SECTOR);

    if (strcmp(template->create_type, "streamOptimized") == 0)
        cylinders = IMGI_MIN(IMGI_MAX(cylinders, 1), IMPORT_CYLINDERS_MAX);
    imgi_text_add(text, "ddb.geometry.cylinders = \"%llu\"\n", (unsigned long long)cylinders);
    imgi_text_add(text, "ddb.geometry.heads = \"%u\"\n", heads);
    imgi_text_add(text, "ddb.geometry.sectors = \"%u\"\n", sectors);
}

/* longContentID ends with the CID. The UUID begins with VMware's own number (60 00 C2 9). */
static void add_identifiers(const struct vmdk_template *template, struct imgi_text *text)
{
    uint64_t a = imgi_scramble(template->seed), b = imgi_scramble(a), c = imgi_scramble(b);

    imgi_text_add(text, "ddb.longContentID = \"%016llx%08x%08x\"\n", (unsigned long long)a,
                  (unsigned)(b >> 32), template->cid);
    if (template->uuid) {
        imgi_text_add(text, "ddb.uuid = \"%s\"\n", template->uuid);
        return;
    }
    imgi_text_add(text, "ddb.uuid = \"60 00 C2 9%x", (unsigned)(b & 15));
    for (unsigned i = 0; i < 12; i++)
        imgi_text_add(text, "%s%02x", i == 4 ? "-" : " ",
                      (unsigned)((i < 8 ? c >> (8 * i) : b >> (8 * (i - 7))) & 0xff));
    imgi_text_add(text, "\"\n");
}

void vmdk_template_write(const struct vmdk_template *template, struct imgi_text *text)
{
    imgi_text_add(text, "# Disk DescriptorFile\nversion=1\n");
    imgi_text_add(text, "CID=%08x\nparentCID=%08x\n", template->cid, template->parent_cid);
    imgi_text_add(text, "createType=\"%s\"\n", template->create_type);
    if (template->parent)
        imgi_text_add(text, "parentFileNameHint=\"%s\"\n", template->parent);
    imgi_text_add(text, "# Extent description\n%s", template->extents);
    imgi_text_add(text, "# The Disk Data Base\n#DDB\n");
    imgi_text_add(text, "ddb.virtualHWVersion = \"%s\"\n", template->hw_version);
    add_geometry(template, text);
    imgi_text_add(text, "ddb.adapterType = \"%s\"\n", template->adapter);
    add_identifiers(template, text);
    if (template->thin)
        imgi_text_add(text, "ddb.thinProvisioned = \"1\"\n");
    imgi_text_add(text, "ddb.toolsVersion = \"%s\"\n", template->tools_version);
}
