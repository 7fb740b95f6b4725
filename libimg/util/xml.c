/*
 * Trees of XML by libxml2's SAX interface. SPDX-License-Identifier: BSD-2-Clause
 *
 * libxml2 calls for each element, and the tree is made of what it says: limits are kept while it
 * parses and not after it has built a tree of its own. The functions it would need for entities
 * and DTDs are not given to it.
 */
#include "xml.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "checked.h"
#include "library.h"

struct imgi_xml {
    struct imgi_xml_node *root;
    struct imgi_xml_node *made; /* every node, the last one first: for imgi_xml_free */
};

void imgi_xml_free(struct imgi_xml *xml)
{
    struct imgi_xml_node *node = xml ? xml->made : NULL;

    while (node) {
        struct imgi_xml_node *before = node->made;

        for (size_t i = 0; i < node->attribute_count; i++) {
            free(node->attributes[i].name);
            free(node->attributes[i].value);
        }
        free(node->attributes);
        free(node->name);
        free(node->text);
        free(node);
        node = before;
    }
    free(xml);
}

const struct imgi_xml_node *imgi_xml_root(const struct imgi_xml *xml)
{
    return xml->root;
}

/* The first of these siblings that has the name. */
static const struct imgi_xml_node *named(const struct imgi_xml_node *node, const char *name)
{
    while (node && strcmp(node->name, name) != 0)
        node = node->next;
    return node;
}

const struct imgi_xml_node *imgi_xml_child(const struct imgi_xml_node *node, const char *name)
{
    return named(node->child, name);
}

const struct imgi_xml_node *imgi_xml_next(const struct imgi_xml_node *node, const char *name)
{
    return named(node->next, name);
}

const char *imgi_xml_attribute(const struct imgi_xml_node *node, const char *name)
{
    for (size_t i = 0; i < node->attribute_count; i++) {
        if (strcmp(node->attributes[i].name, name) == 0)
            return node->attributes[i].value;
    }
    return NULL;
}

#ifndef HAVE_LIBXML2

int imgi_xml_parse(struct imgi_xml **xml, const void *bytes, size_t length, img_error *err)
{
    (void)xml, (void)bytes, (void)length;
    return imgi_fail(err, IMG_E_UNSUPPORTED,
                     "XML is read with libxml2, which this libimg was built without (Debian: "
                     "libxml2-dev)");
}

#else

#include <libxml/parser.h>
#include <libxml/parserInternals.h>

/* --------------------------------------------------------- length of tags */

static const char *skip_past(const char *at, const char *end, const char *mark)
{
    const char *found = memmem(at, (size_t)(end - at), mark, strlen(mark));

    return found ? found + strlen(mark) : end;
}

/* Behind what begins with the '<' at `at`; the end where libxml2 will find nothing either. */
static int skip_tag(const char **at, const char *end, img_error *err)
{
    static const struct {
        const char *begin, *end;
    } others[] = {{"<!--", "-->"}, {"<![CDATA[", "]]>"}, {"<?", "?>"}};
    const char *limit = *at + IMGI_MIN(IMGI_XML_TAG_MAX, (size_t)(end - *at));
    bool element = end - *at > 1 && (*at)[1] != '!';
    char quote = '\0';

    for (size_t i = 0; i < IMGI_COUNT(others); i++) {
        size_t length = strlen(others[i].begin);

        if ((size_t)(end - *at) >= length && memcmp(*at, others[i].begin, length) == 0) {
            *at = skip_past(*at + length, end, others[i].end);
            return 0;
        }
    }
    for (++*at; *at < limit; ++*at) {
        if (!quote && **at == '>')
            return 0;
        if (element && **at == '<')
            return imgi_fail(err, IMG_E_FORMAT, "XML: line 1 or later: '<' in a tag");
        if (quote && **at == quote)
            quote = '\0';
        else if (!quote && (**at == '"' || **at == '\''))
            quote = **at;
    }
    return *at == end
               ? 0
               : imgi_fail(err, IMG_E_LIMIT, "XML: a tag has more than %u bytes", IMGI_XML_TAG_MAX);
}

/* Tags are found by their bytes, before anything is decoded: on_begin looks at the encoding. */
static int check_tags(const char *text, size_t length, img_error *err)
{
    const char *at = text, *end = text + length;
    int rc = 0;

    if (memchr(text, '\0', length))
        return imgi_fail(err, IMG_E_FORMAT, "XML: there are NUL characters: it is not UTF-8");
    while (rc == 0 && (at = memchr(at, '<', (size_t)(end - at))))
        rc = skip_tag(&at, end, err);
    return rc;
}

/* ---------------------------------------------------------------- library */

/* 2.14 changed its binary interface. */
#if LIBXML_VERSION >= 21400
#define SONAME "libxml2.so.16"
#else
#define SONAME "libxml2.so.2"
#endif

