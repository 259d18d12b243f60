#include "blobferry/codec/xml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/codec/vectors.h"

/* Renders events as "(a (b text) )" with depths checked; false when the document is malformed. */
static bool render(const char *p, size_t n, size_t max_text, struct buf *out)
{
    struct xml x;
    int depth = 0;
    xml_init(&x, p, n, max_text);
    while (xml_next(&x)) {
        assert_non_null(x.name);
        if (x.event == XML_OPEN) {
            assert_int_equal(x.depth, ++depth);
            assert_true(depth <= XML_DEPTH_MAX);
            (void)buf_printf(out, "(%s", x.name);
        } else {
            assert_int_equal(x.depth, depth--);
            if (x.leaf)
                (void)buf_printf(out, " %s)", buf_cstr(&x.text));
            else
                (void)buf_str(out, ")");
        }
    }
    const bool sound = !x.failed;
    assert_true(x.failed != x.done);
    assert_true(!sound || depth == 0);
    assert_false(xml_next(&x)); /* the end stays the end */
    xml_release(&x);
    return sound;
}

static void reads(const char *text, const char *expected)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    if (!render(text, strlen(text), 0, &b))
        fail_msg("'%s' was refused after '%s'", text, buf_cstr(&b));
    assert_string_equal(buf_cstr(&b), expected);
    buf_release(&b);
}

static void refuses(const char *text)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    if (render(text, strlen(text), 0, &b))
        fail_msg("'%s' was taken as '%s'", text, buf_cstr(&b));
    buf_release(&b);
}

static void test_xml_elements_and_text(void **unused)
{
    (void)unused;
    reads("<a/>", "(a )");
    reads("<a></a>", "(a )");
    reads("<a>x</a>", "(a x)");
    reads("<a><b>1</b><c/></a>", "(a(b 1)(c ))");
    reads("<a> <b> x </b> </a>", "(a(b  x ))");
    reads("<a>one<b>two</b>three</a>", "(a(b two))");
    reads("<a><b><c>d</c></b>e</a>", "(a(b(c d)))");
    reads("<Error><Code>A</Code><Message>m</Message></Error>\n", "(Error(Code A)(Message m))");
    reads("<a>caf\xc3\xa9 \xff</a>", "(a caf\xc3\xa9 \xff)"); /* bytes, not characters */
    reads("<a>x > y ]]> z</a>", "(a x > y ]]> z)");
    reads("<a>x\r\ny\rz</a>", "(a x\r\ny\rz)"); /* keys may hold CR: not normalised */
    reads("<\xc3\xa9>x</\xc3\xa9>", "(\xc3\xa9 x)");
    reads("<Token-0>x</Token-0>", "(Token-0 x)");
}

static void test_xml_what_surrounds_the_root(void **unused)
{
    (void)unused;
    reads("\xef\xbb\xbf<a/>", "(a )");
    reads("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a/>", "(a )");
    reads("  \r\n\t<?xml version='1.0'?><!-- c --> <a/> <!-- d --><?p i?>\n", "(a )");
    reads("<a><!-- <b> & --><b>1<!--2-->3</b><?x <y>?></a>", "(a(b 13))");
}

static void test_xml_namespaces_are_dropped(void **unused)
{
    (void)unused;
    reads("<s3:Error xmlns:s3=\"http://x/\"><s3:Code>A</s3:Code></s3:Error>", "(Error(Code A))");
    reads("<Error xmlns=\"http://x/\"><Code>A</Code></Error>", "(Error(Code A))");
    refuses("<a:x></b:x>"); /* the tags themselves must match */
}

static void test_xml_attributes_are_passed_over(void **unused)
{
    (void)unused;
    reads("<a x=\"</a>\" y='>'>1</a >", "(a 1)");
    reads("<a x = '\"' \n\t y=\"'\"/>", "(a )");
    reads("<a x='1' />", "(a )");
    reads("<a >1</a>", "(a 1)");
    refuses("<a x>1</a>");
    refuses("<a x=>1</a>");
    refuses("<a x=1>1</a>");
    refuses("<a x='1>1</a>");
    refuses("<a x='1'y='2'>1</a>");
    refuses("<a ='1'>1</a>");
}

