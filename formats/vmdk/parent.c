/*
 * Delta links: which image another one stands on. SPDX-License-Identifier: BSD-2-Clause
 *
 * A child names its parent by file (parentFileNameHint) and content (parentCID). A commit changes
 * the content of the parent, and so its CID, in one file and what the child expects in another.
 * Between the two the child names both CIDs: ddb.nextParentCID is what the parent's is about to be.
 * It is written before the parent gets it and gone when the commit has ended.
 */
#include <stdlib.h>

#include "vmdk.h"

#define NEXT "ddb.nextParentCID"

int vmdk_find_parent(struct imgi_node *node, img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    int rc =
        vmdk_descriptor_cid(&state->descriptor, NEXT, VMDK_CID_NONE, &state->next_parent_cid, err);

    if (rc < 0 || state->parent_cid == VMDK_CID_NONE)
        return rc;
    rc = vmdk_descriptor_get(&state->descriptor, "parentFileNameHint", &node->backing_name, err);
    if (rc == 0 && (!node->backing_name || !*node->backing_name))
        rc = imgi_fail(err, IMG_E_CORRUPT,
                       "descriptor: parentCID is %08x, but no parentFileNameHint names the parent",
                       state->parent_cid);
    if (rc < 0)
        return rc;
    node->backing_format = strdup("vmdk");
    return node->backing_format ? 0 : imgi_fail_nomem(err, "a parent's format");
}

int vmdk_judge_parent(struct imgi_node *node, img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    const struct imgi_node *parent = node->backing;
    uint32_t cid;

    if (state->parent_judged || !parent)
        return 0;
    if (parent->driver != node->driver)
        return imgi_fail(err, IMG_E_CORRUPT, "the parent %s is no VMDK image but %s", parent->name,
                         parent->driver->name);
    cid = vmdk_state(parent)->cid;
    if (cid == VMDK_CID_NONE || (cid != state->parent_cid && cid != state->next_parent_cid))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "the parent %s was changed after this image was made: its CID is %08x, "
                         "parentCID is %08x. If it is the right parent all the same, img rebase -u "
                         "-F vmdk -b '%s' '%s' accepts it",
                         parent->name, cid, state->parent_cid, node->backing_name, node->name);
    state->parent_judged = true;
    return 0;
}

int vmdk_check_parent_name(const char *name, img_error *err)
{
    if (!strpbrk(name, "\"\r\n"))
        return 0;
    return imgi_fail(err, IMG_E_INVAL,
                     "a descriptor cannot hold a name with quotes or line ends: %s", name);
}

/* ---------------------------------------------------------------------- rebase */

static int check_link(const struct vmdk_state *state, const char *name, const char *format,
                      const struct imgi_node *backing, img_error *err)
{
    if (!state->extents[0].sparse)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "Flat image can't have backing file");
    if (strcmp(format, "vmdk") != 0)
        return imgi_fail(err, IMG_E_INVAL, "backing_file must be a vmdk image");
    if (!backing)
        return imgi_fail(err, IMG_E_INVAL,
                         "the parent of a VMDK image must be opened: its CID is needed");
    return vmdk_check_parent_name(name, err);
}

/* The keys of a link; no name: of an image that stands alone. */
static int put_link(struct vmdk_descriptor *text, const char *name, uint32_t cid,
                    const struct img_policy *policy, img_error *err)
{
    char digits[9];
    int rc;

    vmdk_cid_digits(cid, digits);
    rc = vmdk_descriptor_put(text, "parentCID", digits, "CID", policy, err);
    if (rc == 0 && name)
        rc = vmdk_descriptor_put(text, "parentFileNameHint", name, "createType", policy, err);
    else if (rc == 0)
        rc = vmdk_descriptor_remove(text, "parentFileNameHint", policy, err);
    return rc < 0 ? rc : vmdk_descriptor_remove(text, NEXT, policy, err);
}

/* What was written over the old parent is on disk before the new one shows through. */
static int settle(struct imgi_node *node, img_error *err)
{
    int rc = vmdk_flush(node, err);

    for (size_t i = 0; rc == 0 && i < vmdk_state(node)->extent_count; i++) {
        if (vmdk_state(node)->extents[i].io)
            rc = imgi_io_flush(vmdk_state(node)->extents[i].io, err);
    }
    return rc;
}

int vmdk_set_backing(struct imgi_node *node, const char *name, const char *format,
                     const struct imgi_node *backing, img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    struct vmdk_descriptor text;
    uint32_t cid = VMDK_CID_NONE;
    int rc = name ? check_link(state, name, format, backing, err) : 0;

    if (rc == 0)
        rc = settle(node, err);
    if (rc < 0)
        return rc;
    if (name)
        cid = vmdk_state(backing)->cid;
    rc = vmdk_descriptor_copy(&text, &state->descriptor, node->policy, err);
    if (rc == 0)
        rc = put_link(&text, name, cid, node->policy, err);
    if (rc == 0)
        rc = vmdk_descriptor_update(node, &text, err);
    vmdk_descriptor_free(&text);
    if (rc < 0)
        return rc;
    state->parent_cid = cid;
    state->next_parent_cid = VMDK_CID_NONE;
    state->parent_judged = false;
    return 0;
}

/* ---------------------------------------------------------------------- commit */

int vmdk_commit_begin(struct imgi_node *node, struct imgi_node *base, img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    uint32_t cid = vmdk_new_cid(vmdk_state(base)->cid);
    struct vmdk_descriptor text;
    char digits[9];
    int rc = vmdk_judge_parent(node, err);

    if (rc < 0)
        return rc;
    vmdk_cid_digits(cid, digits);
    rc = vmdk_descriptor_copy(&text, &state->descriptor, node->policy, err);
    /* Should an earlier commit have been stopped: what the parent has now is the one to know. */
    if (rc == 0)
        rc = put_link(&text, node->backing_name, vmdk_state(base)->cid, node->policy, err);
    if (rc == 0)
        rc = vmdk_descriptor_put(&text, NEXT, digits, NULL, node->policy, err);
    if (rc == 0)
        rc = vmdk_descriptor_update(node, &text, err);
    vmdk_descriptor_free(&text);
    if (rc < 0)
        return rc;
    state->parent_cid = vmdk_state(base)->cid;
    state->next_parent_cid = cid;
    return vmdk_begin_write_as(base, cid, err);
}

int vmdk_commit_end(struct imgi_node *node, struct imgi_node *base, img_error *err)
{
    const struct vmdk_state *below = vmdk_state(base);

    /* The new CID failed to be written, and may be there all the same: the child knows both. */
    if (below->cid != vmdk_state(node)->next_parent_cid &&
        vmdk_descriptor_find(&below->descriptor, "CID"))
        return 0;
    return vmdk_set_backing(node, node->backing_name, "vmdk", base, err);
}
