/*
 * Reading the descriptor text. SPDX-License-Identifier: BSD-2-Clause
 *
 * Each line is one of: blank, comment (#), key = value, extent. Anything else is an error that
 * names the line. Keys and words are compared without case, as VMware does. Time and memory are
 * linear in the text, which the caller keeps below VMDK_DESCRIPTOR_BYTES_MAX.
 */
#include <stdlib.h>
#include <strings.h>

#include "descriptor.h"

/* How much of a line an error message shows. */
#define SHOWN 60
/* Bytes behind the first NUL that are no fault. */
#define LEFTOVER_MAX 7

static const char *const type_names[] = {
    [VMDK_TYPE_FLAT] = "FLAT",
    [VMDK_TYPE_SPARSE] = "SPARSE",
    [VMDK_TYPE_ZERO] = "ZERO",
    [VMDK_TYPE_VMFS] = "VMFS",
    [VMDK_TYPE_VMFSSPARSE] = "VMFSSPARSE",
    [VMDK_TYPE_SESPARSE] = "SESPARSE",
    [VMDK_TYPE_VMFSRDM] = "VMFSRDM",
    [VMDK_TYPE_VMFSRAW] = "VMFSRAW",
};
static const char *const access_names[] = {
    [VMDK_ACCESS_RW] = "RW",
    [VMDK_ACCESS_RDONLY] = "RDONLY",
    [VMDK_ACCESS_NOACCESS] = "NOACCESS",
};

const char *vmdk_type_name(enum vmdk_type type)
{
    return type_names[type];
}

const char *vmdk_access_name(enum vmdk_access access)
{
    return access_names[access];
}

/* One line on its way through the parser. */
struct line {
    const char *text; /* the whole descriptor */
    size_t at, end;   /* what is left of the line */
    unsigned number;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void skip_spaces(struct line *line)
{
    while (line->at < line->end && is_space(line->text[line->at]))
        line->at++;
}

static struct vmdk_span take_word(struct line *line)
{
    struct vmdk_span word = {line->at, 0};

    while (line->at < line->end && !is_space(line->text[line->at]))
        line->at++;
    word.length = line->at - word.start;
    skip_spaces(line);
    return word;
}

static bool span_is(const char *text, struct vmdk_span span, const char *word)
{
    return strlen(word) == span.length && strncasecmp(text + span.start, word, span.length) == 0;
}

/* Index of the word in names, or -1. */
static int find_word(const char *text, struct vmdk_span span, const char *const *names,
                     size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (span_is(text, span, names[i]))
            return (int)i;
    }
    return -1;
}

static bool parse_decimal(const char *text, struct vmdk_span span, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < span.length; i++) {
        char c = text[span.start + i];

        if (c < '0' || c > '9' || !imgi_mul(*value, 10, value) ||
            !imgi_add(*value, (uint64_t)(c - '0'), value))
            return false;
    }
    return span.length > 0;
}

/* "text" of at most VMDK_FILE_NAME_MAX bytes. */
static bool take_quoted(struct line *line, struct vmdk_span *span)
{
    const char *open = line->text + line->at, *close;

    if (line->at == line->end || *open != '"')
        return false;
    close = memchr(open + 1, '"', line->end - line->at - 1);
    if (!close || close == open + 1 || close - open - 1 > (ptrdiff_t)VMDK_FILE_NAME_MAX)
        return false;
    *span = (struct vmdk_span){line->at + 1, (size_t)(close - open) - 1};
    line->at = span->start + span->length + 1;
    skip_spaces(line);
    return true;
}

static int fail_line(const struct line *line, size_t start, const char *what, img_error *err)
{
    int shown = (int)IMGI_MIN(line->end - start, SHOWN);

    return imgi_fail(err, IMG_E_CORRUPT, "descriptor line %u: %s: %.*s", line->number, what, shown,
                     line->text + start);
}

/* Room for one more entry; arrays double when they are full at a power of two. */
static void *grow(void *array, size_t count, size_t entry_size)
{
    if (count > 0 && !imgi_is_pow2(count))
        return array;
    return realloc(array, (count ? 2 * count : 1) * entry_size);
}

static int add_extent(struct vmdk_descriptor *descriptor, const struct vmdk_extent_line *extent,
                      const struct img_policy *policy, img_error *err)
{
    size_t count = descriptor->extent_count;
    struct vmdk_extent_line *extents;
    int rc = imgi_policy_limit(policy, IMG_LIMIT_EXTENTS, count + 1, "descriptor: extents", err);

    if (rc < 0)
        return rc;
    extents = grow(descriptor->extents, count, sizeof(*extents));
    if (!extents)
        return imgi_fail_nomem(err, "a descriptor's extents");
    extents[count] = *extent;
    descriptor->extents = extents;
    descriptor->extent_count++;
    return 0;
}

