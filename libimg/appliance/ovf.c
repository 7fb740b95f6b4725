/*
 * Reading OVF documents. SPDX-License-Identifier: BSD-2-Clause
 */
#include "ovf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../util/checked.h"

/* CIM_ResourceAllocationSettingData.ResourceType */
#define RESOURCE_CPU "3"
#define RESOURCE_MEMORY "4"

/* How far into a file its first element is looked for. */
#define LOOK_MAX 4096u

bool imgi_ovf_looks_like(const uint8_t *head, size_t length)
{
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf}; /* UTF-8 byte order mark */
    size_t at = 0;

    length = IMGI_MIN(length, LOOK_MAX);
    if (length >= sizeof(mark) && memcmp(head, mark, sizeof(mark)) == 0)
        at = sizeof(mark);
    while (at < length && strchr(" \t\r\n", head[at]) && head[at])
        at++;
    return at < length && head[at] == '<' && memmem(head + at, length - at, "Envelope", 8);
}

void imgi_ovf_clear(struct imgi_ovf *ovf)
{
    imgi_xml_free(ovf->xml);
    free(ovf->files);
    free(ovf->disks);
    free(ovf->systems);
    *ovf = (struct imgi_ovf){0};
}

/* ---------------------------------------------------------------- numbers */

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t\r\n");
}

/* A decimal number with nothing but blanks around it. */
static bool get_number(const char *text, uint64_t *number)
{
    char *end;

    text = skip_blanks(text);
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && *skip_blanks(end) == '\0';
}

/*
 * Bytes of a unit (DSP0004, Annex C): "byte", and any number of "* 2^30" and "* 1024" behind it.
 * The words of OVF 0.9 and of old writers stand beside them.
 */
static bool get_unit(const char *text, uint64_t *unit)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } words[] = {{"KiloBytes", 1u << 10}, {"KB", 1u << 10},        {"MegaBytes", 1u << 20},
                 {"MB", 1u << 20},        {"GigaBytes", 1u << 30}, {"GB", 1u << 30}};

    text = skip_blanks(text);
    for (size_t i = 0; i < IMGI_COUNT(words); i++) {
        if (strcasecmp(text, words[i].name) == 0) {
            *unit = words[i].bytes;
            return true;
        }
    }
    if (strncasecmp(text, "byte", 4) != 0)
        return false;
    text += 4;
    text += *text == 's';
    for (*unit = 1; *(text = skip_blanks(text));) {
        unsigned long base, power = 1;
        char *end;

        if (*text++ != '*')
            return false;
        base = strtoul(text, &end, 10);
        if (end == text)
            return false;
        text = skip_blanks(end);
        if (*text == '^') {
            power = strtoul(++text, &end, 10);
            if (end == text || power > 63)
                return false;
            text = end;
        }
        while (power-- > 0) {
            if (!imgi_mul(*unit, base, unit))
                return false;
        }
    }
    return *unit > 0;
}

/* A number of units; unit NULL: bytes. */
static int get_bytes(const char *what, const char *text, const char *unit, uint64_t *bytes,
                     img_error *err)
{
    uint64_t number, factor = 1;

    if (!get_number(text, &number))
        return imgi_fail(err, IMG_E_CORRUPT, "%s: '%.64s' is not a number", what, text);
    if (unit && !get_unit(unit, &factor))
        return imgi_fail(err, IMG_E_CORRUPT, "%s: '%.64s' is not a unit of bytes", what, unit);
    if (!imgi_mul(number, factor, bytes) || *bytes > INT64_MAX)
        return imgi_fail(err, IMG_E_CORRUPT, "%s: %.64s units of '%.64s' are more than 2^63-1",
                         what, text, unit ? unit : "byte");
    return 0;
}

/* --------------------------------------------------------------- sections */

/* Memory for the children of that name. */
static int children_new(const struct imgi_xml_node *node, const char *name, size_t size,
                        void **list, img_error *err)
{
    size_t count = 0;

    for (const struct imgi_xml_node *at = imgi_xml_child(node, name); at;
         at = imgi_xml_next(at, name))
        count++;
    if (count > IMGI_OVF_ITEMS_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "OVF: %zu elements '%s' are over the limit of %u", count,
                         name, IMGI_OVF_ITEMS_MAX);
    *list = calloc(count + 1, size);
    return *list ? 0 : imgi_fail_nomem(err, "an OVF document");
}

