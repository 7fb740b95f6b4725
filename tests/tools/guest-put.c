/*
 * Copy files into a guest's filesystem. SPDX-License-Identifier: BSD-2-Clause
 *
 *   guest-put IMAGE DEVICE TARGET SOURCE...
 */
#include <stdio.h>

#include "libimg.h"

static void tell(void *opaque, const char *text)
{
    (void)opaque;
    fprintf(stderr, "%s\n", text);
}

static int put(img_image *image, char **argv, size_t count, img_error *err)
{
    img_guest_params params = {.notice = tell};
    img_guest *guest;
    img_tree *tree = NULL;
    int rc = img_guest_open(&guest, &image, 1, &params, err);

    if (rc < 0)
        return rc;
    rc = img_tree_new(&tree, guest, err);
    if (rc == 0)
        rc = img_tree_mount(tree, argv[2], "/", err);
    if (rc == 0)
        rc = img_tree_put(tree, (const char *const *)argv + 4, count, argv[3], err);
    img_tree_free(tree);
    img_guest_close(guest);
    return rc;
}

int main(int argc, char **argv)
{
    img_open_params params = {.flags = IMG_OPEN_WRITE};
    img_image *image;
    img_error err;
    int rc;

    if (argc < 5)
        return 2;
    rc = img_open(&image, argv[1], &params, &err);
    if (rc == 0) {
        rc = put(image, argv, (size_t)argc - 4, &err);
        rc = img_close(image, rc < 0 ? NULL : &err) < 0 && rc == 0 ? -1 : rc;
    }
    if (rc < 0)
        fprintf(stderr, "guest-put: %s\n", err.message);
    return rc < 0;
}
