/*
 * Creating, applying, deleting and reading snapshots. SPDX-License-Identifier: BSD-2-Clause
 *
 * qcow2 specification, section "Snapshots". Each operation says what the image is to be, an L1
 * table, a disk size and a list of snapshots, and which references come and go; snapshot.h tells
 * how that becomes the image.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "snapshot.h"

/* What QEMU gives names as much room as; it cuts longer ones off. */
#define NAME_MAX_BYTES 255

/* ---------------------------------------------------------------------------- finding */

static bool matches(const struct qcow2_snapshot *snapshot, const char *id, const char *name)
{
    return (!id || strcmp(snapshot->id, id) == 0) && (!name || strcmp(snapshot->name, name) == 0);
}

static int find(const struct qcow2_snapshots *snapshots, const char *id, const char *name,
                size_t *found, img_error *err)
{
    for (size_t i = 0; i < snapshots->count; i++) {
        if (!matches(&snapshots->list[i], id, name))
            continue;
        *found = i;
        return 0;
    }
    return imgi_fail(err, IMG_E_NOENT, "Can't find snapshot");
}

static int load_and_find(struct qcow2 *q, struct qcow2_snapshots *snapshots, const char *id,
                         const char *name, size_t *found, img_error *err)
{
    int rc = qcow2_snapshots_load(q, snapshots, err);

    if (rc < 0)
        return rc;
    rc = find(snapshots, id, name, found, err);
    if (rc < 0)
        qcow2_snapshots_free(snapshots);
    return rc;
}

int qcow2_snapshot_check(struct qcow2 *q, const struct qcow2_snapshot *snapshot, img_error *err)
{
    struct imgi_table l1 = {.what = "a snapshot's L1 table",
                            .offset = snapshot->l1_offset,
                            .entries = snapshot->l1_entries,
                            .entry_size = QCOW2_ENTRY_BYTES,
                            .alignment = q->cluster_size};
    int rc = imgi_io_size(q->node->file, &l1.file_size, err);

    if (rc == 0 && snapshot->l1_entries > QCOW2_L1_BYTES_MAX / QCOW2_ENTRY_BYTES)
        rc = imgi_fail(err, IMG_E_LIMIT, "Snapshot L1 table too large: %" PRIu32 " entries",
                       snapshot->l1_entries);
    if (rc == 0)
        rc = imgi_policy_table(q->node->policy, &l1, err);
    if (rc < 0)
        imgi_error_prefix(err, "snapshot '%s'", snapshot->id);
    return rc;
}

static int load_l1(struct qcow2 *q, const struct qcow2_snapshot *snapshot,
                   struct qcow2_table *table, img_error *err)
{
    int rc = qcow2_snapshot_check(q, snapshot, err);

    return rc < 0 ? rc
                  : qcow2_table_load(table, "a snapshot's L1 table", q->node, snapshot->l1_offset,
                                     snapshot->l1_entries, err);
}

/* ------------------------------------------------------------------------- a change */

/* What every operation begins with: nothing is in memory only, refcounts neither. */
static int prepare(struct qcow2 *q, img_error *err)
{
    int rc = qcow2_writable(q, err);

    if (rc < 0)
        return rc;
    return q->lazy ? qcow2_refcounts_settle(q, err) : qcow2_flush(q->node, err);
}

/* A table in memory of `count` entries or more, which begins as the other one. */
static int copy_l1(struct qcow2_table *to, const struct qcow2_table *from, uint64_t count,
                   img_error *err)
{
    int rc = qcow2_table_new(to, from->offset, IMGI_MAX(count, from->count), err);

    if (rc == 0 && from->count > 0)
        memcpy(to->entries, from->entries, (size_t)from->count * sizeof(*to->entries));
    return rc;
}

/* The references have been counted: judge them, find room, write, switch. */
static int carry_out(struct qcow2_change *change, img_error *err)
{
    int rc = qcow2_change_drop_old(change, err);

    if (rc == 0)
        rc = qcow2_change_choose(change, err);
    if (rc == 0)
        rc = qcow2_change_verify(change, err);
    if (rc == 0)
        rc = qcow2_change_place(change, err);
    if (rc == 0)
        rc = qcow2_change_write(change, err);
    if (rc < 0)
        qcow2_change_unplace(change);
    return rc;
}