static int take_file(struct imgi_ovf *ovf, const struct imgi_xml_node *node, img_error *err)
{
    struct imgi_ovf_file *file = &ovf->files[ovf->file_count];
    const char *size = imgi_xml_attribute(node, "size");
    const char *chunk = imgi_xml_attribute(node, "chunkSize");
    int rc = 0;

    file->id = imgi_xml_attribute(node, "id");
    file->href = imgi_xml_attribute(node, "href");
    file->compression = imgi_xml_attribute(node, "compression");
    file->has_size = size != NULL;
    file->chunked = chunk != NULL;
    if (!file->id || !file->href)
        return imgi_fail(err, IMG_E_CORRUPT, "OVF: File %zu has no %s", ovf->file_count + 1,
                         file->id ? "href" : "id");
    for (size_t i = 0; i < ovf->file_count; i++) {
        if (strcmp(ovf->files[i].id, file->id) == 0)
            return imgi_fail(err, IMG_E_CORRUPT, "OVF: two Files have the id '%s'", file->id);
    }
    ovf->file_count++;
    if (size)
        rc = get_bytes("size", size, NULL, &file->size, err);
    if (rc == 0 && chunk)
        rc = get_bytes("chunkSize", chunk, NULL, &file->chunk_size, err);
    if (rc < 0)
        imgi_error_prefix(err, "OVF: File '%s'", file->id);
    return rc;
}

static const struct imgi_ovf_file *find_file(const struct imgi_ovf *ovf, const char *id)
{
    for (size_t i = 0; i < ovf->file_count; i++) {
        if (strcmp(ovf->files[i].id, id) == 0)
            return &ovf->files[i];
    }
    return NULL;
}

static int take_disk(struct imgi_ovf *ovf, const struct imgi_xml_node *node, img_error *err)
{
    struct imgi_ovf_disk *disk = &ovf->disks[ovf->disk_count];
    const char *file = imgi_xml_attribute(node, "fileRef");
    const char *capacity = imgi_xml_attribute(node, "capacity");
    int rc = 0;

    disk->id = imgi_xml_attribute(node, "diskId");
    disk->format = imgi_xml_attribute(node, "format");
    disk->parent = imgi_xml_attribute(node, "parentRef");
    if (!disk->id)
        return imgi_fail(err, IMG_E_CORRUPT, "OVF: Disk %zu has no diskId", ovf->disk_count + 1);
    for (size_t i = 0; i < ovf->disk_count; i++) {
        if (strcmp(ovf->disks[i].id, disk->id) == 0)
            return imgi_fail(err, IMG_E_CORRUPT, "OVF: two Disks have the diskId '%s'", disk->id);
    }
    ovf->disk_count++;
    disk->file = file ? find_file(ovf, file) : NULL;
    if (file && !disk->file)
        return imgi_fail(err, IMG_E_CORRUPT, "OVF: Disk '%s': fileRef: there is no File '%s'",
                         disk->id, file);
    /* A capacity may be "${name}", a property that is asked for at deployment. */
    disk->has_capacity = capacity && skip_blanks(capacity)[0] != '$';
    if (disk->has_capacity)
        rc = get_bytes("capacity", capacity, imgi_xml_attribute(node, "capacityAllocationUnits"),
                       &disk->capacity, err);
    if (rc < 0)
        imgi_error_prefix(err, "OVF: Disk '%s'", disk->id);
    return rc;
}

/* ---------------------------------------------------------------- machines */

/* The text of the child of that name; NULL when it has none. */
static const char *child_text(const struct imgi_xml_node *node, const char *name)
{
    const struct imgi_xml_node *child = imgi_xml_child(node, name);

    return child && *skip_blanks(child->text) ? child->text : NULL;
}

/* What a machine has need not be understood for its disks to be read: no number is an error. */
static void take_item(struct imgi_ovf_system *system, const struct imgi_xml_node *item)
{
    const char *type = child_text(item, "ResourceType");
    const char *quantity = child_text(item, "VirtualQuantity");
    const char *unit = child_text(item, "AllocationUnits");
    uint64_t value = 0;

    if (!type || !quantity)
        return;
    if (strcmp(skip_blanks(type), RESOURCE_CPU) == 0 && get_number(quantity, &value))
        system->cpus += IMGI_MIN(value, 1u << 16);
    else if (strcmp(skip_blanks(type), RESOURCE_MEMORY) == 0 &&
             get_bytes("memory", quantity, unit ? unit : "MegaBytes", &value, NULL) == 0)
        system->memory = value;
}

