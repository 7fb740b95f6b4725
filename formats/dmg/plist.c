/*
 * The tables in the XML property list: resource-fork, blkx, of each the Data in base 64.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>

#include "dmg.h"

/* The value of a key of a dict: the element behind the <key>. NULL: there is none of that kind. */
static const struct imgi_xml_node *value_of(const struct imgi_xml_node *dict, const char *key,
                                            const char *kind)
{
    const struct imgi_xml_node *node = dict ? imgi_xml_child(dict, "key") : NULL;

    while (node && strcmp(node->text, key) != 0)
        node = imgi_xml_next(node, "key");
    node = node ? node->next : NULL;
    return node && strcmp(node->name, kind) == 0 ? node : NULL;
}

static int add_table(struct imgi_node *node, const struct imgi_xml_node *dict, img_error *err)
{
    const struct imgi_xml_node *data = value_of(dict, "Data", "data");
    const struct imgi_xml_node *name = value_of(dict, "Name", "string");
    size_t length = data ? data->text_length : 0;
    uint8_t *bytes;
    int rc;

    if (!data)
        return imgi_fail(err, IMG_E_CORRUPT, "property list: a table in blkx has no Data");
    bytes = malloc(length + 1);
    if (!bytes)
        return imgi_fail_nomem(err, "a table");
    memcpy(bytes, data->text, length);
    if (imgi_base64_decode(bytes, &length, " \t\r\n"))
        rc = dmg_mish_add(node, bytes, length, name ? name->text : "", err);
    else
        rc = imgi_fail(err, IMG_E_CORRUPT, "property list: a table in blkx is not in base 64");
    free(bytes);
    return rc;
}

static int add_tables(struct imgi_node *node, const struct imgi_xml_node *plist, img_error *err)
{
    const struct imgi_xml_node *dict = imgi_xml_child(plist, "dict");
    const struct imgi_xml_node *blkx =
        value_of(value_of(dict, "resource-fork", "dict"), "blkx", "array");
    int rc = 0;

    if (!blkx)
        return imgi_fail(err, IMG_E_CORRUPT, "property list: no array resource-fork/blkx");
    for (dict = imgi_xml_child(blkx, "dict"); rc == 0 && dict; dict = imgi_xml_next(dict, "dict"))
        rc = add_table(node, dict, err);
    return rc;
}

int dmg_plist_read(struct imgi_node *node, img_error *err)
{
    const struct dmg_trailer *trailer = &dmg_of(node)->trailer;
    struct imgi_table table = {.what = "property list",
                               .offset = trailer->xml_offset,
                               .entries = trailer->xml_length,
                               .entry_size = 1};
    struct imgi_xml *xml = NULL;
    uint8_t *bytes;
    int rc;

    if (trailer->xml_length > IMGI_XML_BYTES_MAX)
        return imgi_fail(err, IMG_E_LIMIT,
                         "the property list has %llu bytes, more than the limit of %u",
                         (unsigned long long)trailer->xml_length, IMGI_XML_BYTES_MAX);
    rc = imgi_node_read_table(node, &table, &bytes, err);
    if (rc == 0)
        rc = imgi_xml_parse(&xml, bytes, (size_t)trailer->xml_length, err);
    if (rc == 0)
        rc = add_tables(node, imgi_xml_root(xml), err);
    imgi_xml_free(xml);
    free(bytes);
    return rc;
}
