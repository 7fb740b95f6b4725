/*
 * The entry for libFuzzer. The program's name says the format: "vmdk" or "fuzz-vmdk".
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>

#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static const char *format;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *name = strrchr((*argv)[0], '/');

    (void)argc;
    name = name ? name + 1 : (*argv)[0];
    format = strncmp(name, "fuzz-", 5) == 0 ? name + 5 : name;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    fuzz_seed(format, bytes, length);
    return 0;
}
