/*
 * img bench. SPDX-License-Identifier: BSD-2-Clause
 *
 * Keeps as many requests going as the depth says, a thread each, and tells how long all of them
 * took.
 *
 * lock covers everything in struct bench that changes. Requests are given out in order; a flush
 * that drains waits until none is going on, and lets none begin.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd.h"

#define DEPTH_MAX 1024

struct args {
    struct open_args open;
    const char *filename;
    unsigned count, depth, flush_interval;
    uint64_t size, step, offset;
    unsigned pattern;
    bool write, no_drain;
};

struct bench {
    const struct args *args;
    img_image *image;
    uint8_t *data; /* what is written */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned begun, going, finished;
    uint64_t offset; /* of the next request */
    bool flushing;
    int rc;
    img_error failure;
};

static const struct cmd_option options[] = {
    OPTIONS_OPEN,
    {'c', "count", "COUNT", "number of requests (default: 75000)"},
    {'d', "depth", "DEPTH", "requests that go on at a time (default: 64)"},
    {'s', "buffer-size", "SIZE", "bytes of each request (default: 4k)"},
    {'S', "step-size", "SIZE", "from the start of one request to that of the next (default: -s)"},
    {'o', "offset", "OFFSET", "where the first one begins"},
    {'w', "write", NULL, "write instead of reading"},
    {OPT_PATTERN, "pattern", "BYTE", "with -w: what is written (default: 0)"},
    {OPT_FLUSH_INTERVAL, "flush-interval", "COUNT", "with -w: flush after so many requests"},
    {OPT_NO_DRAIN, "no-drain", NULL, "do not wait for the requests that go on before a flush"},
    {'t', "cache", "MODE", "how to read and write (default: writeback)"},
    {'i', "aio", "HOW", "accepted: threads, native or io_uring"},
    {'n', "native", NULL, "accepted: the same as -i native"},
    OPTION_SHARE,
    OPTION_QUIET,
    OPTION_OUTPUT,
    OPTION_HELP,
    OPTIONS_END,
};

static bool parse_count(struct cli *cli, const char *what, const char *text, unsigned long max,
                        unsigned *number)
{
    unsigned long value;
    char *end;

    errno = 0;
    value = strtoul(text, &end, 0);
    if (errno || *end || end == text || *text == '-' || value > max)
        return cli_fail(cli, "Invalid %s specified", what);
    *number = (unsigned)value;
    return true;
}

static bool set_depth(struct cli *cli, struct args *args, const char *text)
{
    return parse_count(cli, "queue depth", text, DEPTH_MAX, &args->depth) &&
           (args->depth > 0 || cli_fail(cli, "Invalid queue depth specified"));
}

static bool take_value(struct cli *cli, struct args *args, int key, const char *value)
{
    switch (key) {
    case 'c':
        return parse_count(cli, "request count", value, INT32_MAX, &args->count);
    case 'd':
        return set_depth(cli, args, value);
    case 's':
        return size_parse(cli, "buffer size", value, &args->size);
    case 'S':
        return size_parse(cli, "step_size", value, &args->step);
    case 'o':
        return size_parse(cli, "offset", value, &args->offset);
    case OPT_PATTERN:
        return parse_count(cli, "pattern byte", value, 0xff, &args->pattern);
    case OPT_FLUSH_INTERVAL:
        return parse_count(cli, "flush interval", value, INT32_MAX, &args->flush_interval);
    case 't':
        if (img_parse_cache(value, &args->open.cache, NULL) < 0)
            return cli_fail(cli, "Invalid cache mode");
        break;
    case 'i':
        return aio_check(cli, value);
    default:
        return open_take_option(cli, &args->open, key, value);
    }
    return true;
}

static bool take_option(struct cli *cli, void *opaque, int key, const char *value)
{
    struct args *args = opaque;

    switch (key) {
    case 'w':
        args->write = true;
        args->open.flags |= IMG_OPEN_WRITE;
        break;
    case OPT_NO_DRAIN:
        args->no_drain = true;
        break;
    default:
        return take_value(cli, args, key, value);
    }
    return true;
}

static bool parse(struct cli *cli, struct args *args, int argc, char **argv)
{
    int first;

    if (!cli_options(cli, argc, argv, take_option, args, &first))
        return false;
    if (argc - first != 1)
        return cli_fail_usage(cli, "Expecting one image file name");
    args->filename = argv[first];
    if (!args->write && args->flush_interval)
        return cli_fail(cli, "--flush-interval is only available in write tests");
    if (args->flush_interval && args->flush_interval < args->depth)
        return cli_fail(cli, "Flush interval can't be smaller than depth");
    if (args->size > INT32_MAX)
        return cli_fail(cli, "Invalid buffer size specified. Must be between 0 and %d.", INT32_MAX);
    if (args->step == 0)
        args->step = args->size;
    return true;
}

/* ------------------------------------------------------------------ requests */

/* Take the next request; false when there is none. With lock held. */
static bool begin_request(struct bench *bench, uint64_t *offset)
{
    uint64_t size = img_size(bench->image);

    while (bench->flushing && bench->rc == 0)
        pthread_cond_wait(&bench->changed, &bench->lock);
    if (bench->rc < 0 || bench->begun == bench->args->count)
        return false;
    *offset = bench->offset;
    bench->offset += bench->args->step;
    if (size > 0 && bench->offset >= size)
        bench->offset %= size;
    bench->begun++;
    bench->going++;
    return true;
}