/* --------------------------------------------------------------------------- create */

/* The lowest number that none of them begins with. */
static int lowest_free(const struct qcow2_snapshots *snapshots, unsigned long *number,
                       img_error *err)
{
    bool *taken = calloc(snapshots->count + 2, sizeof(*taken));

    if (!taken)
        return imgi_fail_nomem(err, "a snapshot");
    for (size_t i = 0; i < snapshots->count; i++) {
        unsigned long id = strtoul(snapshots->list[i].id, NULL, 10);

        if (id <= snapshots->count)
            taken[id] = true;
    }
    for (*number = 1; taken[*number];)
        ++*number;
    free(taken);
    return 0;
}

/* Ids are decimal numbers; the next one is the highest and one, as long as there is such a one. */
static int next_id(const struct qcow2_snapshots *snapshots, char **id, uint16_t *length,
                   img_error *err)
{
    unsigned long highest = 0;
    char text[32];
    int printed, rc = 0;

    for (size_t i = 0; i < snapshots->count; i++)
        highest = IMGI_MAX(highest, strtoul(snapshots->list[i].id, NULL, 10));
    if (highest == ULONG_MAX)
        rc = lowest_free(snapshots, &highest, err);
    else
        highest++;
    if (rc < 0)
        return rc;
    printed = snprintf(text, sizeof(text), "%lu", highest);
    *length = (uint16_t)printed;
    *id = strdup(text);
    return *id ? 0 : imgi_fail_nomem(err, "a snapshot");
}

/* The disk as it is, as a record at the end of the list, which has room for it. */
static int append_record(struct qcow2 *q, struct qcow2_snapshots *snapshots,
                         const img_snapshot *asked, img_error *err)
{
    struct qcow2_snapshot *record = &snapshots->list[snapshots->count];
    size_t name_length = strlen(asked->name);
    int rc;

    if (name_length > NAME_MAX_BYTES)
        return imgi_fail(err, IMG_E_INVAL, "a snapshot's name has %u bytes at most",
                         NAME_MAX_BYTES);
    *record = (struct qcow2_snapshot){
        .l1_offset = q->l1.offset,
        .l1_entries = (uint32_t)q->l1.count,
        .seconds = (uint32_t)asked->date_sec,
        .nanoseconds = asked->date_nsec,
        .clock = asked->vm_clock,
        .disk_size = q->header.size,
        .icount = asked->icount,
        .name_length = (uint16_t)name_length,
    };
    rc = next_id(snapshots, &record->id, &record->id_length, err);
    snapshots->count++;
    record->name = strdup(asked->name);
    return rc < 0 || record->name ? rc : imgi_fail_nomem(err, "a snapshot");
}

static int create(struct qcow2 *q, struct qcow2_snapshots *snapshots, img_error *err)
{
    struct qcow2_change change = {
        .q = q, .size = q->header.size, .snapshots = snapshots, .l1_given = true};
    int rc = copy_l1(&change.l1, &q->l1, 0, err);

    if (rc == 0)
        rc = qcow2_change_begin(&change, err);
    if (rc == 0)
        rc = qcow2_change_tree(&change, &change.gained, &q->l1, err);
    if (rc == 0)
        rc = carry_out(&change, err);
    qcow2_change_end(&change);
    return rc;
}

int qcow2_snapshot_create(struct imgi_node *node, const img_snapshot *snapshot, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    struct qcow2_snapshots snapshots = {0};
    struct qcow2_snapshot *list;
    int rc = prepare(q, err);

    if (rc == 0 && q->header.incompatible & QCOW2_INCOMPAT_DATA_FILE)
        rc = imgi_fail(err, IMG_E_UNSUPPORTED,
                       "an image with an external data file cannot have internal snapshots");
    if (rc == 0 && q->header.snapshots >= QCOW2_SNAPSHOTS_MAX)
        rc = imgi_fail(err, IMG_E_LIMIT, "the image has %u snapshots, which is the limit",
                       QCOW2_SNAPSHOTS_MAX);
    if (rc == 0)
        rc = qcow2_snapshots_load(q, &snapshots, err);
    if (rc < 0)
        return rc;
    list = realloc(snapshots.list, (snapshots.count + 1) * sizeof(*list));
    if (list)
        snapshots.list = list;
    rc = list ? append_record(q, &snapshots, snapshot, err) : imgi_fail_nomem(err, "a snapshot");
    if (rc == 0)
        rc = create(q, &snapshots, err);
    qcow2_snapshots_free(&snapshots);
    return rc;
}

