/*
 * Speed and result of every codec and level, on the clusters of a file that are not zero:
 * where the tables in libimg/codec/ come from. SPDX-License-Identifier: BSD-2-Clause
 *
 * Usage: codec FILE [STEP]: every STEPth (8) cluster of 64 KiB of FILE is taken. One line a level:
 * MB/s of one core for compressing and for decompressing, and the result in percent of the input.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "codec/codec.h"
#include "util/checked.h"
#include "util/iszero.h"

#define CLUSTER 65536

struct sample {
    uint8_t *bytes; /* count clusters */
    size_t count;
};

static double cpu_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int take_sample(struct sample *sample, const char *name, size_t step)
{
    static uint8_t cluster[CLUSTER];
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    off_t at = fd < 0 ? -1 : lseek(fd, 0, SEEK_DATA);
    size_t seen = 0;

    for (; at >= 0; at = lseek(fd, at + CLUSTER, SEEK_DATA)) {
        at -= at % CLUSTER;
        if (pread(fd, cluster, CLUSTER, at) != CLUSTER)
            break;
        if (imgi_is_zero(cluster, CLUSTER) || seen++ % step != 0)
            continue;
        sample->bytes = reallocarray(sample->bytes, sample->count + 1, CLUSTER);
        if (!sample->bytes)
            return -1;
        memcpy(sample->bytes + sample->count++ * CLUSTER, cluster, CLUSTER);
    }
    if (fd >= 0)
        close(fd);
    return sample->count > 0 ? 0 : -1;
}

static int measure(const struct sample *sample, const char *name,
                   const struct imgi_pack_params *params)
{
    static uint8_t packed[CLUSTER], unpacked[CLUSTER];
    double pack_time = 0, unpack_time = 0, megabytes = (double)sample->count * CLUSTER / 1e6;
    struct imgi_packer *packer = NULL;
    struct imgi_unpacker *unpacker = NULL;
    uint64_t total = 0, packed_clusters = 0;
    int ret = -1;

    if (imgi_packer_new(&packer, params, NULL) < 0 || imgi_unpacker_new(&unpacker, NULL) < 0)
        goto out;
    for (size_t i = 0; i < sample->count; i++) {
        const uint8_t *cluster = sample->bytes + i * CLUSTER;
        double start = cpu_seconds();
        size_t length = imgi_pack(packer, cluster, CLUSTER, packed, CLUSTER - 1);

        pack_time += cpu_seconds() - start;
        total += length > 0 ? length : CLUSTER;
        if (length == 0)
            continue;
        packed_clusters++;
        start = cpu_seconds();
        if (imgi_unpack(unpacker, params->codec, packed, length, unpacked, CLUSTER, NULL, NULL) < 0)
            goto out;
        unpack_time += cpu_seconds() - start;
        if (memcmp(cluster, unpacked, CLUSTER) != 0)
            goto out;
    }
    printf("%s %2u %d  %7.1f  %7.1f  %6.2f\n", name, params->window_bits, params->level,
           megabytes / pack_time, (double)packed_clusters * CLUSTER / 1e6 / unpack_time,
           100.0 * (double)total / ((double)sample->count * CLUSTER));
    ret = 0;
out:
    imgi_packer_free(packer);
    imgi_unpacker_free(unpacker);
    return ret;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        struct imgi_pack_params params;
    } codecs[] = {
        {"deflate", {.codec = IMGI_CODEC_DEFLATE, .window_bits = 12}},
        {"zlib   ", {.codec = IMGI_CODEC_ZLIB, .window_bits = 15}},
        {"zstd   ", {.codec = IMGI_CODEC_ZSTD}},
    };
    struct sample sample = {0};
    int step = argc > 2 ? atoi(argv[2]) : 8;

    if (argc < 2 || step < 1 || take_sample(&sample, argv[1], (size_t)step) < 0) {
        fprintf(stderr, "usage: %s FILE [STEP]\n", argv[0]);
        return 1;
    }
    printf("codec window level  pack  unpack  percent (%zu clusters)\n", sample.count);
    for (size_t i = 0; i < IMGI_COUNT(codecs); i++) {
        struct imgi_pack_params params = codecs[i].params;

        for (params.level = 1; params.level <= IMGI_LEVEL_MAX; params.level++) {
            if (measure(&sample, codecs[i].name, &params) < 0) {
                fprintf(stderr, "%s level %d: wrong result\n", codecs[i].name, params.level);
                return 1;
            }
        }
    }
    free(sample.bytes);
    return 0;
}