static void test_xml_references(void **unused)
{
    (void)unused;
    reads("<a>&amp;&lt;&gt;&quot;&apos;</a>", "(a &<>\"')");
    reads("<a>&#38;&#x26;&#0000038;</a>", "(a &&&)");
    reads("<a>&#9;&#10;&#13;&#1;&#x7f;</a>", "(a \t\n\r\x01\x7f)");
    reads("<a>&#233;&#x20ac;&#x1F600;&#x10ffff;</a>",
          "(a \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf)");
    reads("<a>&amp;amp;</a>", "(a &amp;)"); /* once */
    static const char *const bad[] = {
        "&",
        "&;",
        "&x;",
        "&AMP;",
        "&amp",
        "& amp;",
        "&#;",
        "&#x;",
        "&#0;",
        "&#x0;",
        "&#xd800;",
        "&#xDFFF;",
        "&#1114112;",
        "&#x110000;",
        "&#99999999999;",
        "&#4294967334;",
        "&#-1;",
        "&#+38;",
        "&#3 8;",
        "&#x 26;",
        "&#X26;",
        "&#xg;",
        "&nbsp;",
        "&#00000000000038;",
        "&amp&amp;",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "<a>%s</a>", bad[i]);
        refuses(text);
    }
}

static void test_xml_cdata(void **unused)
{
    (void)unused;
    reads("<a><![CDATA[<b>&amp;]]]]></a>", "(a <b>&amp;]])");
    reads("<a>1<![CDATA[2]]>3<![CDATA[]]></a>", "(a 123)");
    reads("<a><![CDATA[x]]><b/></a>", "(a(b ))");
    refuses("<a><![CDATA[x]]</a>");
    refuses("<a><![CDATA[x");
    refuses("<![CDATA[x]]><a/>");
    refuses("<a/><![CDATA[x]]>");
}

