/*
 * Create options. SPDX-License-Identifier: BSD-2-Clause
 *
 * Names, order, defaults and texts are those of qemu-img 7.2, which prints them in this order
 * when it creates an image; compression_level is ours.
 */
#include "qcow2.h"

#define ENCRYPTION(name, type, help)                                                               \
    {                                                                                              \
        "encrypt." name, type, NULL, help, true                                                    \
    }

const struct imgi_opt qcow2_create_options[] = {
    {"encryption", IMGI_OPT_BOOL, NULL,
     "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)", true},
    ENCRYPTION("format", IMGI_OPT_STRING, "Encrypt the image, format choices: 'aes', 'luks'"),
    ENCRYPTION("key-secret", IMGI_OPT_STRING,
               "ID of secret providing qcow AES key or LUKS passphrase"),
    ENCRYPTION("cipher-alg", IMGI_OPT_STRING, "Name of encryption cipher algorithm"),
    ENCRYPTION("cipher-mode", IMGI_OPT_STRING, "Name of encryption cipher mode"),
    ENCRYPTION("ivgen-alg", IMGI_OPT_STRING, "Name of IV generator algorithm"),
    ENCRYPTION("ivgen-hash-alg", IMGI_OPT_STRING, "Name of IV generator hash algorithm"),
    ENCRYPTION("hash-alg", IMGI_OPT_STRING, "Name of encryption hash algorithm"),
    ENCRYPTION("iter-time", IMGI_OPT_NUMBER, "Time to spend in PBKDF in milliseconds"),
    {"cluster_size", IMGI_OPT_SIZE, "65536", "qcow2 cluster size", false},
    {"extended_l2", IMGI_OPT_BOOL, "off", "Extended L2 tables", false},
    {"preallocation", IMGI_OPT_STRING, NULL,
     "Preallocation mode (allowed values: off, metadata, falloc, full)", true},
    {"compression_type", IMGI_OPT_STRING, "zlib",
     "Compression method used for image cluster compression", false},
    {"compression_level", IMGI_OPT_NUMBER, NULL,
     "How hard to compress (0: the default, 1: fast, 9: small)", true},
    {"size", IMGI_OPT_SIZE, NULL, "Virtual disk size", false},
    {"compat", IMGI_OPT_STRING, NULL, "Compatibility level (v2 [0.10] or v3 [1.1])", true},
    {"backing_file", IMGI_OPT_STRING, NULL, "File name of a base image", true},
    {"backing_fmt", IMGI_OPT_STRING, NULL, "Image format of the base image", true},
    {"data_file", IMGI_OPT_STRING, NULL, "File name of an external data file", true},
    {"data_file_raw", IMGI_OPT_BOOL, NULL, "The external data file must stay valid as a raw image",
     true},
    {"lazy_refcounts", IMGI_OPT_BOOL, "off", "Postpone refcount updates", false},
    {"refcount_bits", IMGI_OPT_NUMBER, "16", "Width of a reference count entry in bits", false},
    {"nocow", IMGI_OPT_BOOL, NULL, "Turn off copy-on-write (valid only on btrfs)", true},
    {"extent_size_hint", IMGI_OPT_SIZE, NULL, "Extent size hint for the image file, 0 to disable",
     true},
    {0},
};

/* Hints, and checks that are always made: they are accepted and change nothing. */
#define ACCEPTED(name, type)                                                                       \
    {                                                                                              \
        name, type, NULL, "", true                                                                 \
    }
#define OVERLAP(name) ACCEPTED("overlap-check." name, IMGI_OPT_BOOL)

const struct imgi_opt qcow2_open_options[] = {
    {"data-file", IMGI_OPT_STRING, NULL, "External data file to use, whatever the image names",
     true},
    {"data-file.driver", IMGI_OPT_STRING, NULL, "Its format: file or raw", true},
    {"data-file.filename", IMGI_OPT_STRING, NULL, "The same as data-file", true},
    {"discard-no-unref", IMGI_OPT_BOOL, "off", "Discarded clusters keep their place in the file",
     true},
    {"lazy-refcounts", IMGI_OPT_BOOL, NULL, "Postpone refcount updates, whatever the image says",
     true},
    ACCEPTED("pass-discard-request", IMGI_OPT_BOOL),
    ACCEPTED("pass-discard-snapshot", IMGI_OPT_BOOL),
    ACCEPTED("pass-discard-other", IMGI_OPT_BOOL),
    ACCEPTED("overlap-check", IMGI_OPT_STRING),
    ACCEPTED("overlap-check.template", IMGI_OPT_STRING),
    OVERLAP("main-header"),
    OVERLAP("active-l1"),
    OVERLAP("active-l2"),
    OVERLAP("refcount-table"),
    OVERLAP("refcount-block"),
    OVERLAP("snapshot-table"),
    OVERLAP("inactive-l1"),
    OVERLAP("inactive-l2"),
    OVERLAP("bitmap-directory"),
    ACCEPTED("cache-size", IMGI_OPT_SIZE),
    ACCEPTED("l2-cache-size", IMGI_OPT_SIZE),
    ACCEPTED("l2-cache-entry-size", IMGI_OPT_SIZE),
    ACCEPTED("refcount-cache-size", IMGI_OPT_SIZE),
    ACCEPTED("cache-clean-interval", IMGI_OPT_NUMBER),
    ENCRYPTION("format", IMGI_OPT_STRING, "The encryption that the image must have: aes or luks"),
    ENCRYPTION("key-secret", IMGI_OPT_STRING, "ID of secret providing AES key or LUKS passphrase"),
    {0},
};

/* The options being read. */
struct reader {
    const img_options *options;
    const struct imgi_opt *table;
};

static const char *text_of(const struct reader *reader, const char *name)
{
    return imgi_options_string(reader->options, reader->table, name);
}

