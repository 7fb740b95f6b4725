/*
 * Changing what an image was created with. SPDX-License-Identifier: BSD-2-Clause
 *
 * All that can be refused is refused first. Then, one after the other and each with one write to
 * the header that makes it so: key slots, version 3, refcount width, flags, the disk's size,
 * version 2. A step needs what those before it made possible: refcounts of 16 bits come before
 * version 2.
 */
#include <inttypes.h>

#include "amend.h"

const struct imgi_opt qcow2_amend_options[] = {
    {"size", IMGI_OPT_SIZE, NULL, "Virtual disk size", false},
    {"compat", IMGI_OPT_STRING, NULL, "Compatibility level (v2 [0.10] or v3 [1.1])", true},
    {"backing_file", IMGI_OPT_STRING, NULL, "File name of a base image", true},
    {"backing_fmt", IMGI_OPT_STRING, NULL, "Image format of the base image", true},
    {"data_file", IMGI_OPT_STRING, NULL, "File name of an external data file", true},
    {"data_file_raw", IMGI_OPT_BOOL, NULL, "The external data file must stay valid as a raw image",
     true},
    {"encrypt.state", IMGI_OPT_STRING, NULL,
     "Select new state of affected keyslots (active/inactive)", true},
    {"encrypt.keyslot", IMGI_OPT_NUMBER, NULL, "Select a single keyslot to modify explicitly",
     true},
    {"encrypt.old-secret", IMGI_OPT_STRING, NULL, "Select all keyslots that match this password",
     true},
    {"encrypt.new-secret", IMGI_OPT_STRING, NULL,
     "New secret to set in the matching keyslots. Empty string to erase", true},
    {"encrypt.iter-time", IMGI_OPT_NUMBER, NULL, "Time to spend in PBKDF in milliseconds", true},
    {"lazy_refcounts", IMGI_OPT_BOOL, NULL, "Postpone refcount updates", false},
    {"refcount_bits", IMGI_OPT_NUMBER, NULL, "Width of a reference count entry in bits", false},
    {0},
};

/* What the image is to be. Options that were not given are as the image is. */
struct plan {
    uint32_t version;
    unsigned refcount_order;
    bool lazy;
    uint64_t size;
    bool encryption; /* options of it were given */
};

static bool given(const struct imgi_amend *amend, const char *name)
{
    return img_options_get(amend->options, name) != NULL;
}

static int read_version(const struct imgi_amend *amend, struct plan *plan, img_error *err)
{
    const char *compat = img_options_get(amend->options, "compat");

    if (!compat || !*compat)
        return 0;
    if (strcmp(compat, "0.10") == 0 || strcmp(compat, "v2") == 0)
        plan->version = 2;
    else if (strcmp(compat, "1.1") == 0 || strcmp(compat, "v3") == 0)
        plan->version = 3;
    else
        return imgi_fail(err, IMG_E_INVAL, "Unknown compatibility level %s", compat);
    return 0;
}

static int read_refcount_bits(const struct imgi_amend *amend, struct plan *plan, img_error *err)
{
    uint64_t bits;

    if (!given(amend, "refcount_bits"))
        return 0;
    bits = imgi_options_number(amend->options, amend->table, "refcount_bits");
    if (!imgi_is_pow2(bits) || bits > 64)
        return imgi_fail(err, IMG_E_INVAL,
                         "Refcount width must be a power of two and may not exceed 64 bits");
    plan->refcount_order = imgi_log2(bits);
    return 0;
}

