/*
 * The content identifier (CID), by which a child knows its parent.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * It changes when an image that was opened for writing is first written to ("Virtual Disk Format
 * 5.0", section "The Header"), so that a child whose parent was changed behind its back is noticed.
 */
#include <stdlib.h>
#include <sys/random.h>

#include "vmdk.h"

/* Put the text back where it came from. */
static int write_descriptor(struct imgi_node *node, img_error *err)
{
    const struct vmdk_state *state = vmdk_state(node);
    const struct vmdk_descriptor *descriptor = &state->descriptor;
    uint64_t room = state->descriptor_room;
    int rc;

    if (room != 0 && descriptor->length > room)
        return imgi_fail(err, IMG_E_NOSPACE, "the descriptor has %zu bytes, and room for %llu",
                         descriptor->length, (unsigned long long)room);
    rc = imgi_io_write(node->file, descriptor->text, descriptor->length, state->descriptor_offset,
                       err);
    if (rc == 0 && room == 0)
        rc = imgi_io_resize(node->file, descriptor->length, IMGI_PREALLOC_OFF, err);
    else if (rc == 0 && room > descriptor->length)
        rc = imgi_io_zero(node->file, state->descriptor_offset + descriptor->length,
                          room - descriptor->length, false, err);
    return rc;
}

/* longContentID, where there is one, ends with the CID. */
static int set_long_id(struct vmdk_state *state, const char *cid, const struct img_policy *policy,
                       img_error *err)
{
    bool found;
    char *id;
    size_t length;
    int rc = vmdk_descriptor_get(&state->descriptor, "ddb.longContentID", &id, err);

    if (rc < 0 || !id)
        return rc;
    length = strlen(id);
    if (length >= 8) {
        memcpy(id + length - 8, cid, 8);
        rc = vmdk_descriptor_set(&state->descriptor, "ddb.longContentID", id, policy, &found, err);
    }
    free(id);
    return rc;
}

/* A number that children made so far cannot know; SOURCE_DATE_EPOCH makes it repeatable. */
static uint32_t new_cid(uint32_t old)
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    uint64_t number = 0;
    uint32_t cid;

    if (epoch)
        number = strtoull(epoch, NULL, 10);
    else if (getrandom(&number, sizeof(number), GRND_NONBLOCK) < 0)
        number = 0;
    number += old;
    do {
        number = vmdk_scramble(number);
        cid = (uint32_t)number;
    } while (cid == old || cid >= VMDK_CID_FRESH);
    return cid;
}

int vmdk_begin_write(struct imgi_node *node, img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    uint32_t cid = new_cid(state->cid);
    char digits[9];
    bool found;
    int rc;

    for (unsigned i = 0; i < 8; i++)
        digits[i] = "0123456789abcdef"[cid >> (28 - 4 * i) & 15];
    digits[8] = '\0';
    rc = vmdk_descriptor_set(&state->descriptor, "CID", digits, node->policy, &found, err);
    if (rc == 0 && found)
        rc = set_long_id(state, digits, node->policy, err);
    if (rc == 0 && found)
        rc = write_descriptor(node, err);
    if (rc == 0 && found)
        state->cid = cid;
    return rc;
}
