/*
 * Random use of qcow2 images, against plain arrays. SPDX-License-Identifier: BSD-2-Clause
 *
 *     qcow2 [SEED [BATCHES]]
 *
 * After each batch of operations the image is closed. img check and qemu-img check find no fault in
 * it, not so much as a leak; qemu-img and we find in it what the array holds. QEMU_IMG in the
 * environment names another qemu-img; where there is none the test is skipped.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "flat.h"

#define OPERATIONS 80u
#define TWIN "twin.raw"
/* The data file alone must be the disk. */
#define RAW "data_file=data,data_file_raw=on"
#define SECRET "encrypt.key-secret=key"
#define OBJECT "secret,id=key,data=passphrase"

static const struct flat_shape shapes[] = {
    {"cluster_size=64k", 3 << 20, 0},
    {"cluster_size=512", 400 << 10, 0},
    {"cluster_size=512,refcount_bits=64", 2 << 20, 0},
    {"cluster_size=512,refcount_bits=1", 300 << 10, FLAT_NO_SNAPSHOTS},
    {"cluster_size=4k,refcount_bits=2,compression_type=zstd", 1 << 20, 0},
    {"cluster_size=4k,compat=0.10", 1 << 20, 0},
    {"cluster_size=4k,lazy_refcounts=on", 1 << 20, FLAT_FIXED},
    {"cluster_size=2M,refcount_bits=8", 3 << 20, 0},
    {"cluster_size=4k,encrypt.format=luks,encrypt.iter-time=10," SECRET, 1 << 20,
     FLAT_NO_PACKED | FLAT_SECRET},
    {"cluster_size=16k,extended_l2=on", 1 << 20, FLAT_CHAIN},
    {"cluster_size=4k", 1 << 20, FLAT_CHAIN},
    {"cluster_size=64k,compat=0.10", 2 << 20, FLAT_CHAIN},
    {"cluster_size=1k,refcount_bits=4", 500 << 10, FLAT_CHAIN},
    {"cluster_size=16k,extended_l2=on", 1 << 20, 0},
    {"cluster_size=64k,extended_l2=on,refcount_bits=1", 2 << 20, FLAT_NO_SNAPSHOTS},
    {"cluster_size=64k,extended_l2=on", 2 << 20, FLAT_CHAIN},
    {"cluster_size=4k,data_file=data", 1 << 20, FLAT_NO_PACKED | FLAT_NO_SNAPSHOTS},
    {"cluster_size=64k,extended_l2=on,data_file=data", 2 << 20,
     FLAT_CHAIN | FLAT_NO_PACKED | FLAT_NO_SNAPSHOTS},
    {"cluster_size=4k," RAW, 1 << 20, FLAT_NO_PACKED | FLAT_NO_SNAPSHOTS},
    {"cluster_size=64k,extended_l2=on," RAW, 2 << 20, FLAT_NO_PACKED | FLAT_NO_SNAPSHOTS},
};

static const char *qemu_img;
static img_secrets *secrets;
static img_options *with_secret; /* to open an encrypted image */

/* A shell command that must end with 0. */
static void run_command(const struct flat *flat, const char *format, ...)
{
    char command[512];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    if (system(command) != 0)
        flat_fail(flat, "%s", command);
}

static void say(void *opaque, const char *text)
{
    (void)opaque;
    puts(text);
}

static void open_image(struct flat *flat, unsigned flags)
{
    const img_open_params params = {
        .format = "qcow2",
        .flags = flags,
        .cache = IMG_CACHE_UNSAFE,
        .options = flat->shape->features & FLAT_SECRET ? with_secret : NULL,
        .secrets = secrets,
    };
    img_error err;

    flat_must(flat, "open", img_open(&flat->image, FLAT_IMAGE, &params, &err), &err);
}

static void close_image(struct flat *flat)
{
    img_error err;

    flat_must(flat, "close", img_close(flat->image, &err), &err);
    flat->image = NULL;
}

/* flat->image, whatever it shows now, is that disk. */
static void compare(struct flat *flat, const char *what, const struct flat_disk *disk)
{
    img_error err;

    if (img_size(flat->image) != disk->size)
        flat_fail(flat, "%s has %" PRIu64 " bytes, not %" PRIu64, what, img_size(flat->image),
                  disk->size);
    flat_must(flat, "read", img_read(flat->image, 0, flat->scratch, (size_t)disk->size, &err),
              &err);
    for (uint64_t i = 0; i < disk->size; i++)
        if (flat->scratch[i] != disk->bytes[i])
            flat_fail(flat, "byte %" PRIu64 " of %s is %u, not %u", i, what, flat->scratch[i],
                      disk->bytes[i]);
}

static void write_twin(const struct flat *flat, const struct flat_disk *disk)
{
    FILE *stream = fopen(TWIN, "we");

    if (!stream || fwrite(disk->bytes, 1, (size_t)disk->size, stream) != disk->size ||
        fclose(stream) != 0)
        flat_fail(flat, TWIN " cannot be written");
}

static void verify_snapshots(struct flat *flat)
{
    img_error err;

    for (unsigned i = 0; i < FLAT_SNAPSHOTS; i++) {
        const struct flat_snapshot *kept = &flat->snapshots[i];

        if (!kept->name[0])
            continue;
        open_image(flat, 0);
        flat_must(flat, "view", img_snapshot_view(flat->image, NULL, kept->name, &err), &err);
        compare(flat, kept->name, &kept->disk);
        close_image(flat);
    }
}

