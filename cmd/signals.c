/*
 * Signals: the orderly end of a long operation. SPDX-License-Identifier: BSD-2-Clause
 *
 * A handler can be told nothing but the signal's number, so what has come is kept in the two
 * variables below, the only ones of the program that outlive a function. Handlers set them, in
 * whatever thread they run; the threads that report progress and the end of each step read them.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

#include "cmd.h"

static atomic_int stop_signal, report_wanted;

static void on_stop(int signal_number)
{
    stop_signal = signal_number;
}

static void on_report(int signal_number)
{
    (void)signal_number;
    report_wanted = 1;
}

void signals_catch(void)
{
    static const int stops[] = {SIGINT, SIGTERM, SIGHUP};
    /* Reset: the second ctrl-C kills, whatever the first one is waiting for. */
    struct sigaction stop = {.sa_handler = on_stop, .sa_flags = (int)SA_RESETHAND};
    struct sigaction report = {.sa_handler = on_report, .sa_flags = SA_RESTART};
    struct sigaction old;

    for (size_t n = 0; n < sizeof(stops) / sizeof(stops[0]); n++)
        /* What the caller had us ignore (nohup, a job in the background) stays ignored. */
        if (sigaction(stops[n], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(stops[n], &stop, NULL);
    sigaction(SIGUSR1, &report, NULL);
}

void signals_ignore_pipe(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};

    sigaction(SIGPIPE, &ignore, NULL);
}

int signals_stop(void)
{
    return stop_signal;
}

static int asked(void *opaque)
{
    (void)opaque;
    return stop_signal;
}

const img_interrupt signals_interrupt = {.asked = asked};

bool signals_report(void)
{
    return atomic_exchange(&report_wanted, 0);
}

bool signals_stopped(struct cli *cli)
{
    if (!stop_signal)
        return false;
    cli->status = 128 + stop_signal;
    return true;
}
