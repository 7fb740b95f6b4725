/*
 * Where a tar archive goes. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef TAR_FILE_H
#define TAR_FILE_H

#include "guest.h"

struct tar_file {
    FILE *out;
    char *name, *temporary; /* NULL: it is written to as it is */
};

/*
 * Standard output for "-", or the file of that name, which must be none that the guest lies in.
 * To be ended by tar_file_close, also when it has failed.
 */
bool tar_file_open(struct cli *cli, struct tar_file *file, const struct guest *guest,
                   const char *name);
/* Unless the archive is complete nothing is left of it, where it was a file. */
void tar_file_close(struct cli *cli, struct tar_file *file, bool complete);

#endif
