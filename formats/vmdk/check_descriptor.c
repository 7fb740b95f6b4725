/*
 * Does the descriptor tell the truth? SPDX-License-Identifier: BSD-2-Clause
 *
 * What readers need was judged when the image was opened. Here is what makes other programs, or
 * the image's parent and children, stumble; and remarks about what nobody is hurt by.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"

static void remark(struct imgi_checker *checker, const struct imgi_node *node, const char *text,
                   const char *value)
{
    imgi_found(checker, IMGI_FINDING_REPAIRED, "Remark on %s: %s \"%.60s\"", node->name, text,
               value);
}

static void corrupt(struct imgi_checker *checker, const struct imgi_node *node, const char *text)
{
    imgi_found(checker, IMGI_FINDING_CORRUPTION, "ERROR %s: descriptor: %s", node->name, text);
}

/* One that can be repaired; whether it is to be. */
static bool IMG_PRINTF(3, 4)
    found(struct imgi_checker *checker, const struct imgi_node *node, const char *format, ...)
{
    bool mend = checker->repair == IMGI_REPAIR_ALL;
    char text[160];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    imgi_found(checker, IMGI_FINDING_CORRUPTION, "%s %s: descriptor: %s",
               mend ? "Repairing" : "ERROR", node->name, text);
    return mend;
}

/* ------------------------------------------------------------------ identifiers */

/* A CID of all ones cannot be told from "no parent" in a child. */
static int check_cid(struct imgi_node *node, struct imgi_checker *checker, img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    char *cid = NULL;
    int rc = vmdk_descriptor_get(&state->descriptor, "CID", &cid, err);

    if (rc < 0)
        return rc;
    if (!cid)
        corrupt(checker, node, "no CID: children cannot know it as their parent");
    else if (state->cid == VMDK_CID_NONE &&
             found(checker, node, "the CID, \"%.60s\", is not one that an image can have", cid))
        rc = vmdk_begin_write(node, err);
    free(cid);
    return rc;
}

/* The parent has been changed, or is another one. Nobody but the user knows which. */
static void check_parent(struct imgi_node *node, struct imgi_checker *checker)
{
    img_error why;

    if (vmdk_judge_parent(node, &why) < 0)
        imgi_found(checker, IMGI_FINDING_CORRUPTION, "ERROR %s: %s", node->name, why.message);
}

/* It ends with the CID, where programs keep it at all. */
static int check_long_id(const struct imgi_node *node, struct imgi_checker *checker, img_error *err)
{
    const struct vmdk_state *state = vmdk_state(node);
    char digits[9], *id = NULL;
    int rc = vmdk_descriptor_get(&state->descriptor, "ddb.longContentID", &id, err);
    size_t length = id ? strlen(id) : 0;

    for (unsigned i = 0; i < 8; i++)
        digits[i] = "0123456789abcdef"[state->cid >> (28 - 4 * i) & 15];
    digits[8] = '\0';
    if (id && (length != 32 || strcmp(id + length - 8, digits) != 0))
        remark(checker, node, "ddb.longContentID does not end with the CID:", id);
    free(id);
    return rc;
}

/* --------------------------------------------------------------------- geometry */

static int check_number(const struct imgi_node *node, struct imgi_checker *checker,
                        const char *name, unsigned long most, img_error *err)
{
    char *value = NULL, *end;
    int rc = vmdk_descriptor_get(&vmdk_state(node)->descriptor, name, &value, err);
    unsigned long number;

    if (rc < 0 || !value)
        return rc;
    number = strtoul(value, &end, 10);
    if (!*value || *end || number == 0 || number > most)
        remark(checker, node, name, value);
    free(value);
    return 0;
}

/* Tiny disks have no whole cylinder by QEMU's rule. */
static int check_geometry(const struct imgi_node *node, struct imgi_checker *checker,
                          img_error *err)
{
    int rc = check_number(node, checker, "ddb.geometry.heads", 255, err);

    if (rc == 0)
        rc = check_number(node, checker, "ddb.geometry.sectors", 63, err);
    return rc;
}

/* ------------------------------------------------------------------------ extents */

/* The type that has just such an extent, as readers that go by it expect. */
static const char *type_of(const struct vmdk_state *state)
{
    const struct vmdk_extent *first = &state->extents[0];

    if (state->extent_count != 1)
        return "custom";
    if (first->sparse && vmdk_is_stream(&first->sparse->header))
        return "streamOptimized";
    switch (first->type) {
    case VMDK_TYPE_SPARSE:
        return first->name ? "twoGbMaxExtentSparse" : "monolithicSparse";
    case VMDK_TYPE_FLAT:
        return "monolithicFlat";
    case VMDK_TYPE_VMFS:
        return "vmfs";
    case VMDK_TYPE_VMFSSPARSE:
        return "vmfsSparse";
    default:
        return "custom";
    }
}

static int check_type(struct imgi_node *node, struct imgi_checker *checker, img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    struct vmdk_descriptor text;
    int rc;

    if (!state->typeless || !found(checker, node, "no createType"))
        return 0;
    rc = vmdk_descriptor_copy(&text, &state->descriptor, node->policy, err);
    if (rc == 0)
        rc = vmdk_descriptor_put(&text, "createType", type_of(state), "parentCID", node->policy,
                                 err);
    if (rc == 0)
        rc = vmdk_descriptor_update(node, &text, err);
    vmdk_descriptor_free(&text);
    state->typeless = rc < 0;
    return rc;
}

/* The disk has as much as the header says: that is what tables were made for. */
static int mend_size(struct imgi_node *node, uint64_t capacity, img_error *err)
{
    struct vmdk_descriptor text;
    int rc = vmdk_descriptor_copy(&text, &vmdk_state(node)->descriptor, node->policy, err);

    if (rc == 0)
        rc = vmdk_descriptor_extents(&text, 0, capacity, "", node->policy, err);
    if (rc == 0)
        rc = vmdk_descriptor_update(node, &text, err);
    vmdk_descriptor_free(&text);
    return rc;
}

/* A line must not promise another size than the header of its file. */
static int check_sizes(struct imgi_node *node, struct imgi_checker *checker, img_error *err)
{
    const struct vmdk_state *state = vmdk_state(node);

    for (size_t i = 0; i < state->extent_count && i < state->descriptor.extent_count; i++) {
        const struct vmdk_extent_line *line = &state->descriptor.extents[i];
        const struct vmdk_sparse *sparse = state->extents[i].sparse;

        if (!sparse || vmdk_sizes_agree(line, &sparse->header))
            continue;
        if (state->extents[i].name)
            imgi_found(checker, IMGI_FINDING_REPAIRED,
                       "Remark on %s: line %u has %llu sectors, the header of %s %llu", node->name,
                       line->line, (unsigned long long)line->sectors, sparse->io->name,
                       (unsigned long long)sparse->header.capacity);
        else if (found(checker, node, "line %u has %llu sectors, the header %llu", line->line,
                       (unsigned long long)line->sectors,
                       (unsigned long long)sparse->header.capacity))
            return mend_size(node, sparse->header.capacity, err);
    }
    return 0;
}

int vmdk_check_descriptor(struct imgi_node *node, struct imgi_checker *checker, img_error *err)
{
    int rc = check_type(node, checker, err);

    if (rc == 0)
        rc = check_cid(node, checker, err);
    check_parent(node, checker);
    if (rc == 0)
        rc = check_sizes(node, checker, err);
    if (rc == 0)
        rc = check_long_id(node, checker, err);
    return rc < 0 ? rc : check_geometry(node, checker, err);
}