/* ---------------------------------------------------------------------------- apply */

/*
 * A snapshot's bitmaps are not kept, and those of the disk would have to be told what changes: as
 * QEMU does, an image that has some stays as it is.
 */
static int refuse_bitmaps(const struct qcow2 *q, img_error *err)
{
    struct qcow2_bitmaps bitmaps;

    if (q->header.autoclear & QCOW2_AUTOCLEAR_BITMAPS && qcow2_bitmaps_find(&q->header, &bitmaps))
        return imgi_fail(err, IMG_E_BUSY, "Device has active dirty bitmaps");
    return 0;
}

static int check_size(const struct qcow2 *q, const struct qcow2_snapshot *snapshot, img_error *err)
{
    if (snapshot->disk_size > INT64_MAX)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "snapshot '%s': a disk of %" PRIu64 " bytes is larger than 2^63-1",
                         snapshot->id, snapshot->disk_size);
    /* No disk is resized to that. */
    if (snapshot->disk_size % QCOW2_SECTOR != 0 && snapshot->disk_size != q->header.size)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "snapshot '%s': a disk of %" PRIu64 " bytes is no number of sectors",
                         snapshot->id, snapshot->disk_size);
    if (imgi_div_up(snapshot->disk_size, UINT64_C(1) << (q->cluster_bits + q->l2_bits)) >
        QCOW2_L1_BYTES_MAX / QCOW2_ENTRY_BYTES)
        return imgi_fail(err, IMG_E_LIMIT,
                         "snapshot '%s': a disk of %" PRIu64 " bytes is too large for the format",
                         snapshot->id, snapshot->disk_size);
    return imgi_policy_limit(q->node->policy, IMG_LIMIT_VIRTUAL_SIZE, snapshot->disk_size,
                             "virtual size", err);
}

static int apply(struct qcow2 *q, struct qcow2_snapshots *snapshots,
                 const struct qcow2_snapshot *snapshot, img_error *err)
{
    struct qcow2_change change = {.q = q, .size = snapshot->disk_size, .snapshots = snapshots};
    struct qcow2_table l1 = {0};
    uint64_t needed =
        imgi_div_up(snapshot->disk_size, UINT64_C(1) << (q->cluster_bits + q->l2_bits));
    int rc = load_l1(q, snapshot, &l1, err);

    if (rc == 0)
        rc = copy_l1(&change.l1, &l1, needed, err);
    if (rc == 0)
        rc = qcow2_change_begin(&change, err);
    if (rc == 0)
        rc = qcow2_change_tree(&change, &change.gained, &l1, err);
    if (rc == 0)
        rc = qcow2_change_tree(&change, &change.lost, &q->l1, err);
    if (rc == 0)
        rc = carry_out(&change, err);
    qcow2_change_end(&change);
    qcow2_table_free(&l1);
    return rc;
}

int qcow2_snapshot_apply(struct imgi_node *node, const char *id, const char *name, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    struct qcow2_snapshots snapshots = {0};
    size_t found;
    int rc = prepare(q, err);

    if (rc == 0)
        rc = refuse_bitmaps(q, err);
    if (rc == 0)
        rc = load_and_find(q, &snapshots, id, name, &found, err);
    if (rc < 0)
        return rc;
    rc = check_size(q, &snapshots.list[found], err);
    if (rc == 0)
        rc = apply(q, &snapshots, &snapshots.list[found], err);
    qcow2_snapshots_free(&snapshots);
    return rc;
}

/* --------------------------------------------------------------------------- delete */