#define FUNCTIONS(F)                                                                               \
    F(xmlInitParser)                                                                               \
    F(xmlCreateMemoryParserCtxt)                                                                   \
    F(xmlCtxtUseOptions)                                                                           \
    F(xmlParseDocument)                                                                            \
    F(xmlStopParser)                                                                               \
    F(xmlFreeParserCtxt)

/* One pointer a function, of the function's own name and type. */
struct library {
#define FIELD(function) __typeof__(function) *function;
    FUNCTIONS(FIELD)
};

static int load(struct library *library, img_error *err)
{
    static const struct imgi_symbol symbols[] = {
#define SYMBOL(function) {#function, offsetof(struct library, function), false},
        FUNCTIONS(SYMBOL)};

    return imgi_library_load(
        library, SONAME, symbols, IMGI_COUNT(symbols),
        "XML is read with " SONAME " (Debian: libxml2), which cannot be loaded", err);
}

/* ----------------------------------------------------------------- parser */

/* The first failure ends the parsing; rc and *err tell of it. */
struct parser {
    struct library library;
    xmlParserCtxtPtr context;
    struct imgi_xml *xml;
    struct imgi_xml_node *here; /* the element that is open; NULL: none */
    unsigned depth;
    size_t nodes;
    int rc;
    img_error *err;
};

static void stop(struct parser *parser, int rc)
{
    if (parser->rc == 0)
        parser->rc = rc;
    parser->library.xmlStopParser(parser->context);
}

static struct imgi_xml_node *node_new(struct parser *parser, const char *name)
{
    struct imgi_xml_node *node = calloc(1, sizeof(*node));

    if (!node)
        return NULL;
    node->made = parser->xml->made;
    parser->xml->made = node;
    node->name = strdup(name);
    node->text = strdup("");
    return node->name && node->text ? node : NULL;
}

/* Put it behind its parent's other children. */
static void node_join(struct parser *parser, struct imgi_xml_node *node)
{
    struct imgi_xml_node *parent = parser->here;

    node->parent = parent;
    if (!parent)
        parser->xml->root = node;
    else if (parent->last)
        parent->last->next = node;
    else
        parent->child = node;
    if (parent)
        parent->last = node;
}

/* libxml2 gives five pointers an attribute: name, prefix, namespace, begin and end of the value. */
static bool node_attributes(struct imgi_xml_node *node, const xmlChar **given, size_t count)
{
    node->attributes = calloc(IMGI_MAX(count, 1), sizeof(*node->attributes));
    if (!node->attributes)
        return false;
    for (size_t i = 0; i < count; i++, given += 5) {
        struct imgi_xml_attribute *attribute = &node->attributes[node->attribute_count++];

        attribute->name = strdup((const char *)given[0]);
        attribute->value = strndup((const char *)given[3], (size_t)(given[4] - given[3]));
        if (!attribute->name || !attribute->value)
            return false;
    }
    return true;
}

/* Whether the limits have room for another element with so many attributes. */
static bool within_limits(struct parser *parser, size_t attributes)
{
    parser->nodes += 1 + attributes;
    if (parser->depth >= IMGI_XML_DEPTH_MAX)
        stop(parser, imgi_fail(parser->err, IMG_E_LIMIT, "XML: elements nest deeper than %u levels",
                               IMGI_XML_DEPTH_MAX));
    else if (parser->nodes > IMGI_XML_NODES_MAX)
        stop(parser,
             imgi_fail(parser->err, IMG_E_LIMIT,
                       "XML: there are more than %u elements and attributes", IMGI_XML_NODES_MAX));
    return parser->rc == 0;
}

/* The declaration has been read. */
static void on_begin(void *opaque)
{
    static const char *const names[] = {"UTF-8", "US-ASCII", "ASCII", "ISO-8859-", "windows-125"};
    struct parser *parser = opaque;
    const xmlParserCtxt *context = parser->context;
    const xmlChar *encoding = context->encoding;

    if (!encoding && context->input)
        encoding = context->input->encoding;
    for (size_t i = 0; encoding && i < IMGI_COUNT(names); i++) {
        if (strncasecmp((const char *)encoding, names[i], strlen(names[i])) == 0)
            encoding = NULL;
    }
    if (encoding)
        stop(parser, imgi_fail(parser->err, IMG_E_UNSUPPORTED,
                               "XML: the encoding '%.32s' is not supported", encoding));
}

static void on_start(void *opaque, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
                     int namespace_count, const xmlChar **namespaces, int attribute_count,
                     int defaulted, const xmlChar **attributes)
{
    struct parser *parser = opaque;
    struct imgi_xml_node *node;

    (void)prefix, (void)uri, (void)namespace_count, (void)namespaces, (void)defaulted;
    if (parser->rc < 0 || !within_limits(parser, (size_t)attribute_count))
        return;
    node = node_new(parser, (const char *)name);
    if (!node || !node_attributes(node, attributes, (size_t)attribute_count)) {
        stop(parser, imgi_fail_nomem(parser->err, "an XML document"));
        return;
    }
    node_join(parser, node);
    parser->here = node;
    parser->depth++;
}