/* With lock held, which is let go while the disk is waited for. */
static int flush(struct bench *bench, img_error *err)
{
    int rc;

    bench->flushing = !bench->args->no_drain;
    while (bench->flushing && bench->going > 0)
        pthread_cond_wait(&bench->changed, &bench->lock);
    pthread_mutex_unlock(&bench->lock);
    rc = img_flush(bench->image, err);
    pthread_mutex_lock(&bench->lock);
    bench->flushing = false;
    pthread_cond_broadcast(&bench->changed);
    return rc;
}

/* With lock held. */
static void end_request(struct bench *bench, int rc, img_error *err)
{
    unsigned interval = bench->args->flush_interval;

    bench->going--;
    bench->finished++;
    pthread_cond_broadcast(&bench->changed);
    if (rc == 0 && interval && bench->finished % interval == 0)
        rc = flush(bench, err);
    if (rc < 0 && bench->rc == 0) {
        bench->rc = rc;
        bench->failure = *err;
        pthread_cond_broadcast(&bench->changed);
    }
}

static void *worker(void *opaque)
{
    struct bench *bench = opaque;
    size_t size = (size_t)bench->args->size;
    uint8_t *buffer = bench->args->write ? NULL : malloc(size + 1);
    img_error err = {0};
    uint64_t offset;

    pthread_mutex_lock(&bench->lock);
    if (!bench->args->write && !buffer) {
        bench->rc = bench->failure.code = IMG_E_NOMEM;
        snprintf(bench->failure.message, sizeof(bench->failure.message), "%s",
                 img_strerror(IMG_E_NOMEM));
    }
    while (begin_request(bench, &offset)) {
        int rc;

        pthread_mutex_unlock(&bench->lock);
        if (bench->args->write)
            rc = img_write(bench->image, offset, bench->data, size, &err);
        else
            rc = img_read(bench->image, offset, buffer, size, &err);
        pthread_mutex_lock(&bench->lock);
        end_request(bench, rc, &err);
    }
    pthread_mutex_unlock(&bench->lock);
    free(buffer);
    return NULL;
}

/* As many threads as can be had, up to the depth; one of them is ours. */
static void run_all(struct bench *bench)
{
    pthread_t threads[DEPTH_MAX];
    unsigned started = 0;

    while (started + 1 < bench->args->depth && started + 1 < bench->args->count &&
           pthread_create(&threads[started], NULL, worker, bench) == 0)
        started++;
    worker(bench);
    while (started > 0)
        pthread_join(threads[--started], NULL);
}

/* ------------------------------------------------------------------ report */

static void announce(const struct cli *cli, const struct args *args)
{
    if (cli->json)
        return;
    printf("Sending %u %s requests, %" PRIu64 " bytes each, %u in parallel (starting at offset "
           "%" PRIu64 ", step size %" PRIu64 ")\n",
           args->count, args->write ? "write" : "read", args->size, args->depth, args->offset,
           args->step);
    if (args->flush_interval)
        printf("Sending flush every %u requests\n", args->flush_interval);
    fflush(stdout);
}

static void report(const struct cli *cli, const struct args *args, double seconds)
{
    if (cli->json)
        printf("{\n    \"requests\": %u,\n    \"bytes\": %" PRIu64 ",\n    \"seconds\": %.6f\n}\n",
               args->count, args->count * args->size, seconds);
    else
        printf("Run completed in %3.3f seconds.\n", seconds);
}

static bool run_bench(struct cli *cli, const struct args *args, img_image *image)
{
    struct bench bench = {.args = args, .image = image, .offset = args->offset};
    struct timespec start, end;

    bench.data = malloc((size_t)args->size + 1);
    if (!bench.data)
        return cli_fail_nomem(cli);
    memset(bench.data, (int)args->pattern, (size_t)args->size);
    pthread_mutex_init(&bench.lock, NULL);
    pthread_cond_init(&bench.changed, NULL);
    announce(cli, args);
    clock_gettime(CLOCK_MONOTONIC, &start);
    run_all(&bench);
    clock_gettime(CLOCK_MONOTONIC, &end);
    pthread_cond_destroy(&bench.changed);
    pthread_mutex_destroy(&bench.lock);
    free(bench.data);
    if (bench.rc < 0)
        return cli_fail_error(cli, &bench.failure, "Failed request");
    report(cli, args,
           (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9);
    return true;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {.count = 75000, .depth = 64, .size = 4096};
    img_image *image = NULL;
    img_error err = {0};
    bool ok;

    if (!parse(cli, &args, argc, argv) || !open_image(cli, &image, args.filename, &args.open))
        return cli->status;
    if (args.write)
        open_warn_guessed(cli, image);
    ok = run_bench(cli, &args, image);
    if (img_close(image, &err) < 0 && ok)
        cli_fail_error(cli, &err, "%s", args.filename);
    return cli->status;
}

const struct cmd cmd_bench = {
    .name = "bench",
    .summary = "measure how fast a disk is read or written",
    .usage = "[OPTION]... FILE",
    .about = "Send many requests of one size to the disk, one behind the other and from its start "
             "again, "
             "and tell\n"
             "how long that took. With -w the disk's content is lost.\n",
    .examples = "bench -c 10000 -d 16 -s 64k disk.qcow2\n"
                "bench -w -t none --flush-interval=64 scratch.qcow2\n",
    .options = options,
    .run = run,
};