/* The words behind ACCESS. */
static int parse_extent(struct vmdk_descriptor *descriptor, struct line *line,
                        enum vmdk_access access, size_t start, const struct img_policy *policy,
                        img_error *err)
{
    struct vmdk_extent_line extent = {.access = access, .line = line->number};
    const char *text = line->text;
    int type;

    extent.number = take_word(line);
    if (!parse_decimal(text, extent.number, &extent.sectors) || extent.sectors == 0)
        return fail_line(line, start, "no extent size", err);
    type = find_word(text, take_word(line), type_names, IMGI_COUNT(type_names));
    if (type < 0)
        return fail_line(line, start, "unknown extent type", err);
    extent.type = (enum vmdk_type)type;
    if (line->at < line->end && !take_quoted(line, &extent.file))
        return fail_line(line, start, "no extent file name in quotes", err);
    if (extent.type != VMDK_TYPE_ZERO && extent.file.length == 0)
        return fail_line(line, start, "extent without a file", err);
    if (line->at < line->end && !parse_decimal(text, take_word(line), &extent.offset))
        return fail_line(line, start, "no number as extent offset", err);
    return add_extent(descriptor, &extent, policy, err);
}

/* Index of the key, or key_count. */
static size_t find_key(const struct vmdk_descriptor *descriptor, const char *name, size_t length)
{
    size_t i;

    for (i = 0; i < descriptor->key_count; i++) {
        struct vmdk_span span = descriptor->keys[i].name;

        if (span.length == length && strncasecmp(descriptor->text + span.start, name, length) == 0)
            break;
    }
    return i;
}

/*
 * Two values for one key would leave it to each reader which one counts. In the disk database
 * (ddb.*), which no address depends on, the first one does.
 */
static int check_duplicate(const struct vmdk_descriptor *descriptor, const struct line *line,
                           struct vmdk_span name, img_error *err)
{
    const char *text = descriptor->text + name.start;

    if ((name.length > 4 && strncasecmp(text, "ddb.", 4) == 0) ||
        find_key(descriptor, text, name.length) == descriptor->key_count)
        return 0;
    return fail_line(line, name.start, "a key that is there already", err);
}

static int parse_key(struct vmdk_descriptor *descriptor, struct line *line, size_t start,
                     size_t equals, img_error *err)
{
    size_t count = descriptor->key_count, end = line->end, name_end = equals;
    struct vmdk_key key, *keys;
    int rc;

    while (name_end > start && is_space(line->text[name_end - 1]))
        name_end--;
    key.name = (struct vmdk_span){start, name_end - start};
    line->at = equals + 1;
    skip_spaces(line);
    while (end > line->at && is_space(line->text[end - 1]))
        end--;
    if (end - line->at >= 2 && line->text[line->at] == '"' && line->text[end - 1] == '"') {
        line->at++;
        end--;
    }
    key.value = (struct vmdk_span){line->at, end - line->at};
    if (key.name.length == 0)
        return fail_line(line, start, "no key before '='", err);
    if (count == VMDK_KEYS_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "descriptor: more than %u keys", VMDK_KEYS_MAX);
    rc = check_duplicate(descriptor, line, key.name, err);
    if (rc < 0)
        return rc;
    keys = grow(descriptor->keys, count, sizeof(*keys));
    if (!keys)
        return imgi_fail_nomem(err, "a descriptor's keys");
    keys[count] = key;
    descriptor->keys = keys;
    descriptor->key_count++;
    return 0;
}

static int parse_line(struct vmdk_descriptor *descriptor, struct line *line,
                      const struct img_policy *policy, img_error *err)
{
    const char *equals;
    size_t start;
    int access;

    skip_spaces(line);
    start = line->at;
    if (start == line->end || line->text[start] == '#')
        return 0;
    access = find_word(line->text, take_word(line), access_names, IMGI_COUNT(access_names));
    if (access >= 0)
        return parse_extent(descriptor, line, (enum vmdk_access)access, start, policy, err);
    equals = memchr(line->text + start, '=', line->end - start);
    if (!equals)
        return fail_line(line, start, "neither key = value nor an extent", err);
    return parse_key(descriptor, line, start, (size_t)(equals - line->text), err);
}