static void test_xml_malformed_documents(void **unused)
{
    (void)unused;
    static const char *const bad[] = {
        "",
        " ",
        "\xef\xbb\xbf",
        "x",
        "<",
        "<a",
        "<a ",
        "<a>",
        "<a/",
        "<a><",
        "<a></",
        "<a></a",
        "<a></a ",
        "</a>",
        "<a></b>",
        "<a></A>",
        "<a></aa>",
        "<aa></a>",
        "<a><b></a></b>",
        "<a/><b/>",
        "<a/>x",
        "x<a/>",
        "<a/></a>",
        "<a></a></a>",
        "< a/>",
        "<a></ a>",
        "<1/>",
        "<-a/>",
        "<a></a x='1'>",
        "<>",
        "</>",
        "<a></>",
        "<!-- x",
        "<a><!-- x --</a>",
        "<?xml",
        "<a/><?x",
        "<a><!ELEMENT b></a>",
        "<a><!b></a>",
        "{\"a\":1}",
        "<html><body><hr></body></html>",
        "<a>&</a>",
        "&amp;<a/>",
        "<a/>&amp;",
        "\xfe\xff\x00<",
        "<a>\x01<",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refuses(bad[i]);
}

static void test_xml_dtd_is_refused_before_any_event(void **unused)
{
    (void)unused;
    static const char *const bad[] = {
        "<!DOCTYPE a><a/>",
        "<?xml version=\"1.0\"?><!DOCTYPE f [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>",
        "<!DOCTYPE a [<!ENTITY a \"&b;&b;\"><!ENTITY b \"lol\">]><a>&a;</a>",
        "<!doctype html><html></html>",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buf b;
        buf_init(&b, 4096);
        assert_false(render(bad[i], strlen(bad[i]), 0, &b));
        assert_string_equal(buf_cstr(&b), "");
        buf_release(&b);
    }
}

static void test_xml_nul_is_refused_before_any_event(void **unused)
{
    (void)unused;
    static const char text[] = "<Error><Code>Internal\0Error</Code></Error>";
    struct buf b;
    buf_init(&b, 4096);
    assert_false(render(text, sizeof text - 1, 0, &b));
    assert_string_equal(buf_cstr(&b), "");
    assert_false(render("<a/>\0", 5, 0, &b));
    assert_false(render(NULL, 0, 0, &b));
    buf_release(&b);
}

static void test_xml_depth_and_names_are_bounded(void **unused)
{
    (void)unused;
    for (int levels = XML_DEPTH_MAX; levels <= XML_DEPTH_MAX + 1; levels++) {
        struct buf text, out;
        buf_init(&text, 65536);
        buf_init(&out, 65536);
        for (int i = 0; i < levels; i++)
            (void)buf_str(&text, "<a>");
        for (int i = 0; i < levels; i++)
            (void)buf_str(&text, "</a>");
        assert_true(render(text.data, text.len, 0, &out) == (levels == XML_DEPTH_MAX));
        buf_release(&text);
        buf_release(&out);
    }
    for (int length = XML_NAME_MAX - 1; length <= XML_NAME_MAX; length++) {
        char text[128];
        struct buf out;
        buf_init(&out, 65536);
        (void)snprintf(text, sizeof text, "<%.*s/>", length,
                       "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn");
        assert_true(render(text, strlen(text), 0, &out) == (length < XML_NAME_MAX));
        buf_release(&out);
    }
}

static void test_xml_text_is_bounded_where_it_counts(void **unused)
{
    (void)unused;
    struct buf out;
    buf_init(&out, 65536);
    static const char fits[] = "<a><b>123456789</b>                                   <c>x</c></a>";
    assert_true(render(fits, sizeof fits - 1, 16, &out)); /* blanks between children are dropped */
    assert_string_equal(buf_cstr(&out), "(a(b 123456789)(c x))");
    buf_reset(&out);
    static const char leading[] = "<a>                                     <c>x</c></a>";
    assert_true(render(leading, sizeof leading - 1, 16, &out));
    buf_reset(&out);
    static const char large[] =
        "<Error><Code>A</Code><Message>aaaaaaaaaaaaaaaaaaaaaaaa</Message></Error>";
    assert_false(render(large, sizeof large - 1, 16, &out));
    assert_string_equal(buf_cstr(&out), "(Error(Code A)(Message"); /* what came before is known */
    buf_release(&out);
}

/* ---- damage ---------------------------------------------------------------------------------- */

static const char sound_list[] =
    "<?xml version=\"1.0\"?>\n<L xmlns='u'><!--c--><C a=\"1\"><Key>a&amp;b&#x1F600;</Key><S/></C>"
    "<D><![CDATA[x]]></D></L>";

static void test_xml_cut_anywhere_is_refused(void **unused)
{
    (void)unused;
    struct buf b;
    buf_init(&b, 65536);
    for (size_t n = 0; n < sizeof sound_list - 1; n++)
        assert_false(render(sound_list, n, 0, &b));
    buf_reset(&b);
    assert_true(render(sound_list, sizeof sound_list - 1, 0, &b));
    assert_string_equal(buf_cstr(&b), "(L(C(Key a&b\xf0\x9f\x98\x80)(S ))(D x))");
    buf_release(&b);
}

static void test_xml_damaged_documents(void **unused)
{
    (void)unused;
    uint64_t seed = 21;
    struct buf b;
    buf_init(&b, 65536);
    int sound = 0;
    for (int round = 0; round < 20000; round++) {
        char text[sizeof sound_list];
        memcpy(text, sound_list, sizeof sound_list);
        for (size_t k = vectors_below(&seed, 4) + 1; k > 0; k--)
            vectors_bytes(&seed, "<>/&;!?-[]='\" #xCD", 18,
                          text + vectors_below(&seed, sizeof sound_list - 1), 1);
        buf_reset(&b);
        sound += render(text, sizeof sound_list - 1, 32, &b) ? 1 : 0;
    }
    assert_true(sound > 0 && sound < 20000);
    buf_release(&b);
}

static void test_xml_random_bytes(void **unused)
{
    (void)unused;
    uint64_t seed = 22;
    struct buf b;
    buf_init(&b, 65536);
    int sound = 0;
    for (int round = 0; round < 40000; round++) {
        char text[12];
        const size_t n = vectors_below(&seed, sizeof text);
        vectors_bytes(&seed, "<a>/</a>", 8, text, n);
        buf_reset(&b);
        sound += render(text, n, 8, &b) ? 1 : 0;
    }
    assert_true(sound > 10 && sound < 20000);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_xml_elements_and_text),
        cmocka_unit_test(test_xml_what_surrounds_the_root),
        cmocka_unit_test(test_xml_namespaces_are_dropped),
        cmocka_unit_test(test_xml_attributes_are_passed_over),
        cmocka_unit_test(test_xml_references),
        cmocka_unit_test(test_xml_cdata),
        cmocka_unit_test(test_xml_malformed_documents),
        cmocka_unit_test(test_xml_dtd_is_refused_before_any_event),
        cmocka_unit_test(test_xml_nul_is_refused_before_any_event),
        cmocka_unit_test(test_xml_depth_and_names_are_bounded),
        cmocka_unit_test(test_xml_text_is_bounded_where_it_counts),
        cmocka_unit_test(test_xml_cut_anywhere_is_refused),
        cmocka_unit_test(test_xml_damaged_documents),
        cmocka_unit_test(test_xml_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