/* The place of an option's value among its allowed ones; `parameter`: as QEMU calls the option. */
static int choose(const struct reader *reader, const char *name, const char *parameter,
                  const char *const *values, size_t count, unsigned *choice, img_error *err)
{
    const char *value = text_of(reader, name);

    *choice = 0;
    if (!value)
        return 0;
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(value, values[i]) == 0) {
            *choice = i;
            return 0;
        }
    }
    return imgi_fail(err, IMG_E_INVAL, "Parameter '%s' does not accept value '%s'", parameter,
                     value);
}

static int read_choices(const struct reader *reader, struct qcow2_options *result, img_error *err)
{
    static const char *const versions[] = {"1.1", "v3", "0.10", "v2"};
    static const char *const compressions[] = {"zlib", "zstd"};
    static const char *const preallocations[] = {"off", "metadata", "falloc", "full"};
    unsigned version, compression = 0, preallocation = 0;
    int rc = choose(reader, "compat", "version", versions, IMGI_COUNT(versions), &version, err);

    if (rc == 0)
        rc = choose(reader, "preallocation", "preallocation", preallocations,
                    IMGI_COUNT(preallocations), &preallocation, err);
    if (rc == 0)
        rc = choose(reader, "compression_type", "compression-type", compressions,
                    IMGI_COUNT(compressions), &compression, err);
    if (rc < 0)
        return rc;
    result->version = version < 2 ? 3 : 2;
    result->compression = (enum qcow2_compression)compression;
    result->preallocation = (enum img_preallocation)preallocation;
    return 0;
}

static int read_numbers(const struct reader *reader, struct qcow2_options *result, img_error *err)
{
    uint64_t cluster = imgi_options_number(reader->options, reader->table, "cluster_size");
    uint64_t refcount = imgi_options_number(reader->options, reader->table, "refcount_bits");

    if (!imgi_is_pow2(cluster) || cluster < QCOW2_CLUSTER_MIN || cluster > QCOW2_CLUSTER_MAX)
        return imgi_fail(err, IMG_E_INVAL, "Cluster size must be a power of two between %u and %uk",
                         QCOW2_CLUSTER_MIN, QCOW2_CLUSTER_MAX / 1024);
    if (!imgi_is_pow2(refcount) || refcount > 64)
        return imgi_fail(err, IMG_E_INVAL,
                         "Refcount width must be a power of two and may not exceed 64 bits");
    if (imgi_options_number(reader->options, reader->table, "compression_level") > IMGI_LEVEL_MAX)
        return imgi_fail(err, IMG_E_INVAL, "Compression level must be between 0 and %d",
                         IMGI_LEVEL_MAX);
    result->cluster_bits = imgi_log2(cluster);
    result->refcount_order = imgi_log2(refcount);
    return 0;
}

/* What version 2 has no field for. */
static int check_version(const struct qcow2_options *options, img_error *err)
{
    const char *what = NULL;

    if (options->version >= 3)
        return 0;
    if (options->extended_l2)
        what = "Extended L2 entries are only supported with compatibility level 1.1 and above";
    else if (options->data_file)
        what = "External data files are only supported with compatibility level 1.1 and above";
    else if (options->lazy_refcounts)
        what = "Lazy refcounts only supported with compatibility level 1.1 and above";
    else if (options->refcount_order != 4)
        what = "Different refcount widths than 16 bits require compatibility level 1.1 or above";
    else if (options->compression != QCOW2_COMPRESSION_DEFLATE)
        what = "Non-zlib compression type is only supported with compatibility level 1.1 and above";
    return what ? imgi_fail(err, IMG_E_INVAL, "%s (use version=v3 or greater)", what) : 0;
}

static int check_combinations(const struct reader *reader, const struct qcow2_options *options,
                              img_error *err)
{
    if (options->extended_l2 && options->cluster_bits < 14)
        return imgi_fail(err, IMG_E_INVAL,
                         "Extended L2 entries are only supported with cluster sizes of at least "
                         "16384 bytes");
    if (text_of(reader, "backing_fmt") && !options->backing)
        return imgi_fail(err, IMG_E_INVAL, "Backing format cannot be used without backing file");
    if (options->data_raw && !options->data_file)
        return imgi_fail(err, IMG_E_INVAL, "data-file-raw requires data-file");
    if (options->data_raw && options->backing)
        return imgi_fail(err, IMG_E_INVAL,
                         "Backing file and data-file-raw cannot be used at the same time");
    return 0;
}

int qcow2_options_read(const img_options *options, const struct imgi_opt *table,
                       struct qcow2_options *result, img_error *err)
{
    const struct reader reader = {options, table};
    const struct imgi_encryption encryption = {NULL, options, table, "encrypt."};
    int rc;

    *result = (struct qcow2_options){
        .lazy_refcounts = imgi_options_bool(options, table, "lazy_refcounts"),
        .extended_l2 = imgi_options_bool(options, table, "extended_l2"),
        .backing = imgi_options_string(options, table, "backing_file") != NULL,
        .data_file = imgi_options_string(options, table, "data_file"),
        .data_raw = imgi_options_bool(options, table, "data_file_raw"),
    };
    rc = read_choices(&reader, result, err);
    if (rc == 0)
        rc = read_numbers(&reader, result, err);
    if (rc == 0)
        rc = check_version(result, err);
    if (rc == 0)
        rc = check_combinations(&reader, result, err);
    if (rc == 0)
        rc = qcow2_crypt_wanted(&encryption, &result->crypt, err);
    /* A raw data file's clusters are where they are from the start. */
    if (rc == 0 && result->data_raw && result->preallocation == IMG_PREALLOC_OFF)
        result->preallocation = IMG_PREALLOC_METADATA;
    return rc;
}