/* qemu-img's view of one of the snapshots, which has the size of the active disk there. */
static void verify_one_by_peer(struct flat *flat)
{
    const struct flat_snapshot *kept = &flat->snapshots[flat_random(flat, FLAT_SNAPSHOTS)];

    if (!kept->name[0] || kept->disk.size != flat->disk.size ||
        (flat->shape->features & FLAT_SECRET))
        return;
    write_twin(flat, &kept->disk);
    run_command(flat, "%s convert -f qcow2 -l snapshot.name=%s -O raw " FLAT_IMAGE " peer.raw",
                qemu_img, kept->name);
    run_command(flat, "cmp " TWIN " peer.raw");
}

static void verify(struct flat *flat)
{
    const char *name = flat->shape->features & FLAT_SECRET
                           ? "driver=qcow2,file.filename=" FLAT_IMAGE "," SECRET
                           : "driver=qcow2,file.filename=" FLAT_IMAGE;
    img_check_result result = {0};
    img_error err;

    open_image(flat, 0);
    flat_must(flat, "check", img_check(NULL, flat->image, say, NULL, &result, &err), &err);
    if (result.corruptions || result.leaks || result.check_errors)
        flat_fail(flat, "%" PRIu64 " corruptions, %" PRIu64 " leaks", result.corruptions,
                  result.leaks);
    compare(flat, FLAT_IMAGE, &flat->disk);
    flat_verify_bitmap(flat);
    close_image(flat);
    verify_snapshots(flat);
    write_twin(flat, &flat->disk);
    run_command(flat, "%s check -q --object " OBJECT " --image-opts %s", qemu_img, name);
    run_command(
        flat, "%s compare -q --object " OBJECT " --image-opts file.filename=" TWIN ",driver=raw %s",
        qemu_img, name);
    if (strstr(flat->shape->options, RAW))
        run_command(flat, "cmp " TWIN " data");
    verify_one_by_peer(flat);
}

static void make_image(struct flat *flat)
{
    const img_open_params params = {.secrets = secrets};
    img_options *options = img_options_new();
    img_error err;

    if (!options)
        flat_fail(flat, "no memory");
    flat_must(flat, "options", img_options_parse(options, flat->shape->options, &err), &err);
    flat_disk_init(&flat->disk, flat->shape->size);
    if (flat->shape->features & FLAT_CHAIN) {
        const char *base = flat_new_base(flat, flat->shape->size / 2);

        memcpy(flat->disk.bytes, flat->scratch, (size_t)flat->shape->size / 2);
        flat_must(flat, "options", img_options_set(options, "backing_file", base, &err), &err);
        flat_must(flat, "options", img_options_set(options, "backing_fmt", "qcow2", &err), &err);
    }
    flat_must(
        flat, "create",
        img_create(&flat->image, FLAT_IMAGE, "qcow2", flat->shape->size, options, &params, &err),
        &err);
    flat->cluster = img_cluster_size(flat->image);
    close_image(flat);
    img_options_free(options);
}

static void run(const struct flat_shape *shape, uint64_t seed, unsigned batches)
{
    struct flat flat = {.shape = shape, .random = seed * 2 + 1};

    flat.scratch = malloc(FLAT_MAXIMUM);
    if (!flat.scratch)
        abort();
    make_image(&flat);
    for (unsigned batch = 0; batch < batches; batch++) {
        open_image(&flat, IMG_OPEN_WRITE);
        for (unsigned i = 0; i < OPERATIONS; i++)
            flat_operation(&flat);
        close_image(&flat);
        verify(&flat);
    }
    printf("ok - %s%s\n", shape->options, shape->features & FLAT_CHAIN ? ", in a chain" : "");
    free(flat.scratch);
    free(flat.disk.bytes);
    free(flat.since.bytes);
    for (unsigned i = 0; i < FLAT_SNAPSHOTS; i++)
        free(flat.snapshots[i].disk.bytes);
    run_command(&flat, "rm -f " FLAT_IMAGE " " TWIN " peer.raw data base*");
}

static void make_secrets(void)
{
    img_options *properties = img_options_new();
    img_error err;

    secrets = img_secrets_new();
    with_secret = img_options_new();
    if (!secrets || !properties || !with_secret ||
        img_options_parse(properties, "id=key,data=passphrase", &err) < 0 ||
        img_secrets_add(secrets, properties, &err) < 0 ||
        img_options_parse(with_secret, SECRET, &err) < 0)
        abort();
    img_options_free(properties);
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    unsigned batches = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 8;
    char directory[] = "/tmp/img-model.XXXXXX";

    setvbuf(stdout, NULL, _IOLBF, 0);
    qemu_img = getenv("QEMU_IMG") ? getenv("QEMU_IMG") : "qemu-img";
    if (!mkdtemp(directory) || chdir(directory) < 0)
        return 99;
    if (system("${QEMU_IMG:-qemu-img} --version >/dev/null") != 0)
        return 77;
    make_secrets();
    printf("seed %" PRIu64 ", %u batches of %u operations each\n", seed, batches, OPERATIONS);
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        run(&shapes[i], seed + i, batches);
    img_secrets_free(secrets);
    img_options_free(with_secret);
    if (chdir("/") == 0)
        rmdir(directory);
    return EXIT_SUCCESS;
}
