/*
 * Reading a stream from a pipe. SPDX-License-Identifier: BSD-2-Clause
 *
 * There is no directory before the end of a pipe, but grains come in ascending order: where a grain
 * is, and that one is not there, is known when the next one has come. Grains that have come are
 * remembered until whoever reads says that it is past them.
 *
 * A stream in a file whose tables are lost is opened like this too, to be checked.
 *
 * What the importer finds damaged, or out of order, is where reading ends. The end is read and
 * judged too: a stream that is cut has lost grains, and nothing in front says so.
 */
#include <stdlib.h>

#include "importer.h"

struct vmdk_sequence {
    struct vmdk_importer importer;
    struct vmdk_grain *known; /* ascending */
    size_t count, room;
    uint64_t passed; /* grains before that number are gone */
    bool ended;
    img_error failure; /* the first fault; code 0: none yet */
};

static void keep_fault(void *opaque, enum vmdk_fault fault, uint64_t at, const char *what)
{
    struct vmdk_sequence *sequence = opaque;

    if (fault != VMDK_FAULT_END && sequence->failure.code == 0)
        imgi_fail(&sequence->failure, fault == VMDK_FAULT_ORDER ? IMG_E_UNSUPPORTED : IMG_E_CORRUPT,
                  "stream at 0x%llx: %s%s", (unsigned long long)at, what,
                  fault == VMDK_FAULT_ORDER ? ": it cannot be read from a pipe" : "");
}

int vmdk_sequence_begin(struct vmdk_sparse *sparse, img_error *err)
{
    struct vmdk_sequence *sequence = calloc(1, sizeof(*sequence));

    sparse->sequence = sequence;
    if (!sequence)
        return imgi_fail_nomem(err, "a stream in a pipe");
    sequence->importer = (struct vmdk_importer){.fault = keep_fault, .opaque = sequence};
    return vmdk_importer_begin(&sequence->importer, sparse->io, &sparse->header, err);
}

void vmdk_sequence_free(struct vmdk_sequence *sequence)
{
    if (!sequence)
        return;
    vmdk_importer_end(&sequence->importer);
    free(sequence->known);
    free(sequence);
}

static int remember(struct vmdk_sequence *sequence, const struct vmdk_grain *grain, img_error *err)
{
    if (sequence->count == sequence->room) {
        size_t room = 2 * sequence->room + 64;
        struct vmdk_grain *known = realloc(sequence->known, room * sizeof(*known));

        if (!known)
            return imgi_fail_nomem(err, "the grains that came");
        sequence->known = known;
        sequence->room = room;
    }
    sequence->known[sequence->count++] = *grain;
    return 0;
}

/* Go on to the next grain, or to the end. */
static int advance(struct vmdk_sequence *sequence, img_error *err)
{
    struct vmdk_grain grain;
    bool more = false;
    int rc = 0;

    if (sequence->failure.code == 0)
        rc = vmdk_importer_next(&sequence->importer, &grain, &more, err);
    if (rc < 0)
        return rc;
    if (sequence->failure.code != 0) {
        if (err)
            *err = sequence->failure;
        return sequence->failure.code;
    }
    sequence->ended = !more;
    return more ? remember(sequence, &grain, err) : 0;
}

/* The first of the known grains that is not before that number; count: there is none. */
static size_t find(const struct vmdk_sequence *sequence, uint64_t number)
{
    size_t low = 0, high = sequence->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (sequence->known[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int vmdk_sequence_map(const struct vmdk_sparse *sparse, uint64_t at, uint64_t length,
                      struct imgi_extent *run, img_error *err)
{
    struct vmdk_sequence *sequence = sparse->sequence;
    uint64_t number = at / sparse->grain;
    const struct vmdk_grain *grain;
    size_t n;
    int rc = 0;

    if (number < sequence->passed)
        return imgi_fail(
            err, IMG_E_UNSUPPORTED,
            "a stream in a pipe is read once, from front to back: guest bytes at 0x%llx "
            "have gone by",
            (unsigned long long)at);
    while (rc == 0 && !sequence->ended && sequence->importer.next <= number)
        rc = advance(sequence, err);
    if (rc < 0)
        return rc;
    run->kind = IMGI_ABSENT;
    run->length = length;
    n = find(sequence, number);
    if (n == sequence->count)
        return 0;
    grain = &sequence->known[n];
    if (grain->number > number) {
        run->length = IMGI_MIN(length, grain->number * sparse->grain - at);
        return 0;
    }
    run->kind = IMGI_PACKED;
    run->length = IMGI_MIN(length, sparse->grain - at % sparse->grain);
    run->io = sparse->io;
    run->host = grain->host;
    run->stored = (uint64_t)VMDK_GRAIN_MARKER_BYTES + grain->size;
    return 0;
}

int vmdk_sequence_pass(const struct vmdk_sparse *sparse, uint64_t at, img_error *err)
{
    struct vmdk_sequence *sequence = sparse->sequence;
    size_t gone = find(sequence, at / sparse->grain);
    int rc = 0;

    sequence->passed = IMGI_MAX(sequence->passed, at / sparse->grain);
    sequence->count -= gone;
    if (gone > 0)
        memmove(sequence->known, sequence->known + gone,
                sequence->count * sizeof(*sequence->known));
    imgi_io_pass(sparse->io, sequence->count > 0 ? sequence->known[0].host : sequence->importer.at);
    if (at < sparse->size)
        return 0;
    while (rc == 0 && !sequence->ended)
        rc = advance(sequence, err);
    return rc;
}
