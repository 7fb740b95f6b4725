/*
 * Stopping a disk at every place of its log (cut.h). SPDX-License-Identifier: BSD-2-Clause
 */
#include "cut.h"
#include "judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SECTOR 512u
/* More changes than this between two flushes are not left out one by one. */
#define SINGLES 24u
#define FAILURES_SAID 20u

enum fate { LOST, KEPT, TORN };

struct cut {
    const struct cut_plan *plan;
    struct cut_result *result;
    struct imgi_io *solid[DISK_FILES]; /* what is flushed */
    size_t *pending;                   /* entries that are not, in order */
    enum fate *fates;                  /* of each of them */
    size_t count;
    uint64_t random;
};

uint64_t cut_random(uint64_t *state, uint64_t limit)
{
    /* xorshift64* */
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (*state * UINT64_C(0x2545f4914f6cdd1d) >> 16) % limit;
}

static void replay(const struct imgi_log_entry *entry, struct imgi_io *io)
{
    img_error err;

    if (imgi_log_replay(entry, io, &err) < 0)
        give_up("replay", err.message);
}

/* Some sectors of a write. */
static void replay_torn(struct cut *cut, const struct imgi_log_entry *entry, struct imgi_io *io)
{
    uint64_t end = entry->offset + entry->length, step;

    for (uint64_t at = entry->offset; at < end; at += step) {
        struct imgi_log_entry piece = *entry;

        step = SECTOR - at % SECTOR < end - at ? SECTOR - at % SECTOR : end - at;
        piece.offset = at;
        piece.length = step;
        piece.bytes = entry->bytes + (at - entry->offset);
        if (cut_random(&cut->random, 2))
            replay(&piece, io);
    }
}

/* A disk with what is left of every file. */
static void make_disk(struct cut *cut, struct disk *left)
{
    const struct disk *disk = cut->plan->disk;
    const struct imgi_log_entry *entries = imgi_log_entries(disk->log);

    disk_init(left);
    for (unsigned n = 0; n < disk->count; n++) {
        size_t size;
        const uint8_t *bytes = imgi_mem_bytes(cut->solid[n], &size);
        struct imgi_io *io = disk_memory(bytes, size);

        for (size_t i = 0; i < cut->count; i++) {
            const struct imgi_log_entry *entry = &entries[cut->pending[i]];

            if (entry->file != n || cut->fates[i] == LOST)
                continue;
            if (cut->fates[i] == TORN && entry->kind == IMGI_LOG_WRITE)
                replay_torn(cut, entry, io);
            else
                replay(entry, io);
        }
        bytes = imgi_mem_bytes(io, &size);
        disk_add(left, disk->files[n].name, bytes, size);
        imgi_io_close(io);
    }
}

static void try_state(struct cut *cut, size_t log)
{
    static const char letters[] = "-+~";
    struct disk left;
    char text[1024];
    const char *complaint;

    make_disk(cut, &left);
    disk_attach(&left);
    complaint = cut->plan->judge(cut->plan->opaque, log, text, sizeof(text));
    disk_attach(NULL);
    disk_clear(&left);
    cut->result->states++;
    if (!complaint || cut->result->failed++ >= FAILURES_SAID)
        return;
    printf("not ok - stopped before entry %zu: %s; unflushed changes (- lost, + kept, ~ torn):",
           log, complaint);
    for (size_t i = 0; i < cut->count; i++)
        printf(" %zu%c", cut->pending[i], letters[cut->fates[i]]);
    putchar('\n');
}

static void set_all(struct cut *cut, enum fate fate)
{
    for (size_t i = 0; i < cut->count; i++)
        cut->fates[i] = fate;
}

static void try_choice(struct cut *cut, size_t log)
{
    static const enum fate fates[] = {LOST, LOST, KEPT, KEPT, KEPT, TORN};

    for (size_t i = 0; i < cut->count; i++)
        cut->fates[i] = fates[cut_random(&cut->random, 6)];
    try_state(cut, log);
}

/* All that may be left when the next thing is a flush. */
static void try_many(struct cut *cut, size_t log)
{
    set_all(cut, LOST);
    try_state(cut, log);
    for (size_t i = 0; i < cut->count && cut->count <= SINGLES; i++) {
        set_all(cut, KEPT);
        cut->fates[i] = LOST;
        try_state(cut, log);
        set_all(cut, LOST);
        cut->fates[i] = KEPT;
        try_state(cut, log);
    }
    for (unsigned i = 0; i < cut->plan->choices && cut->count > 1; i++)
        try_choice(cut, log);
}

/* A file has been flushed: what was done to it is no longer in question. */
static void make_solid(struct cut *cut, const struct imgi_log_entry *entries, unsigned file)
{
    size_t left = 0;

    for (size_t i = 0; i < cut->count; i++) {
        if (entries[cut->pending[i]].file == file)
            replay(&entries[cut->pending[i]], cut->solid[file]);
        else
            cut->pending[left++] = cut->pending[i];
    }
    cut->count = left;
}

static void try_entries(struct cut *cut)
{
    const struct imgi_log_entry *entries = imgi_log_entries(cut->plan->disk->log);
    size_t count = imgi_log_count(cut->plan->disk->log);

    for (size_t log = 0; log <= count; log++) {
        set_all(cut, KEPT);
        try_state(cut, log);
        if (log == count || entries[log].kind == IMGI_LOG_FLUSH)
            try_many(cut, log);
        else if (cut->count > 1)
            try_choice(cut, log);
        if (log < count && entries[log].kind == IMGI_LOG_FLUSH)
            make_solid(cut, entries, entries[log].file);
        else if (log < count)
            cut->pending[cut->count++] = log;
    }
}

void cut_everywhere(const struct cut_plan *plan, struct cut_result *result)
{
    const struct disk *disk = plan->disk;
    size_t count = imgi_log_count(disk->log) + 1;
    struct cut cut = {.plan = plan, .result = result, .random = plan->seed * 2 + 1};

    cut.pending = calloc(count, sizeof(*cut.pending));
    cut.fates = calloc(count, sizeof(*cut.fates));
    if (!cut.pending || !cut.fates)
        give_up("cut", "no memory");
    for (unsigned n = 0; n < disk->count; n++)
        cut.solid[n] = disk_memory(disk->files[n].bytes, disk->files[n].size);
    try_entries(&cut);
    for (unsigned n = 0; n < disk->count; n++)
        imgi_io_close(cut.solid[n]);
    free(cut.pending);
    free(cut.fates);
}

int cut_main(int argc, char **argv, size_t cases, unsigned seeds, cut_case_fn *fn)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    char directory[] = "/tmp/img-crash.XXXXXX";
    struct cut_result result = {0, 0};

    judge_begin();
    if (!mkdtemp(directory) || chdir(directory) < 0)
        return 99;
    for (size_t i = 0; i < cases; i++)
        for (unsigned n = 0; n < seeds; n++)
            fn(i, seed + n, &result);
    if (chdir("/") == 0)
        rmdir(directory);
    judge_end();
    printf("%zu states, %zu failed\n", result.states, result.failed);
    return result.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
