/*
 * measure: how large would it be? SPDX-License-Identifier: BSD-2-Clause
 */
#include "internal.h"

int imgi_measure_data(const struct imgi_measure *measure, uint32_t cluster_size, uint64_t *bytes,
                      img_error *err)
{
    struct imgi_node *top;
    uint64_t offset = 0, counted = 0; /* every cluster that begins below counted has been counted */

    *bytes = 0;
    if (!measure->has_source)
        return 0;
    top = measure->source->top;
    while (offset < top->size) {
        struct imgi_layer_run run;
        int rc = imgi_chain_map(top, offset, top->size - offset, &run, err);

        if (rc < 0)
            return rc;
        offset += run.extent.length;
        if (run.extent.kind != IMGI_ZERO) {
            uint64_t start = imgi_align_down(offset - run.extent.length, cluster_size);
            uint64_t end = imgi_align_up(offset, cluster_size);

            start = IMGI_MAX(start, counted);
            if (end > start)
                *bytes += end - start;
            counted = end;
        }
    }
    return 0;
}

int img_measure(const char *format, const img_options *options, img_image *source, uint64_t size,
                img_measure_result *result, img_error *err)
{
    const struct imgi_driver *driver = imgi_driver_find(format);
    img_options *none = options ? NULL : img_options_new();
    struct imgi_measure measure = {.options = options ? options : none,
                                   .has_source = source != NULL,
                                   .source = source,
                                   .top = source ? source->top : NULL,
                                   .size = source ? img_size(source) : size};
    int rc = 0;

    *result = (img_measure_result){0};
    if (!measure.options)
        return imgi_fail_nomem(err, "options");
    if (!driver)
        rc = imgi_fail(err, IMG_E_NOENT, "Unknown file format '%s'", format);
    else if (!driver->measure)
        rc = imgi_fail(err, IMG_E_UNSUPPORTED,
                       "Block driver '%s' does not support size measurement", driver->name);
    if (rc == 0) {
        measure.table = driver->create_options;
        rc = imgi_options_check(measure.options, measure.table, driver->name, err);
    }
    if (rc == 0)
        rc = driver->measure(&measure, result, err);
    img_options_free(none);
    return rc;
}
