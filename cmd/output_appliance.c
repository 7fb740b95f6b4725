/*
 * What "info" prints of an OVA or OVF. SPDX-License-Identifier: BSD-2-Clause
 */
#include <jansson.h>

#include "cmd.h"

/* NULL when there is none. */
static const char *get_string(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static uint64_t get_uint(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

/* "1.5 GiB (1610612736 bytes)" behind a label. */
static void print_size(const char *label, const json_t *object, const char *key)
{
    char size[SIZE_TEXT];

    if (json_object_get(object, key))
        printf("%s: %s (%llu bytes)\n", label, size_text(size, get_uint(object, key)),
               (unsigned long long)get_uint(object, key));
}

static void print_system(const json_t *system)
{
    output_line("virtual machine", get_string(system, "name"));
    output_line("    hardware", get_string(system, "hardware"));
    output_line("    operating system", get_string(system, "os"));
    output_line("    operating system id", get_string(system, "os-id"));
    if (json_object_get(system, "cpus"))
        printf("    cpus: %llu\n", (unsigned long long)get_uint(system, "cpus"));
    print_size("    memory", system, "memory");
}

static void print_disk(const json_t *disk)
{
    printf("disk %llu:\n", (unsigned long long)get_uint(disk, "index"));
    output_line("    disk id", get_string(disk, "disk-id"));
    print_size("    capacity", disk, "capacity");
    output_line("    file", get_string(disk, "file"));
    print_size("    file size", disk, "file-size");
    output_line("    format", get_string(disk, "format"));
    output_line("    compression", get_string(disk, "compression"));
    output_line("    parent", get_string(disk, "parent"));
}

static void print_members(const json_t *members)
{
    if (json_array_size(members) == 0)
        return;
    printf("members:\n%20s %20s NAME\n", "OFFSET", "SIZE");
    for (size_t n = 0; n < json_array_size(members); n++) {
        const json_t *member = json_array_get(members, n);

        printf("%20llu %20llu ", (unsigned long long)get_uint(member, "offset"),
               (unsigned long long)get_uint(member, "size"));
        output_text(stdout, get_string(member, "name"));
        putchar('\n');
    }
}

void output_appliance(const json_t *info)
{
    const json_t *systems = json_object_get(info, "virtual-systems");
    const json_t *disks = json_object_get(info, "disks");
    const json_t *manifest = json_object_get(info, "manifest");
    char size[SIZE_TEXT];

    output_line("image", get_string(info, "filename"));
    output_line("file format", get_string(info, "format"));
    printf("disk size: %s\n", size_text(size, get_uint(info, "actual-size")));
    for (size_t n = 0; n < json_array_size(systems); n++)
        print_system(json_array_get(systems, n));
    for (size_t n = 0; n < json_array_size(disks); n++)
        print_disk(json_array_get(disks, n));
    if (json_is_true(json_object_get(manifest, "present"))) {
        output_line("manifest", get_string(manifest, "name"));
        output_line("    algorithm", get_string(manifest, "algorithm"));
    } else {
        printf("manifest: none\n");
    }
    output_line("certificate", get_string(info, "certificate"));
    print_members(json_object_get(info, "members"));
}