static void take_system(struct imgi_ovf *ovf, const struct imgi_xml_node *node)
{
    struct imgi_ovf_system *system = &ovf->systems[ovf->system_count++];
    const struct imgi_xml_node *os = imgi_xml_child(node, "OperatingSystemSection");
    const struct imgi_xml_node *hardware = imgi_xml_child(node, "VirtualHardwareSection");
    const struct imgi_xml_node *data = hardware ? imgi_xml_child(hardware, "System") : NULL;

    system->id = imgi_xml_attribute(node, "id");
    system->name = child_text(node, "Name");
    if (os) {
        system->os_id = imgi_xml_attribute(os, "id");
        system->os_name = child_text(os, "Description");
    }
    if (data)
        system->hardware = child_text(data, "VirtualSystemType");
    if (!hardware)
        return;
    for (const struct imgi_xml_node *item = hardware->child; item; item = item->next)
        take_item(system, item);
}

/* One machine, or a collection of them, which is looked into one level deep. */
static int take_systems(struct imgi_ovf *ovf, const struct imgi_xml_node *root, img_error *err)
{
    const struct imgi_xml_node *collection = imgi_xml_child(root, "VirtualSystemCollection");
    const struct imgi_xml_node *from = collection ? collection : root;
    int rc =
        children_new(from, "VirtualSystem", sizeof(*ovf->systems), (void **)&ovf->systems, err);

    for (const struct imgi_xml_node *at = imgi_xml_child(from, "VirtualSystem"); rc == 0 && at;
         at = imgi_xml_next(at, "VirtualSystem"))
        take_system(ovf, at);
    return rc;
}

/* ---------------------------------------------------------------- document */

static int take_files(struct imgi_ovf *ovf, const struct imgi_xml_node *root, img_error *err)
{
    const struct imgi_xml_node *references = imgi_xml_child(root, "References");
    int rc;

    if (!references)
        return 0;
    rc = children_new(references, "File", sizeof(*ovf->files), (void **)&ovf->files, err);
    for (const struct imgi_xml_node *at = imgi_xml_child(references, "File"); rc == 0 && at;
         at = imgi_xml_next(at, "File"))
        rc = take_file(ovf, at, err);
    return rc;
}

/* OVF 0.9 has its sections as <Section xsi:type="ovf:DiskSection_Type">. */
static const struct imgi_xml_node *disk_section(const struct imgi_xml_node *root)
{
    const struct imgi_xml_node *section = imgi_xml_child(root, "DiskSection");

    if (section)
        return section;
    for (section = imgi_xml_child(root, "Section"); section;
         section = imgi_xml_next(section, "Section")) {
        if (imgi_xml_child(section, "Disk"))
            break;
    }
    return section;
}

static int take_disks(struct imgi_ovf *ovf, const struct imgi_xml_node *root, img_error *err)
{
    const struct imgi_xml_node *section = disk_section(root);
    int rc;

    if (!section)
        return 0;
    rc = children_new(section, "Disk", sizeof(*ovf->disks), (void **)&ovf->disks, err);
    for (const struct imgi_xml_node *at = imgi_xml_child(section, "Disk"); rc == 0 && at;
         at = imgi_xml_next(at, "Disk"))
        rc = take_disk(ovf, at, err);
    return rc;
}

int imgi_ovf_parse(struct imgi_ovf *ovf, const void *text, size_t length, img_error *err)
{
    const struct imgi_xml_node *root;
    int rc;

    *ovf = (struct imgi_ovf){0};
    rc = imgi_xml_parse(&ovf->xml, text, length, err);
    if (rc < 0)
        return rc;
    root = imgi_xml_root(ovf->xml);
    if (strcmp(root->name, "Envelope") != 0)
        rc = imgi_fail(err, IMG_E_FORMAT, "OVF: the document is a '%.64s', not an Envelope",
                       root->name);
    if (rc == 0)
        rc = take_files(ovf, root, err);
    if (rc == 0)
        rc = take_disks(ovf, root, err);
    if (rc == 0)
        rc = take_systems(ovf, root, err);
    if (rc < 0)
        imgi_ovf_clear(ovf);
    return rc;
}
