/*
 * Progress of long operations. SPDX-License-Identifier: BSD-2-Clause
 *
 * Three forms: plain, exactly what qemu-img prints (for programs that read it); a bar for a
 * terminal; JSON, one object a line on stderr. The plain form and the bar go to stdout as
 * qemu-img's do, unless an image goes there. progress_step runs on the job's threads, one call at a
 * time; everything else before or after the job, so struct progress needs no lock.
 */
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"

#define NANOSECONDS UINT64_C(1000000000)
/* The bar and the JSON lines come at most so often. */
#define INTERVAL (NANOSECONDS / 10)
/* The plain form says every percent. */
#define PLAIN_STEP 1.0

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * NANOSECONDS + (uint64_t)time.tv_nsec;
}

bool progress_parse(struct cli *cli, struct progress *progress, const char *how)
{
    if (!how || strcmp(how, "auto") == 0)
        progress->how = PROGRESS_AUTO;
    else if (strcmp(how, "plain") == 0)
        progress->how = PROGRESS_PLAIN;
    else if (strcmp(how, "bar") == 0)
        progress->how = PROGRESS_BAR;
    else if (strcmp(how, "json") == 0)
        progress->how = PROGRESS_JSON;
    else
        return cli_fail(cli, "--progress must be used with auto, bar, plain or json as argument.");
    return true;
}

static double percent(const struct progress *progress)
{
    return progress->total ? 100.0 * (double)progress->done / (double)progress->total : 100.0;
}

static uint64_t rate(const struct progress *progress, uint64_t time)
{
    double seconds = (double)(time - progress->started) / (double)NANOSECONDS;

    return seconds > 0 ? (uint64_t)((double)progress->done / seconds) : 0;
}

/* ------------------------------------------------------------------ forms */

static void write_plain(struct progress *progress, double value)
{
    fprintf(progress->out, "    (%3.2f/100%%)\r", value);
    fflush(progress->out);
    progress->shown = value;
}

static void write_json(const struct progress *progress, const char *phase, uint64_t time)
{
    fputs("{\"phase\": ", stderr);
    emit_text(stderr, phase);
    fprintf(stderr, ", \"done\": %" PRIu64 ", \"total\": %" PRIu64 ", \"rate\": %" PRIu64 "}\n",
            progress->done, progress->total, rate(progress, time));
}

static unsigned terminal_width(FILE *out)
{
    struct winsize size;

    if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

/* "1:02:03 left", or "" while nobody can tell. */
static void time_left(char *text, size_t size, const struct progress *progress, uint64_t time)
{
    uint64_t speed = rate(progress, time), seconds;

    *text = '\0';
    if (!speed || progress->done >= progress->total)
        return;
    seconds = (progress->total - progress->done) / speed;
    if (seconds >= 3600)
        snprintf(text, size, "  %" PRIu64 ":%02u:%02u left", seconds / 3600,
                 (unsigned)(seconds / 60 % 60), (unsigned)(seconds % 60));
    else
        snprintf(text, size, "  %u:%02u left", (unsigned)(seconds / 60), (unsigned)(seconds % 60));
}

/* " 45 % [=====>      ] 4.5 GiB of 10 GiB  812 MiB/s  0:06 left", as wide as the terminal allows.
 */
static void write_bar(struct progress *progress, uint64_t time)
{
    static const char equals[] = "========================================";
    char done[SIZE_TEXT], total[SIZE_TEXT], speed[SIZE_TEXT], left[40], tail[160], line[256];
    unsigned width = terminal_width(progress->out), room, filled;
    int length;

    time_left(left, sizeof(left), progress, time);
    snprintf(tail, sizeof(tail), "%s of %s  %s/s%s", size_text(done, progress->done),
             size_text(total, progress->total), size_text(speed, rate(progress, time)), left);
    room = width > strlen(tail) + 11 ? width - (unsigned)strlen(tail) - 11 : 0;
    if (room > sizeof(equals) - 1)
        room = sizeof(equals) - 1;
    filled = (unsigned)(percent(progress) / 100.0 * room);
    length = snprintf(line, sizeof(line), "%3.0f %% [%.*s%*s] %s", percent(progress), (int)filled,
                      equals, (int)(room - filled), "", tail);
    if (length < 0 || (size_t)length >= sizeof(line))
        return;
    if ((unsigned)length >= width) /* a line that wraps could not be written over */
        line[width - 1] = '\0';
    fprintf(progress->out, "\r%-*s", (int)progress->width, line);
    fflush(progress->out);
    progress->width = (unsigned)strlen(line);
}

static void wipe_bar(struct progress *progress)
{
    if (progress->width)
        fprintf(progress->out, "\r%*s\r", (int)progress->width, "");
    progress->width = 0;
    fflush(progress->out);
}

/* --------------------------------------------------------------- the job */

static void show(struct progress *progress, const char *phase, uint64_t time)
{
    double value;

    switch (progress->how) {
    case PROGRESS_PLAIN:
        if (!progress->total) /* then there is but the end to tell of */
            break;
        value = percent(progress);
        if (value >= progress->shown + PLAIN_STEP || (value >= 100 && progress->shown < 100))
            write_plain(progress, value);
        break;
    case PROGRESS_BAR:
        write_bar(progress, time);
        break;
    case PROGRESS_JSON:
        write_json(progress, phase, time);
        break;
    case PROGRESS_AUTO:
    case PROGRESS_OFF:
        break;
    }
    progress->written = time;
}

/* Called by the job; not zero stops it. */
static int progress_step(void *opaque, const img_progress *step)
{
    struct progress *progress = opaque;
    uint64_t time = progress->how == PROGRESS_BAR || progress->how == PROGRESS_JSON ? now() : 0;

    progress->done = step->done;
    progress->total = step->total;
    if (signals_report())
        fprintf(stderr, "    (%3.2f/100%%)\n", percent(progress));
    if (progress->how == PROGRESS_PLAIN || time - progress->written >= INTERVAL ||
        (step->done == step->total && progress->how != PROGRESS_OFF))
        show(progress, step->phase, time);
    return signals_stop();
}

void progress_attach(struct cli *cli, struct progress *progress, img_job *job)
{
    progress->out = progress->aside ? stderr : stdout;
    if (progress->how == PROGRESS_AUTO)
        progress->how = isatty(fileno(progress->out)) ? PROGRESS_BAR : PROGRESS_PLAIN;
    if (cli->quiet)
        progress->how = PROGRESS_OFF;
    progress->started = now();
    img_job_set_progress(job, progress_step, progress);
    if (progress->how == PROGRESS_PLAIN)
        write_plain(progress, 0);
}

void progress_finish(struct progress *progress, bool ok)
{
    if (progress->how == PROGRESS_PLAIN && ok)
        write_plain(progress, 100);
    if (progress->how == PROGRESS_BAR && ok) {
        progress->done = progress->total;
        write_bar(progress, now());
        putc('\n', progress->out);
    } else if (progress->how == PROGRESS_BAR) {
        wipe_bar(progress);
    }
    fflush(progress->out);
}

void progress_end(struct progress *progress)
{
    if (progress->how == PROGRESS_PLAIN)
        putc('\n', progress->out);
}