static int delete (struct qcow2 *q, struct qcow2_snapshots *snapshots,
                   const struct qcow2_snapshot *dropped, img_error *err)
{
    struct qcow2_change change = {
        .q = q, .size = q->header.size, .snapshots = snapshots, .dropped = dropped};
    struct qcow2_table l1 = {0};
    int rc = load_l1(q, dropped, &l1, err);

    if (rc == 0)
        rc = copy_l1(&change.l1, &q->l1, 0, err);
    if (rc == 0)
        rc = qcow2_change_begin(&change, err);
    if (rc == 0)
        rc = qcow2_change_tree(&change, &change.lost, &l1, err);
    if (rc == 0)
        rc = carry_out(&change, err);
    qcow2_change_end(&change);
    qcow2_table_free(&l1);
    return rc;
}

int qcow2_snapshot_delete(struct imgi_node *node, const char *id, const char *name, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    struct qcow2_snapshots snapshots = {0}, one = {0};
    size_t found;
    int rc = prepare(q, err);

    if (rc == 0)
        rc = load_and_find(q, &snapshots, id, name, &found, err);
    if (rc < 0)
        return rc;
    one.list = malloc(sizeof(*one.list));
    if (!one.list) {
        qcow2_snapshots_free(&snapshots);
        return imgi_fail_nomem(err, "a snapshot");
    }
    /* The record leaves the list, which goes on without it. */
    one.list[one.count++] = snapshots.list[found];
    snapshots.count--;
    memmove(snapshots.list + found, snapshots.list + found + 1,
            (snapshots.count - found) * sizeof(*snapshots.list));
    rc = delete (q, &snapshots, one.list, err);
    qcow2_snapshots_free(&one);
    qcow2_snapshots_free(&snapshots);
    return rc;
}

/* ----------------------------------------------------------------------------- view */

int qcow2_snapshot_view(struct imgi_node *node, const char *id, const char *name, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    struct qcow2_snapshots snapshots = {0};
    struct qcow2_table l1 = {0};
    size_t found;
    int rc = load_and_find(q, &snapshots, id, name, &found, err);

    if (rc < 0)
        return rc;
    if (snapshots.list[found].disk_size > INT64_MAX)
        rc = imgi_fail(err, IMG_E_CORRUPT, "a disk of %" PRIu64 " bytes is larger than 2^63-1",
                       snapshots.list[found].disk_size);
    if (rc == 0)
        rc = load_l1(q, &snapshots.list[found], &l1, err);
    if (rc == 0) {
        qcow2_table_free(&q->l1);
        q->l1 = l1;
        node->size = snapshots.list[found].disk_size;
    }
    qcow2_snapshots_free(&snapshots);
    return rc;
}

/* ----------------------------------------------------------------------------- list */

/* The list is one piece of memory: the records, then their texts. */
static img_snapshot *make_list(const struct qcow2_snapshots *snapshots)
{
    size_t bytes = (snapshots->count + 1) * sizeof(img_snapshot);
    img_snapshot *list;
    char *text;

    for (size_t i = 0; i < snapshots->count; i++)
        bytes += (size_t)snapshots->list[i].id_length + snapshots->list[i].name_length + 2;
    list = calloc(1, bytes);
    if (!list)
        return NULL;
    text = (char *)(list + snapshots->count + 1);
    for (size_t i = 0; i < snapshots->count; i++) {
        const struct qcow2_snapshot *from = &snapshots->list[i];

        list[i] = (img_snapshot){
            .id = text,
            .name = text + from->id_length + 1,
            .disk_size = from->disk_size,
            .vm_state_size = from->vm_state,
            .date_sec = from->seconds,
            .date_nsec = from->nanoseconds,
            .vm_clock = from->clock,
            .icount = from->icount,
        };
        memcpy(text, from->id, from->id_length);
        memcpy(text + from->id_length + 1, from->name, from->name_length);
        text += from->id_length + from->name_length + 2;
    }
    return list;
}

int qcow2_snapshot_list(struct imgi_node *node, img_snapshot **list, size_t *count, img_error *err)
{
    struct qcow2_snapshots snapshots;
    int rc = qcow2_snapshots_load(qcow2_of(node), &snapshots, err);

    if (rc < 0)
        return rc;
    *count = snapshots.count;
    *list = make_list(&snapshots);
    qcow2_snapshots_free(&snapshots);
    return *list ? 0 : imgi_fail_nomem(err, "the snapshot table");
}