static int read_plan(const struct qcow2 *q, const struct imgi_amend *amend, struct plan *plan,
                     img_error *err)
{
    uint64_t size = imgi_options_number(amend->options, amend->table, "size");
    int rc;

    *plan = (struct plan){
        .version = q->header.version,
        .refcount_order = q->header.refcount_order,
        .lazy = q->header.compatible & QCOW2_COMPAT_LAZY_REFCOUNTS,
        .size = size > 0 ? size : q->node->size,
    };
    for (size_t i = 0; amend->table[i].name; i++)
        if (strncmp(amend->table[i].name, "encrypt.", strlen("encrypt.")) == 0)
            plan->encryption = plan->encryption || given(amend, amend->table[i].name);
    rc = read_version(amend, plan, err);
    if (rc == 0)
        rc = read_refcount_bits(amend, plan, err);
    if (given(amend, "lazy_refcounts"))
        plan->lazy = imgi_options_bool(amend->options, amend->table, "lazy_refcounts");
    return rc;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Another backing image is for rebase to give; the same one may be named. */
static int check_names(const struct qcow2 *q, const struct imgi_amend *amend, img_error *err)
{
    const char *name = img_options_get(amend->options, "backing_file");
    const char *format = img_options_get(amend->options, "backing_fmt");

    if (given(amend, "data_file") && !q->data_file)
        return imgi_fail(err, IMG_E_INVAL,
                         "data-file can only be set for images that use an external data file");
    if (imgi_options_bool(amend->options, amend->table, "data_file_raw") && !q->data_raw)
        return imgi_fail(err, IMG_E_INVAL, "data-file-raw cannot be set on existing images");
    if ((name || format) &&
        !(same_text(name, q->node->backing_name) && same_text(format, q->node->backing_format)))
        return imgi_fail(err, IMG_E_INVAL, "Cannot amend the backing file");
    return 0;
}

static int check_plan(struct qcow2 *q, const struct imgi_amend *amend, struct plan *plan,
                      img_error *err)
{
    if (plan->version < 3 && plan->refcount_order != 4)
        return given(amend, "refcount_bits")
                   ? imgi_fail(err, IMG_E_INVAL,
                               "Refcount widths other than 16 bits require compatibility level "
                               "1.1 or above (use compat=1.1 or greater)")
                   : imgi_fail(err, IMG_E_INVAL, "compat=0.10 requires refcount_bits=16");
    if (plan->version < 3 && plan->lazy && given(amend, "lazy_refcounts"))
        return imgi_fail(err, IMG_E_INVAL,
                         "Lazy refcounts only supported with compatibility level 1.1 and above "
                         "(use compat=1.1 or greater)");
    plan->lazy = plan->lazy && plan->version >= 3;
    if (plan->encryption && qcow2_crypt_check_amend(q, err) < 0)
        return IMG_E_INVAL;
    if (plan->size % QCOW2_SECTOR != 0)
        return imgi_fail(err, IMG_E_INVAL, "The new size must be a multiple of %u", QCOW2_SECTOR);
    if (plan->size != q->node->size && q->header.snapshots > 0 && plan->version < 3)
        return imgi_fail(err, IMG_E_INVAL, "Can't resize a v2 image which has snapshots");
    if (plan->version < q->header.version)
        return qcow2_check_downgrade(q, plan->size, err);
    return 0;
}

static int set_lazy_bit(struct qcow2_header *header, const void *opaque, img_error *err)
{
    const bool *lazy = opaque;

    (void)err;
    header->compatible &= ~QCOW2_COMPAT_LAZY_REFCOUNTS;
    header->compatible |= *lazy ? QCOW2_COMPAT_LAZY_REFCOUNTS : 0;
    return 0;
}

/*
 * Another name of the data file, which is opened by it next time; an empty one: whoever opens the
 * image must say it. And that file may be the disk by itself no longer.
 */
static int set_data_file(struct qcow2_header *header, const void *opaque, img_error *err)
{
    const struct imgi_amend *amend = opaque;
    const char *name = img_options_get(amend->options, "data_file");

    if (given(amend, "data_file_raw") &&
        !imgi_options_bool(amend->options, amend->table, "data_file_raw"))
        header->autoclear &= ~(uint64_t)QCOW2_AUTOCLEAR_RAW_DATA;
    if (name && !*name)
        qcow2_extension_remove(header, QCOW2_EXT_DATA_FILE);
    if (!name || !*name)
        return 0;
    return qcow2_extension_set(header, QCOW2_EXT_DATA_FILE, name, (uint32_t)strlen(name), err);
}

static int change_data_file(struct qcow2 *q, const struct imgi_amend *amend, img_error *err)
{
    int rc;

    if (!q->data_file || !(given(amend, "data_file") || given(amend, "data_file_raw")))
        return 0;
    rc = qcow2_header_rewrite(q, set_data_file, amend, err);
    if (rc == 0)
        q->data_raw = q->header.autoclear & QCOW2_AUTOCLEAR_RAW_DATA;
    return rc;
}

/* The steps that take time. */
static unsigned count_steps(const struct qcow2 *q, const struct plan *plan)
{
    unsigned steps = plan->version != q->header.version;

    steps += plan->refcount_order != q->header.refcount_order;
    return steps + (plan->size != q->node->size);
}

static int change_version(struct qcow2 *q, struct imgi_amend *amend, uint32_t version,
                          img_error *err)
{
    int rc;

    if (version == q->header.version)
        return 0;
    rc = version > q->header.version ? qcow2_upgrade(q, err) : qcow2_downgrade(q, amend, err);
    imgi_amend_next(amend);
    return rc;
}

static int change_refcount_bits(struct qcow2 *q, struct imgi_amend *amend, unsigned order,
                                img_error *err)
{
    int rc;

    if (order == q->header.refcount_order)
        return 0;
    rc = qcow2_set_refcount_order(q, amend, order, err);
    imgi_amend_next(amend);
    return rc;
}

static int change_lazy(struct qcow2 *q, bool lazy, img_error *err)
{
    bool old = q->header.compatible & QCOW2_COMPAT_LAZY_REFCOUNTS;
    int rc;

    if (lazy == old)
        return 0;
    rc = qcow2_refcounts_settle(q, err);
    if (rc == 0)
        rc = qcow2_header_rewrite(q, set_lazy_bit, &lazy, err);
    if (rc == 0)
        q->lazy = lazy;
    return rc;
}

static int change_size(struct qcow2 *q, struct imgi_amend *amend, uint64_t size, img_error *err)
{
    int rc;

    if (size == q->node->size)
        return 0;
    rc = imgi_amend_resize(q->node, amend, size, err);
    imgi_amend_next(amend);
    return rc;
}

int qcow2_amend(struct imgi_node *node, struct imgi_amend *amend, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    struct plan plan = {0};
    int rc = qcow2_writable(q, err);

    if (rc == 0)
        rc = read_plan(q, amend, &plan, err);
    if (rc == 0)
        rc = check_names(q, amend, err);
    if (rc == 0)
        rc = check_plan(q, amend, &plan, err);
    if (rc < 0)
        return rc;
    imgi_amend_steps(amend, count_steps(q, &plan));
    rc = qcow2_settle(q, err);
    /* Key slots first: what of that is refused is refused before anything has changed. */
    if (rc == 0 && plan.encryption)
        rc = qcow2_crypt_amend(q, amend, err);
    if (rc == 0 && plan.version > q->header.version)
        rc = change_version(q, amend, plan.version, err);
    if (rc == 0)
        rc = change_refcount_bits(q, amend, plan.refcount_order, err);
    if (rc == 0)
        rc = change_data_file(q, amend, err);
    if (rc == 0 && plan.version >= 3)
        rc = change_lazy(q, plan.lazy, err);
    if (rc == 0)
        rc = change_size(q, amend, plan.size, err);
    if (rc == 0)
        rc = change_version(q, amend, plan.version, err);
    return rc;
}