static void on_end(void *opaque, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
    struct parser *parser = opaque;

    (void)name, (void)prefix, (void)uri;
    if (parser->rc < 0)
        return;
    parser->here = parser->here->parent;
    parser->depth--;
}

static void on_text(void *opaque, const xmlChar *text, int length)
{
    struct parser *parser = opaque;
    struct imgi_xml_node *node = parser->here;
    size_t end;

    if (parser->rc < 0 || !node)
        return;
    end = node->text_length + (size_t)length;
    if (end + 1 > node->text_room) {
        size_t room = IMGI_MAX(2 * node->text_room, end + 1);
        char *larger = realloc(node->text, room);

        if (!larger) {
            stop(parser, imgi_fail_nomem(parser->err, "an XML document"));
            return;
        }
        node->text = larger;
        node->text_room = room;
    }
    memcpy(node->text + node->text_length, text, (size_t)length);
    node->text[end] = '\0';
    node->text_length = end;
}

/* --------------------------------------------------- declarations: refused */

/*
 * A document type has been read up to where its declarations would begin, with the name of a DTD
 * at most, which nobody reads.
 */
static void on_document_type(void *opaque, const xmlChar *name, const xmlChar *public_id,
                             const xmlChar *system_id)
{
    struct parser *parser = opaque;
    const xmlParserInput *input = parser->context->input;

    (void)name, (void)public_id, (void)system_id;
    if (parser->rc == 0 && input && *input->cur == '[')
        stop(parser, imgi_fail(parser->err, IMG_E_DENIED,
                               "XML: line %d: declarations (entities, a DTD) are not allowed",
                               input->line));
}

/* ----------------------------------------------------------------- errors */

/*
 * Warnings and errors that can be recovered from come here too. One of them counts: an entity that
 * the DTD may declare, which nobody reads.
 */
static bool is_fatal(const xmlError *error)
{
    return error->level == XML_ERR_FATAL || error->code == XML_WAR_UNDECLARED_ENTITY;
}

static void on_error(void *opaque, xmlErrorPtr error)
{
    struct parser *parser = opaque;
    size_t length;

    if (parser->rc < 0 || !error || !is_fatal(error))
        return;
    if (error->code == XML_ERR_NO_MEMORY) {
        parser->rc = imgi_fail_nomem(parser->err, "an XML document");
        return;
    }
    length = error->message ? strcspn(error->message, "\n") : 0;
    parser->rc = imgi_fail(parser->err, IMG_E_FORMAT, "XML: line %d: %.*s", error->line,
                           (int)IMGI_MIN(length, 200), error->message ? error->message : "");
}

static int parse(struct parser *parser, const void *bytes, size_t length)
{
    static const xmlSAXHandler handler = {
        .initialized = XML_SAX2_MAGIC,
        .startDocument = on_begin,
        .internalSubset = on_document_type,
        .startElementNs = on_start,
        .endElementNs = on_end,
        .characters = on_text,
        .cdataBlock = on_text,
        .serror = on_error,
    };
    const struct library *library = &parser->library;

    library->xmlInitParser();
    parser->context = library->xmlCreateMemoryParserCtxt(bytes, (int)length);
    if (!parser->context)
        return imgi_fail_nomem(parser->err, "an XML document");
    /*
     * HUGE lifts libxml2's limits: those above are narrower, and the same in all its versions.
     * NOENT resolves the five entities in attributes too; there are no others.
     */
    library->xmlCtxtUseOptions(parser->context, XML_PARSE_NONET | XML_PARSE_NOENT | XML_PARSE_HUGE);
    *parser->context->sax = handler;
    parser->context->userData = parser;
    if (library->xmlParseDocument(parser->context) < 0 && parser->rc == 0)
        parser->rc = imgi_fail(parser->err, IMG_E_FORMAT, "XML: the document is not well-formed");
    library->xmlFreeParserCtxt(parser->context);
    if (parser->rc == 0 && !parser->xml->root)
        parser->rc = imgi_fail(parser->err, IMG_E_FORMAT, "XML: the document is empty");
    return parser->rc;
}

int imgi_xml_parse(struct imgi_xml **xml, const void *bytes, size_t length, img_error *err)
{
    struct parser parser = {.err = err};
    int rc;

    if (length > IMGI_XML_BYTES_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "XML: %zu bytes are over the limit of %u", length,
                         IMGI_XML_BYTES_MAX);
    if (length == 0)
        return imgi_fail(err, IMG_E_FORMAT, "XML: the document is empty");
    rc = check_tags(bytes, length, err);
    if (rc == 0)
        rc = load(&parser.library, err);
    if (rc < 0)
        return rc;
    parser.xml = calloc(1, sizeof(*parser.xml));
    if (!parser.xml)
        return imgi_fail_nomem(err, "an XML document");
    rc = parse(&parser, bytes, length);
    if (rc < 0)
        imgi_xml_free(parser.xml);
    else
        *xml = parser.xml;
    return rc;
}

#endif
