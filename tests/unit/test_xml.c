/*
 * XML as trees: what is found in them, and what a stranger's document cannot do.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "util/xml.h"

#ifndef HAVE_LIBXML2

static void says_what_is_missing(void **state)
{
    struct imgi_xml *xml = NULL;
    img_error err = {0};

    (void)state;
    assert_int_equal(imgi_xml_parse(&xml, "<a/>", 4, &err), IMG_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "libxml2-dev"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(says_what_is_missing)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static int parse(const char *text, struct imgi_xml **xml, img_error *err)
{
    *xml = NULL;
    *err = (img_error){0};
    return imgi_xml_parse(xml, text, strlen(text), err);
}

static void refuses(const char *text, int code, const char *message)
{
    struct imgi_xml *xml;
    img_error err;

    assert_int_equal(parse(text, &xml, &err), code);
    assert_null(xml);
    if (!strstr(err.message, message))
        fail_msg("'%s' does not say '%s'", err.message, message);
}

static void finds_elements_attributes_and_text(void **state)
{
    static const char text[] = "<?xml version=\"1.0\"?>\n"
                               "<o:E xmlns:o=\"urn:x\" o:v=\"1\"><o:A o:n=\"a&amp;&#x62;\"/>"
                               "<B> one<C/><![CDATA[ <two>]]></B><!-- no --><A n='second'/></o:E>";
    struct imgi_xml *xml;
    img_error err;
    const struct imgi_xml_node *root, *node;

    (void)state;
    assert_int_equal(parse(text, &xml, &err), 0);
    root = imgi_xml_root(xml);
    assert_string_equal(root->name, "E");
    assert_string_equal(imgi_xml_attribute(root, "v"), "1");
    assert_null(imgi_xml_attribute(root, "w"));
    node = imgi_xml_child(root, "A");
    assert_string_equal(imgi_xml_attribute(node, "n"), "a&b");
    assert_string_equal(node->text, "");
    node = imgi_xml_next(node, "A");
    assert_string_equal(imgi_xml_attribute(node, "n"), "second");
    assert_null(imgi_xml_next(node, "A"));
    node = imgi_xml_child(root, "B");
    assert_string_equal(node->text, " one <two>");
    assert_int_equal(node->text_length, 10);
    assert_ptr_equal(node->child->parent, node);
    assert_null(imgi_xml_child(root, "C"));
    imgi_xml_free(xml);
}

static void passes_over_the_name_of_a_dtd(void **state)
{
    struct imgi_xml *xml;
    img_error err;

    (void)state;
    assert_int_equal(parse("<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" "
                           "\"http://127.0.0.1:1/PropertyList-1.0.dtd\"><plist>x</plist>",
                           &xml, &err),
                     0);
    assert_string_equal(imgi_xml_root(xml)->text, "x");
    imgi_xml_free(xml);
}

static void refuses_declarations(void **state)
{
    (void)state;
    refuses("<!DOCTYPE a [<!ENTITY l \"lol\"><!ENTITY m \"&l;&l;&l;\">]><a>&m;</a>", IMG_E_DENIED,
            "line 1: declarations");
    refuses("<!DOCTYPE a [<!ENTITY f SYSTEM \"file:///etc/passwd\">]><a>&f;</a>", IMG_E_DENIED,
            "declarations");
    refuses("<!DOCTYPE a SYSTEM \"a.dtd\" [<!ENTITY % p SYSTEM \"b.dtd\"> %p;]><a/>", IMG_E_DENIED,
            "declarations");
    refuses("<!DOCTYPE a [<!ATTLIST a b CDATA \"default\">]><a/>", IMG_E_DENIED, "declarations");
    refuses("<a>&undeclared;</a>", IMG_E_FORMAT, "XML: line 1: ");
    refuses("<!DOCTYPE a SYSTEM \"/etc/passwd\"><a>&undeclared;</a>", IMG_E_FORMAT, "undeclared");
    refuses("<!DOCTYPE a SYSTEM \"/etc/passwd\"><a b=\"&undeclared;\"/>", IMG_E_FORMAT,
            "undeclared");
}

static void refuses_what_is_not_well_formed(void **state)
{
    static const char whole[] = "<?xml version=\"1.0\"?><a b=\"c\"><d>text</d></a>";

    (void)state;
    for (size_t length = 0; length < sizeof(whole) - 1; length++) {
        struct imgi_xml *xml = NULL;
        img_error err = {0};

        assert_int_equal(imgi_xml_parse(&xml, whole, length, &err), IMG_E_FORMAT);
        assert_null(xml);
        assert_int_equal(strncmp(err.message, "XML: ", 5), 0);
    }
    refuses("<a>\n<b></a>", IMG_E_FORMAT, "line 2");
    refuses("<a/><b/>", IMG_E_FORMAT, "XML: ");
    refuses("<a b='1' b='2'/>", IMG_E_FORMAT, "redefined");
    refuses("<a>\xff\xfe</a>", IMG_E_FORMAT, "XML: ");
}

/* `count` times `part` between `head` and `tail`. */
static char *repeated(const char *head, const char *part, size_t count, const char *tail)
{
    size_t step = strlen(part), at = strlen(head);
    char *text = malloc(at + count * step + strlen(tail) + 1);

    assert_non_null(text);
    memcpy(text, head, at);
    for (size_t i = 0; i < count; i++, at += step)
        memcpy(text + at, part, step);
    memcpy(text + at, tail, strlen(tail) + 1);
    return text;
}

