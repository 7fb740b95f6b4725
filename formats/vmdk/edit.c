/*
 * Changing a descriptor without losing anything of it. SPDX-License-Identifier: BSD-2-Clause
 *
 * A piece of the text is replaced and the result parsed again: what would be no descriptor any more
 * is refused, and the old one stays.
 */
#include <stdlib.h>
#include <strings.h>

#include "descriptor.h"
#include "disk.h"

/* Text that takes the place of a span. */
struct piece {
    const char *text;
    size_t length;
};

static int splice(struct vmdk_descriptor *descriptor, struct vmdk_span old, struct piece new,
                  const struct img_policy *policy, img_error *err)
{
    size_t rest = old.start + old.length, length = descriptor->length - old.length + new.length;
    struct vmdk_descriptor parsed;
    char *text;
    int rc;

    if (length > VMDK_DESCRIPTOR_BYTES_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "the descriptor would have %zu bytes, the limit is %u",
                         length, VMDK_DESCRIPTOR_BYTES_MAX);
    text = malloc(length + 1);
    if (!text)
        return imgi_fail_nomem(err, "a descriptor");
    memcpy(text, descriptor->text, old.start);
    memcpy(text + old.start, new.text, new.length);
    memcpy(text + old.start + new.length, descriptor->text + rest, descriptor->length - rest);
    rc = vmdk_descriptor_parse(&parsed, text, length, policy, err);
    free(text);
    if (rc < 0) {
        vmdk_descriptor_free(&parsed);
        return rc;
    }
    vmdk_descriptor_free(descriptor);
    *descriptor = parsed;
    return 0;
}

/* The line around a place in the text, with its end. */
static struct vmdk_span line_around(const struct vmdk_descriptor *descriptor, size_t at)
{
    const char *text = descriptor->text, *end = strchr(text + at, '\n');
    struct vmdk_span line = {at, 0};

    while (line.start > 0 && text[line.start - 1] != '\n')
        line.start--;
    line.length = (end ? (size_t)(end + 1 - text) : descriptor->length) - line.start;
    return line;
}

/* What ends the lines around a place: that of the line in front of it, or else of its own. */
static const char *line_end(const struct vmdk_descriptor *descriptor, size_t at)
{
    const char *text = descriptor->text, *end;

    while (at > 0 && text[at - 1] != '\n')
        at--;
    end = at > 0 ? text + at - 1 : strchr(text, '\n');
    return end && end > text && end[-1] == '\r' ? "\r\n" : "\n";
}

int vmdk_descriptor_copy(struct vmdk_descriptor *copy, const struct vmdk_descriptor *descriptor,
                         const struct img_policy *policy, img_error *err)
{
    return vmdk_descriptor_parse(copy, descriptor->text, descriptor->length, policy, err);
}

int vmdk_descriptor_set(struct vmdk_descriptor *descriptor, const char *name, const char *value,
                        const struct img_policy *policy, bool *found, img_error *err)
{
    const struct vmdk_key *key = vmdk_descriptor_find(descriptor, name);

    *found = key != NULL;
    if (!key)
        return 0;
    return splice(descriptor, key->value, (struct piece){value, strlen(value)}, policy, err);
}

/* Keys of the disk database have spaces around their '=', as every writer has it. */
static void add_key(struct imgi_text *text, const char *name, const char *value, const char *end)
{
    if (strncasecmp(name, "ddb.", 4) == 0)
        imgi_text_add(text, "%s = \"%s\"%s", name, value, end);
    else if (strcasecmp(name, "CID") == 0 || strcasecmp(name, "parentCID") == 0)
        imgi_text_add(text, "%s=%s%s", name, value, end);
    else
        imgi_text_add(text, "%s=\"%s\"%s", name, value, end);
}

int vmdk_descriptor_put(struct vmdk_descriptor *descriptor, const char *name, const char *value,
                        const char *after, const struct img_policy *policy, img_error *err)
{
    const struct vmdk_key *before = after ? vmdk_descriptor_find(descriptor, after) : NULL;
    struct vmdk_span place = {descriptor->length, 0};
    const char *end;
    struct imgi_text text = {0};
    bool found;
    int rc = vmdk_descriptor_set(descriptor, name, value, policy, &found, err);

    if (rc < 0 || found)
        return rc;
    if (before) {
        place = line_around(descriptor, before->name.start);
        place = (struct vmdk_span){place.start + place.length, 0};
    }
    end = line_end(descriptor, place.start);
    if (place.start > 0 && descriptor->text[place.start - 1] != '\n')
        imgi_text_add(&text, "%s", end);
    add_key(&text, name, value, end);
    if (text.failed)
        rc = imgi_fail_nomem(err, "a descriptor");
    else
        rc = splice(descriptor, place, (struct piece){text.bytes, text.length}, policy, err);
    free(text.bytes);
    return rc;
}

int vmdk_descriptor_remove(struct vmdk_descriptor *descriptor, const char *name,
                           const struct img_policy *policy, img_error *err)
{
    const struct vmdk_key *key = vmdk_descriptor_find(descriptor, name);

    if (!key)
        return 0;
    return splice(descriptor, line_around(descriptor, key->name.start), (struct piece){"", 0},
                  policy, err);
}

/* Lines, each with its line end, which becomes another. */
static void add_lines(struct imgi_text *text, const char *lines, const char *end)
{
    for (size_t length; *lines; lines += length + 1) {
        length = strcspn(lines, "\n");
        imgi_text_add(text, "%.*s%s", (int)length, lines, end);
    }
}

/* What is behind the line of extent `last`, without the extents' lines. *end: where that ends. */
static void add_between(struct imgi_text *text, const struct vmdk_descriptor *descriptor,
                        size_t last, size_t *end)
{
    for (size_t i = last + 1; i < descriptor->extent_count; i++) {
        struct vmdk_span line = line_around(descriptor, descriptor->extents[i].number.start);

        imgi_text_add(text, "%.*s", (int)(line.start - *end), descriptor->text + *end);
        *end = line.start + line.length;
    }
}

int vmdk_descriptor_extents(struct vmdk_descriptor *descriptor, size_t last, uint64_t sectors,
                            const char *more, const struct img_policy *policy, img_error *err)
{
    struct vmdk_span old = descriptor->extents[last].number;
    struct vmdk_span line = line_around(descriptor, old.start);
    size_t rest = old.start + old.length, end = line.start + line.length;
    const char *eol = line_end(descriptor, old.start);
    struct imgi_text text = {0};
    int rc;

    imgi_text_add(&text, "%llu%.*s", (unsigned long long)sectors, (int)(end - rest),
                  descriptor->text + rest);
    if (text.length > 0 && text.bytes[text.length - 1] != '\n')
        imgi_text_add(&text, "%s", eol);
    add_lines(&text, more, eol);
    add_between(&text, descriptor, last, &end);
    old.length = end - old.start;
    if (text.failed)
        rc = imgi_fail_nomem(err, "a descriptor");
    else
        rc = splice(descriptor, old, (struct piece){text.bytes, text.length}, policy, err);
    free(text.bytes);
    return rc;
}
