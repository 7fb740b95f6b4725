/*
 * Moving blocks to other places in the file. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>

#include "vdi.h"

/* A block is copied by so many bytes. */
#define STEP (1u << 20)

int vdi_move_block(struct imgi_node *node, uint32_t block, uint32_t place, img_error *err)
{
    struct vdi_state *state = vdi_state(node);
    size_t size = state->header.block_size, step = IMGI_MIN(size, STEP);
    uint64_t from = vdi_host(state, vdi_entry(state, block)), to = vdi_host(state, place);
    uint8_t *buffer = malloc(step);
    int rc = buffer ? 0 : imgi_fail_nomem(err, "a block");

    for (size_t done = 0; rc == 0 && done < size; done += step) {
        rc = imgi_io_read(node->file, buffer, step, from + done, err);
        if (rc == 0)
            rc = imgi_io_write(node->file, buffer, step, to + done, err);
    }
    free(buffer);
    if (rc < 0)
        return rc;
    if (place < state->places)
        vdi_bit_set(state->used, place);
    state->next = IMGI_MAX(state->next, place + 1);
    state->header.blocks_allocated = IMGI_MAX(state->header.blocks_allocated, place + 1);
    vdi_entry_set(state, block, place);
    return 0;
}
