/*
 * XML documents as small trees. SPDX-License-Identifier: BSD-2-Clause
 *
 * libxml2 does the parsing and is loaded by the first call: linked in the usual way it would bring
 * ICU with it, which takes longer to load than most commands run.
 *
 * A document comes from a stranger. Nothing but its own bytes is ever read: a document type that
 * names a DTD (as property lists do) is passed over, one that declares anything is refused, so
 * there are no entities but the five of XML itself.
 */
#ifndef IMGI_XML_H
#define IMGI_XML_H

#include <stddef.h>

#include "../error.h"

/* Far above what any OVF or property list needs, and far below what could hurt. */
#define IMGI_XML_BYTES_MAX (16u << 20)
#define IMGI_XML_DEPTH_MAX 64u
/* Of one tag: libxml2 compares each of its attributes with all the others. */
#define IMGI_XML_TAG_MAX (64u << 10)
/* Elements and attributes together. */
#define IMGI_XML_NODES_MAX (256u << 10)

struct imgi_xml_attribute {
    char *name; /* without its namespace's prefix */
    char *value;
};

/* An element. All of it belongs to the document and does not change. */
struct imgi_xml_node {
    char *name; /* without its namespace's prefix */
    char *text; /* the characters directly inside it, joined; never NULL */
    size_t text_length;
    struct imgi_xml_attribute *attributes;
    size_t attribute_count;
    struct imgi_xml_node *parent; /* NULL: the root */
    struct imgi_xml_node *child;  /* the first one, or NULL */
    struct imgi_xml_node *next;   /* the parent's next child, or NULL */

    /* The parser's own. */
    struct imgi_xml_node *last, *made;
    size_t text_room;
};

struct imgi_xml;

/*
 * Parse a document, which is in UTF-8 or another encoding whose ASCII characters are those bytes.
 * IMG_E_UNSUPPORTED when there is no libxml2 or for other encodings, IMG_E_LIMIT above the limits,
 * IMG_E_FORMAT for what is no well-formed XML, IMG_E_DENIED for declarations in a document type.
 * Safe from many threads.
 */
int imgi_xml_parse(struct imgi_xml **xml, const void *bytes, size_t length, img_error *err);
void imgi_xml_free(struct imgi_xml *xml); /* NULL is allowed */

/* Never NULL. */
const struct imgi_xml_node *imgi_xml_root(const struct imgi_xml *xml);
/* The first child of that name, and the next one behind it; NULL when there is none. */
const struct imgi_xml_node *imgi_xml_child(const struct imgi_xml_node *node, const char *name);
const struct imgi_xml_node *imgi_xml_next(const struct imgi_xml_node *node, const char *name);
/* The attribute's value, or NULL. */
const char *imgi_xml_attribute(const struct imgi_xml_node *node, const char *name);

#endif
