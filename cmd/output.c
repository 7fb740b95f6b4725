/*
 * What "info" prints. SPDX-License-Identifier: BSD-2-Clause
 *
 * The library says all it knows as JSON with qemu-img's keys; here it gets qemu-img's order of
 * keys, or becomes the text for people.
 */
#include <jansson.h>
#include <string.h>
#include <time.h>

#include "cmd.h"

/* ------------------------------------------------------------------- JSON */

/* The order in which qemu-img 7.2 prints the keys, found by looking. Unknown ones come last. */
static const char *const info_order[] = {
    "backing-filename-format",
    "snapshots",
    "virtual-size",
    "filename",
    "cluster-size",
    "format",
    "actual-size",
    "format-specific",
    "full-backing-filename",
    "backing-filename",
    "compressed",
    "encrypted",
    "dirty-flag",
    NULL,
};
static const char *const snapshot_order[] = {
    "icount", "vm-clock-nsec", "name", "date-sec", "date-nsec", "vm-clock-sec",
    "id",     "vm-state-size", NULL,
};

/* Print the members of an object, the listed ones first. */
static void print_members(struct emit *emit, const json_t *object, const char *const *order);

static void print_value(struct emit *emit, const char *key, const json_t *value,
                        const char *const *order)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        emit_begin(emit, key, '{');
        print_members(emit, value, order);
        emit_end(emit, '}');
        break;
    case JSON_ARRAY:
        emit_begin(emit, key, '[');
        for (size_t n = 0; n < json_array_size(value); n++)
            print_value(emit, NULL, json_array_get(value, n), order);
        emit_end(emit, ']');
        break;
    case JSON_INTEGER:
        emit_uint(emit, key, (uint64_t)json_integer_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        emit_bool(emit, key, json_is_true(value));
        break;
    default:
        emit_string(emit, key, json_is_string(value) ? json_string_value(value) : "");
        break;
    }
}

static bool is_listed(const char *const *order, const char *key)
{
    for (; order && *order; order++)
        if (strcmp(*order, key) == 0)
            return true;
    return false;
}

static void print_members(struct emit *emit, const json_t *object, const char *const *order)
{
    const char *key;
    json_t *value;

    for (size_t n = 0; order && order[n]; n++) {
        value = json_object_get(object, order[n]);
        if (value)
            print_value(emit, order[n], value,
                        strcmp(order[n], "snapshots") == 0 ? snapshot_order : NULL);
    }
    json_object_foreach((json_t *)object, key, value)
    {
        if (!is_listed(order, key))
            print_value(emit, key, value, NULL);
    }
}

void output_info_json(const json_t *info)
{
    struct emit emit = {.out = stdout};

    /* The order is that of an image; a chain is a list of them. */
    print_value(&emit, NULL, info, info_order);
}

void output_snapshots_json(const json_t *snapshots)
{
    struct emit emit = {.out = stdout};

    emit_begin(&emit, NULL, '[');
    for (size_t n = 0; n < json_array_size(snapshots); n++)
        print_value(&emit, NULL, json_array_get(snapshots, n), snapshot_order);
    emit_end(&emit, ']');
}

json_t *output_describe(struct cli *cli, img_image *image)
{
    img_error err = {0};
    json_error_t json_error;
    json_t *info;
    char *text;

    if (img_info(image, &text, &err) < 0) {
        cli_fail_error(cli, &err, "%s", img_name(image));
        return NULL;
    }
    info = json_loads(text, 0, &json_error);
    img_free(text);
    if (!info)
        cli_fail(cli, "%s: cannot read the description of the image: %s", img_name(image),
                 json_error.text);
    return info;
}

/* ------------------------------------------------------------------- text */

void output_text(FILE *out, const char *text)
{
    for (; *text; text++)
        fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, out);
}

void output_line(const char *label, const char *text)
{
    if (!text)
        return;
    printf("%s: ", label);
    output_text(stdout, text);
    putchar('\n');
}