static void keeps_its_limits(void **state)
{
    char *deep = repeated("", "<a>", IMGI_XML_DEPTH_MAX + 1, "");
    char *many = repeated("<a>", "<b/>", IMGI_XML_NODES_MAX, "</a>");
    char *large = repeated("<a b='", "x", IMGI_XML_BYTES_MAX, "'/>");
    char *wide = repeated("<a b='", ">", IMGI_XML_TAG_MAX, "' c='>'/>");
    char *remark = repeated("<a><!--", "<", 2 * IMGI_XML_TAG_MAX, "--></a>");
    struct imgi_xml *xml;
    img_error err;

    (void)state;
    refuses(deep, IMG_E_LIMIT, "deeper than 64 levels");
    refuses(many, IMG_E_LIMIT, "more than 262144 elements");
    refuses(large, IMG_E_LIMIT, "over the limit of 16777216");
    free(deep);
    free(many);
    refuses(wide, IMG_E_LIMIT, "a tag has more than 65536 bytes");
    assert_int_equal(parse(remark, &xml, &err), 0);
    imgi_xml_free(xml);
    free(large);
    free(wide);
    free(remark);
}

/* Where a tag ends is looked for in the bytes: they have to mean what they look like. */
static void refuses_other_encodings(void **state)
{
    static const char utf16[] = "\xff\xfe<\0a\0/\0>";
    struct imgi_xml *xml;
    img_error err;

    (void)state;
    assert_int_equal(imgi_xml_parse(&xml, utf16, sizeof(utf16), &err), IMG_E_FORMAT);
    refuses("<?xml version='1.0' encoding='UTF-7'?><a/>", IMG_E_UNSUPPORTED, "UTF-7");
    assert_int_equal(parse("<?xml version='1.0' encoding='iso-8859-1'?><a>\xe4</a>", &xml, &err),
                     0);
    assert_string_equal(imgi_xml_root(xml)->text, "\xc3\xa4");
    imgi_xml_free(xml);
}

/* Text comes in pieces, and libxml2's own limit of 10 MB is lifted. */
static void takes_long_values(void **state)
{
    size_t length = 12u << 20;
    char *text = repeated("<a>", "0123456789abcdef", length / 16, "</a>");
    struct imgi_xml *xml;
    img_error err;

    (void)state;
    assert_int_equal(parse(text, &xml, &err), 0);
    assert_int_equal(imgi_xml_root(xml)->text_length, length);
    assert_int_equal(strlen(imgi_xml_root(xml)->text), length);
    imgi_xml_free(xml);
    free(text);
}

static void *parse_often(void *argument)
{
    for (int i = 0; i < 200; i++) {
        struct imgi_xml *xml = NULL;

        if (imgi_xml_parse(&xml, "<a><b c='d'>e</b></a>", 21, NULL) < 0 ||
            imgi_xml_parse(&xml, "<a><b c='d'>e</b>", 17, NULL) == 0)
            return argument;
        imgi_xml_free(xml);
    }
    return NULL;
}

static void serves_many_threads(void **state)
{
    pthread_t threads[4];
    void *failed;

    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, parse_often, threads), 0);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_elements_attributes_and_text),
        cmocka_unit_test(passes_over_the_name_of_a_dtd),
        cmocka_unit_test(refuses_declarations),
        cmocka_unit_test(refuses_what_is_not_well_formed),
        cmocka_unit_test(keeps_its_limits),
        cmocka_unit_test(refuses_other_encodings),
        cmocka_unit_test(takes_long_values),
        cmocka_unit_test(serves_many_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