static int parse_lines(struct vmdk_descriptor *descriptor, const struct img_policy *policy,
                       img_error *err)
{
    struct line line = {.text = descriptor->text};
    size_t start = 0;
    int rc = 0;

    while (rc == 0 && start < descriptor->length) {
        const char *end = memchr(line.text + start, '\n', descriptor->length - start);

        line.at = start;
        line.end = end ? (size_t)(end - line.text) : descriptor->length;
        line.number++;
        start = line.end + 1;
        rc = parse_line(descriptor, &line, policy, err);
    }
    return rc;
}

/*
 * Behind the first NUL there is padding, or the end of an earlier and longer text: QEMU leaves up
 * to seven bytes when it puts in a shorter CID. More would be text that other readers may see.
 */
static int check_padding(const char *bytes, size_t used, size_t length, img_error *err)
{
    size_t found = 0;

    for (size_t i = used; i < length; i++)
        found += bytes[i] != '\0';
    if (found <= LEFTOVER_MAX)
        return 0;
    return imgi_fail(err, IMG_E_CORRUPT, "descriptor: a NUL byte at %zu, and text behind it", used);
}

int vmdk_descriptor_parse(struct vmdk_descriptor *descriptor, const char *bytes, size_t length,
                          const struct img_policy *policy, img_error *err)
{
    size_t used = strnlen(bytes, length);
    int rc = check_padding(bytes, used, length, err);

    *descriptor = (struct vmdk_descriptor){0};
    if (rc < 0)
        return rc;
    descriptor->text = malloc(used + 1);
    if (!descriptor->text)
        return imgi_fail_nomem(err, "a descriptor");
    memcpy(descriptor->text, bytes, used);
    descriptor->text[used] = '\0';
    descriptor->length = used;
    return parse_lines(descriptor, policy, err);
}

void vmdk_descriptor_free(struct vmdk_descriptor *descriptor)
{
    free(descriptor->text);
    free(descriptor->keys);
    free(descriptor->extents);
    *descriptor = (struct vmdk_descriptor){0};
}

const struct vmdk_key *vmdk_descriptor_find(const struct vmdk_descriptor *descriptor,
                                            const char *name)
{
    size_t i = find_key(descriptor, name, strlen(name));

    return i < descriptor->key_count ? &descriptor->keys[i] : NULL;
}

int vmdk_descriptor_get(const struct vmdk_descriptor *descriptor, const char *name, char **value,
                        img_error *err)
{
    size_t i = find_key(descriptor, name, strlen(name));

    *value = NULL;
    if (i == descriptor->key_count)
        return 0;
    *value = strndup(descriptor->text + descriptor->keys[i].value.start,
                     descriptor->keys[i].value.length);
    return *value ? 0 : imgi_fail_nomem(err, "a descriptor's value");
}

int vmdk_descriptor_cid(const struct vmdk_descriptor *descriptor, const char *name,
                        uint32_t fallback, uint32_t *cid, img_error *err)
{
    size_t i = find_key(descriptor, name, strlen(name));
    const char *digits;
    size_t length;

    *cid = fallback;
    if (i == descriptor->key_count)
        return 0;
    digits = descriptor->text + descriptor->keys[i].value.start;
    length = descriptor->keys[i].value.length;
    if (length == 0 || length > 8 || strspn(digits, "0123456789abcdefABCDEF") < length)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "descriptor: %s \"%.*s\" is not one to eight hex digits", name,
                         (int)IMGI_MIN(length, SHOWN), digits);
    *cid = (uint32_t)strtoul(digits, NULL, 16);
    return 0;
}

char *vmdk_descriptor_file(const struct vmdk_descriptor *descriptor,
                           const struct vmdk_extent_line *line)
{
    return strndup(descriptor->text + line->file.start, line->file.length);
}

bool vmdk_descriptor_looks_like(const uint8_t *head, size_t length)
{
    static const char title[] = "disk descriptorfile";
    size_t at = 0;

    while (at < length) {
        const uint8_t *newline = memchr(head + at, '\n', length - at);
        size_t end = newline ? (size_t)(newline - head) : length;

        while (at < end && is_space((char)head[at]))
            at++;
        if (at < end && head[at] != '#')
            return false;
        while (at < end && (head[at] == '#' || is_space((char)head[at])))
            at++;
        if (end - at >= sizeof(title) - 1 &&
            strncasecmp((const char *)head + at, title, sizeof(title) - 1) == 0)
            return true;
        at = end + 1;
    }
    return false;
}
