#include "blobferry/codec/mime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/codec/vectors.h"

#define UNKNOWN "application/octet-stream"

static void test_mime_common_types(void **unused)
{
    (void)unused;
    static const char *const pairs[][2] = {
        {"a.jpg", "image/jpeg"},
        {"a.JPG", "image/jpeg"},
        {"A.JpEg", "image/jpeg"},
        {"a.png", "image/png"},
        {"a.pdf", "application/pdf"},
        {"a.txt", "text/plain"},
        {"a.html", "text/html"},
        {"a.json", "application/json"},
        {"a.mp4", "video/mp4"},
        {"a.webp", "image/webp"},
        {"a.svg", "image/svg+xml"},
        {"a.zip", "application/zip"},
        {"a.tar.gz", "application/gzip"},
        {"a.b.c.csv", "text/csv"},
        {"a.3gp", "video/3gpp"},
        {"a.zst", "application/zstd"},
        {"a.7z", "application/x-7z-compressed"},
        {"a.webmanifest", "application/manifest+json"},
        {"dir.png/photo.jpeg", "image/jpeg"},
        {"/abs/path/x.md", "text/markdown"},
        {"\xc3\xa9t\xc3\xa9.odt", "application/vnd.oasis.opendocument.text"},
        {"a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        assert_string_equal(mime_from_name(pairs[i][0]), pairs[i][1]);
}

static void test_mime_unknown_is_octet_stream(void **unused)
{
    (void)unused;
    static const char *const names[] = {
        "",
        "a",
        ".",
        "..",
        "a.",
        ".png",
        "dir/.png",
        "a.xq",
        "a.jpg ",
        "photo.jpg/",
        "a.jpg/b",
        "jpg",
        "a.verylongextension",
        "a.\xc3\xa9",
        "a.%6apg",
        "a..",
        "a.j\tpg",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_string_equal(mime_from_name(names[i]), UNKNOWN);
    assert_string_equal(mime_from_name(NULL), UNKNOWN);
}

/* The table is searched by halves: an entry out of order would not be found. */
static void test_mime_every_short_extension_is_consistent(void **unused)
{
    (void)unused;
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    int known = 0;
    for (size_t a = 0; a < 36; a++) {
        for (size_t b = 0; b < 36; b++) {
            for (size_t c = 0; c <= 36; c++) {
                char lower[8] = {'f', '.', letters[a], letters[b], c < 36 ? letters[c] : '\0',
                                 '\0'};
                char upper[8] = {0};
                for (size_t i = 0; lower[i] != '\0'; i++)
                    upper[i] = lower[i] >= 'a' && lower[i] <= 'z' && i > 0 ? (char)(lower[i] - 32)
                                                                           : lower[i];
                const char *type = mime_from_name(lower);
                assert_string_equal(type, mime_from_name(upper));
                assert_non_null(strchr(type, '/'));
                known += strcmp(type, UNKNOWN) != 0 ? 1 : 0;
            }
        }
    }
    assert_true(known >= 90);
}

static void test_mime_random_names(void **unused)
{
    (void)unused;
    uint64_t seed = 8;
    for (int round = 0; round < 20000; round++) {
        char name[32];
        const size_t n = vectors_below(&seed, sizeof name);
        vectors_bytes(&seed, "a./jpgPNG", 9, name, n);
        name[n] = '\0';
        assert_non_null(strchr(mime_from_name(name), '/'));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mime_common_types),
        cmocka_unit_test(test_mime_unknown_is_octet_stream),
        cmocka_unit_test(test_mime_every_short_extension_is_consistent),
        cmocka_unit_test(test_mime_random_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
