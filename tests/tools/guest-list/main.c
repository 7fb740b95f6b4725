/*
 * Everything that is in a filesystem, a line for each file, as libimg sees it or as the kernel
 * does, so that the two can be compared. SPDX-License-Identifier: BSD-2-Clause
 *
 *     guest-list [-f FORMAT] [-s | -u] [-k KEYS] IMAGE [DEVICE]
 *     guest-list [-s] [-k KEYS] -l DIRECTORY
 *
 * Without a DEVICE ("/dev/sda2") it is the first filesystem of the image. A line is the path and,
 * in the order of enum key, KEY=VALUE for each of KEYS ("mode,size"; all if not given). Names are
 * sorted; what is not printable is in octal. runs are data and holes, as far as the file's end.
 * With -s it is how full the filesystem is, with -u offset and length of what it does not use.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "list.h"

static const char *first_filesystem(const img_guest *guest)
{
    img_volume volume;

    for (size_t n = 0; img_guest_volume(guest, n, &volume, NULL) == 0; n++) {
        if (volume.holds_filesystem)
            return volume.device;
    }
    return "no filesystem";
}

static void say(void *opaque, const char *text)
{
    (void)opaque;
    fprintf(stderr, "%s\n", text);
}

static void list_of_image(struct list *list, void (*what)(struct list *), const char *format,
                          const char *name, const char *device)
{
    img_guest_params params = {.notice = say};
    img_error err = {0};
    img_image *image;
    img_guest *guest = NULL;

    if (img_open(&image, name, &(img_open_params){.format = format}, &err) < 0 ||
        img_guest_open(&guest, &image, 1, &params, &err) < 0 ||
        img_guest_fs(guest, device ? device : first_filesystem(guest), &list->fs, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    what(list);
    img_guest_close(guest);
    img_close(image, NULL);
}

int main(int argc, char **argv)
{
    static struct list list = {.wanted = ~0u};
    void (*what)(struct list *) = list_filesystem;
    const char *format = NULL, *directory = NULL;
    int option;

    while ((option = getopt(argc, argv, "f:k:l:su")) >= 0) {
        if (option == 'f')
            format = optarg;
        else if (option == 'k')
            list.wanted = parse_keys(optarg);
        else if (option == 'l')
            directory = optarg;
        else if (option == 'u')
            what = list_free;
        else if (option == 's')
            what = list_usage;
        else
            return 2;
    }
    list.buffer = malloc(BUFFER);
    if (!list.buffer || imgi_digest_new(&list.digest, IMGI_HASH_SHA256, NULL) < 0)
        return 1;
    if (directory && what == list_usage)
        list_directory_usage(directory);
    else if (directory)
        list_directory(&list, directory);
    else if (optind < argc)
        list_of_image(&list, what, format, argv[optind], argv[optind + 1]);
    imgi_digest_free(list.digest);
    free(list.buffer);
    return list.failed;
}