static uint64_t get_uint(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

/* NULL when there is none. */
static const char *get_string(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void print_backing_name(const char *name, const char *path)
{
    printf("backing file: ");
    output_text(stdout, name);
    if (!path) {
        printf(" (cannot determine actual path)");
    } else if (strcmp(path, name) != 0) {
        printf(" (actual path: ");
        output_text(stdout, path);
        putchar(')');
    }
    putchar('\n');
}

static void print_backing(const json_t *info)
{
    const char *name = get_string(info, "backing-filename");
    const char *format = get_string(info, "backing-filename-format");

    if (name)
        print_backing_name(name, get_string(info, "full-backing-filename"));
    if (format)
        output_line("backing file format", format);
}

/* A column of a table; a longer text pushes the others to the right. */
static void print_column(const char *text, size_t width)
{
    size_t length = strlen(text);

    output_text(stdout, text);
    printf("%*s ", (int)(length < width ? width - length : 0), "");
}

static void print_snapshot(const json_t *snapshot)
{
    const json_t *icount = json_object_get(snapshot, "icount");
    time_t seconds = (time_t)get_uint(snapshot, "date-sec");
    unsigned long clock = (unsigned long)get_uint(snapshot, "vm-clock-sec");
    char size[SIZE_TEXT], date[32] = "", vm_clock[64], count[32] = "";
    struct tm local;

    if (localtime_r(&seconds, &local))
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &local);
    snprintf(vm_clock, sizeof(vm_clock), "%02lu:%02lu:%02lu.%03lu", clock / 3600, clock / 60 % 60,
             clock % 60, (unsigned long)(get_uint(snapshot, "vm-clock-nsec") / 1000000));
    if (icount)
        snprintf(count, sizeof(count), "%" JSON_INTEGER_FORMAT, json_integer_value(icount));
    print_column(get_string(snapshot, "id"), 9);
    print_column(get_string(snapshot, "name"), 16);
    printf("%8s%20s%13s%11s\n", size_text(size, get_uint(snapshot, "vm-state-size")), date,
           vm_clock, count);
}

void output_snapshots(const json_t *snapshots)
{
    if (json_array_size(snapshots) == 0)
        return;
    printf("Snapshot list:\n%-9s %-16s %8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE",
           "VM CLOCK", "ICOUNT");
    for (size_t n = 0; n < json_array_size(snapshots); n++)
        print_snapshot(json_array_get(snapshots, n));
}

/* Keys are printed with spaces for dashes. */
static void print_key(unsigned depth, const char *key)
{
    printf("%*s", (int)(4 * depth), "");
    for (; *key; key++)
        putchar(*key == '-' ? ' ' : *key);
    putchar(':');
}

static void print_tree(unsigned depth, const json_t *value);

/* What stands behind a key: on the same line, or indented below it. */
static void print_branch(unsigned depth, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        putchar('\n');
        print_tree(depth + 1, value);
        break;
    case JSON_INTEGER:
        printf(" %" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        printf(" %s\n", json_is_true(value) ? "true" : "false");
        break;
    default:
        putchar(' ');
        output_text(stdout, json_is_string(value) ? json_string_value(value) : "");
        putchar('\n');
        break;
    }
}

static void print_tree(unsigned depth, const json_t *value)
{
    const char *key;
    json_t *member;

    for (size_t n = 0; n < json_array_size(value); n++) {
        printf("%*s[%zu]:", (int)(4 * depth), "", n);
        print_branch(depth, json_array_get(value, n));
    }
    json_object_foreach((json_t *)value, key, member)
    {
        print_key(depth, key);
        print_branch(depth, member);
    }
}

void output_specific(const json_t *data)
{
    if (json_object_size(data) == 0)
        return;
    printf("Format specific information:\n");
    print_tree(1, data);
}

void output_info(const json_t *info)
{
    char size[SIZE_TEXT];

    output_line("image", get_string(info, "filename"));
    output_line("file format", get_string(info, "format"));
    printf("virtual size: %s (%llu bytes)\n", size_text(size, get_uint(info, "virtual-size")),
           (unsigned long long)get_uint(info, "virtual-size"));
    if (json_object_get(info, "actual-size"))
        printf("disk size: %s\n", size_text(size, get_uint(info, "actual-size")));
    else
        printf("disk size: unavailable\n");
    if (json_is_true(json_object_get(info, "encrypted")))
        printf("encrypted: yes\n");
    if (json_object_get(info, "cluster-size"))
        printf("cluster_size: %llu\n", (unsigned long long)get_uint(info, "cluster-size"));
    if (json_is_true(json_object_get(info, "dirty-flag")))
        printf("cleanly shut down: no\n");
    print_backing(info);
    output_snapshots(json_object_get(info, "snapshots"));
    output_specific(json_object_get(json_object_get(info, "format-specific"), "data"));
    if (json_object_get(info, "limits")) {
        printf("Block limits:\n");
        print_tree(1, json_object_get(info, "limits"));
    }
}
