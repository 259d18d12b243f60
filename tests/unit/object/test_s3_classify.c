/* s3_classify: every published answer gets its verdict; pure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "blobferry/base/str.h"
#include "blobferry/codec/timefmt.h"
#include "object/s3_classify.h"
#include "object/s3_explain.h"

#include "unit/object/s3_cases.h"

#include <errno.h>

#define NOW_MS INT64_C(1795262400000) /* 2026-11-21T12:00:00Z */

/* ---- answers made by hand ------------------------------------------------------------------------------ */

static struct http_response answer_of(int status, const char *headers, const char *body)
{
    struct http_response r = {.status = status};

    buf_init(&r.body, 1 << 16);
    buf_init(&r.header_block, 1 << 16);
    assert_true(buf_append(&r.body, body, strlen(body)));
    while (headers != NULL && *headers != '\0') { /* one a line */
        const size_t n = strcspn(headers, "\n");
        assert_true(buf_append(&r.header_block, headers, n));
        assert_true(buf_char(&r.header_block, '\0'));
        headers += n + (headers[n] == '\n');
    }
    return r;
}

static void release(struct http_response *r)
{
    buf_release(&r->body);
    buf_release(&r->header_block);
}

static struct s3_judgement judge(enum s3_op op, int status, const char *headers, const char *body)
{
    struct http_response r = answer_of(status, headers, body);
    struct s3_judgement j;

    s3_classify(op, &r, NOW_MS, &j);
    release(&r);
    return j;
}

static struct s3_judgement judge_code(enum s3_op op, int status, const char *code)
{
    char body[256];

    (void)snprintf(body, sizeof body, "<Error><Code>%s</Code></Error>", code);
    return judge(op, status, NULL, body);
}

/* ---- the published cases -------------------------------------------------------------------------------- */

/* As src/net would hand the file over: headers, body as long as it says, faults. */
static struct http_response answer_from_file(const char *file, const char *op)
{
    struct http_response r = {.fault = HTTP_FINE};
    const char *length, *end;
    struct buf raw;
    size_t n;

    buf_init(&raw, 16 << 20);
    buf_init(&r.body, 1 << 16);
    buf_init(&r.header_block, 1 << 16);
    cases_read(file, &raw);
    end = raw.len == 0 ? NULL : memmem(raw.data, raw.len, "\r\n\r\n", 4);
    if (end == NULL || strstr(file, "two-content-lengths") != NULL) {
        r.fault = HTTP_BROKEN;
        str_copy(r.fault_text, sizeof r.fault_text, "broken");
        buf_release(&raw);
        return r;
    }
    r.status = atoi(raw.data + strlen("HTTP/1.1 "));
    for (const char *line = strstr(raw.data, "\r\n") + 2; line < end + 2;) {
        const char *stop = strstr(line, "\r\n");
        assert_true(buf_append(&r.header_block, line, (size_t)(stop - line)));
        assert_true(buf_char(&r.header_block, '\0'));
        line = stop + 2;
    }
    n = raw.len - (size_t)(end + 4 - raw.data);
    length = http_response_header(&r, "Content-Length");
    if (length != NULL && strtoul(length, NULL, 10) < n)
        n = strtoul(length, NULL, 10);
    if (strcmp(op, "HEAD") == 0)
        n = 0;
    r.body_truncated = n > 65536;
    assert_true(buf_append(&r.body, end + 4, n > 65536 ? 65536 : n));
    buf_release(&raw);
    return r;
}

static enum s3_op op_of(const char *name)
{
    static const struct {
        const char *name;
        enum s3_op op;
    } ops[] = {{"PUT", S3_PUT},
               {"HEAD", S3_HEAD},
               {"GET", S3_GET},
               {"DELETE", S3_DELETE},
               {"LIST", S3_LIST},
               {"COMPLETE", S3_COMPLETE},
               {"DELETEOBJECTS", S3_DELETE_MANY}};

    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        if (strcmp(ops[i].name, name) == 0)
            return ops[i].op;
    }
    fail_msg("unknown operation '%s'", name);
    return S3_PUT;
}

/* What the answer itself can tell. Checksums, weak ETags and lists are judged by who reads them: test_s3_headers,
 * test_s3_listing, test_s3_cases_put. */
static enum s3_verdict verdict_of(const char *name)
{
    static const struct {
        const char *name;
        enum s3_verdict verdict;
    } verdicts[] = {{"ok", S3_OK},
                    {"ok_by_checksum", S3_OK},
                    {"verify_by_head", S3_OK},
                    {"corrupt", S3_OK},
                    {"error", S3_OK},
                    {"error_if_repeated", S3_OK},
                    {"partial", S3_OK},
                    {"stop_run", S3_DENIED},
                    {"refresh_or_stop", S3_DENIED},
                    {"correct_clock_then_retry_once", S3_CLOCK},
                    {"absent", S3_ABSENT},
                    {"retry_or_unknown", S3_RETRY},
                    {"retryable", S3_RETRY},
                    {"precondition", S3_PRECONDITION},
                    {"fail_file", S3_REJECTED},
                    {"fallback_or_stop", S3_FALLBACK}};

    for (size_t i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++) {
        if (strcmp(verdicts[i].name, name) == 0)
            return verdicts[i].verdict;
    }
    fail_msg("unknown verdict '%s'", name);
    return S3_OK;
}

static void check_case(void *user, const struct json *c)
{
    const char *file = cases_text(c, "file");
    const enum s3_op op = op_of(cases_text(c, "op"));
    struct http_response r = answer_from_file(file, cases_text(c, "op"));
    struct s3_judgement j;
    struct err e;

    (void)user;
    s3_classify(op, &r, NOW_MS, &j);
    if (j.verdict != verdict_of(cases_text(c, "verdict")))
        fail_msg("%s: verdict %d, expected '%s'", file, j.verdict, cases_text(c, "verdict"));
    if (op != S3_LIST && op != S3_DELETE_MANY)
        assert_string_equal(j.error.code, cases_text(c, "code"));
    if (cases_text(c, "message")[0] != '\0')
        assert_string_equal(j.error.message, cases_text(c, "message"));
    err_init(&e);
    s3_explain(&(struct s3_explain){.op = op, .bucket = "b", .key = "k", .region = "auto"}, &r, &j,
               &e);
    assert_int_equal(e.code == ERR_OK, j.verdict == S3_OK);
    assert_int_equal(e.retryable, j.verdict == S3_RETRY);
    assert_null(strstr(e.message, "SECRETTOKEN")); /* P8 */
    assert_null(strstr(e.message, "root:"));       /* /etc/passwd */
    release(&r);
}

static void test_s3_classify_gives_the_published_verdicts(void **state)
{
    (void)state;
    cases_each(NULL, 52, check_case, NULL);
}

/* ---- by hand ---------------------------------------------------------------------------------------------- */

static void test_s3_classify_codes_outrank_status(void **state)
{
    (void)state;
    assert_int_equal(judge_code(S3_PUT, 400, "RequestTimeout").verdict, S3_RETRY);
    assert_int_equal(judge_code(S3_PUT, 400, "BadDigest").verdict, S3_RETRY);
    assert_int_equal(judge_code(S3_PUT, 400, "XAmzContentSHA256Mismatch").verdict, S3_RETRY);
    assert_int_equal(judge_code(S3_PUT, 403, "RequestTimeTooSkewed").verdict, S3_CLOCK);
    assert_int_equal(judge_code(S3_GET, 404, "NoSuchKey").verdict, S3_ABSENT);
    assert_int_equal(judge_code(S3_GET, 404, "NoSuchBucket").verdict, S3_DENIED);
    assert_int_equal(judge_code(S3_PART, 404, "NoSuchUpload").verdict, S3_ABSENT);
    assert_int_equal(judge_code(S3_GET, 500, "NoSuchKey").verdict, S3_RETRY);
    assert_int_equal(judge_code(S3_PUT, 507, "XMinioStorageFull").verdict, S3_DENIED);
    assert_int_equal(judge_code(S3_PUT, 403, "QuotaExceeded").verdict, S3_DENIED);
    assert_int_equal(judge_code(S3_PUT, 418, "Whatever").verdict, S3_REJECTED);
    assert_int_equal(judge_code(S3_PUT, 503, "Whatever").verdict, S3_RETRY);
}

/* D2: what does not prove absence. */
static void test_s3_classify_proves_absence_in_words_only(void **state)
{
    (void)state;
    assert_int_equal(judge(S3_HEAD, 404, NULL, "").verdict, S3_ABSENT);
    assert_int_equal(judge(S3_HEAD, 404, "Content-Type: text/html; charset=utf-8", "").verdict,
                     S3_RETRY);
    assert_int_equal(judge(S3_HEAD, 403, NULL, "").verdict, S3_DENIED);
    assert_int_equal(judge(S3_GET, 404, NULL, "").verdict, S3_RETRY);
    assert_int_equal(judge(S3_DELETE, 404, NULL, "gone fishing").verdict, S3_RETRY);
    assert_int_equal(judge(S3_GET, 410, NULL, "").verdict, S3_REJECTED);
}

static void test_s3_classify_statuses_without_a_code(void **state)
{
    static const struct {
        int status;
        enum s3_verdict verdict;
    } known[] = {
        {301, S3_DENIED},       {302, S3_DENIED},   {307, S3_DENIED},   {308, S3_DENIED},
        {304, S3_PRECONDITION}, {400, S3_REJECTED}, {401, S3_DENIED},   {405, S3_REJECTED},
        {408, S3_RETRY},        {409, S3_RETRY},    {411, S3_REJECTED}, {412, S3_PRECONDITION},
        {413, S3_REJECTED},     {416, S3_REJECTED}, {429, S3_RETRY},    {500, S3_RETRY},
        {501, S3_FALLBACK},     {502, S3_RETRY},    {503, S3_RETRY},    {504, S3_RETRY},
        {507, S3_DENIED},       {599, S3_RETRY}};

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_int_equal(judge(S3_PUT, known[i].status, NULL, "").verdict, known[i].verdict);
    assert_int_equal(judge(S3_HEAD, 400, NULL, "").verdict, S3_DENIED);
}

/* P6: which failures may have happened all the same. */
static void test_s3_classify_tells_what_is_unknown(void **state)
{
    (void)state;
    assert_true(judge(S3_PUT, 500, NULL, "").unknown);
    assert_true(judge(S3_PUT, 502, NULL, "").unknown);
    assert_true(judge(S3_PUT, 504, NULL, "").unknown);
    assert_true(judge_code(S3_PUT, 500, "InternalError").unknown);
    assert_false(judge_code(S3_PUT, 503, "SlowDown").unknown);
    assert_false(judge_code(S3_PUT, 400, "RequestTimeout").unknown);
    assert_false(judge(S3_PUT, 429, NULL, "").unknown);
    assert_false(judge(S3_PUT, 409, NULL, "").unknown);
}

static void test_s3_classify_faults(void **state)
{
    static const struct {
        enum http_fault fault;
        int status, local_errno;
        enum s3_verdict verdict;
        bool unknown;
    } known[] = {{HTTP_RESOLVE, 0, 0, S3_RETRY, false},
                 {HTTP_CONNECT, 0, 0, S3_RETRY, false},
                 {HTTP_TLS, 0, 0, S3_DENIED, false},
                 {HTTP_TIMEOUT, 0, 0, S3_RETRY, true},
                 {HTTP_BROKEN, 0, 0, S3_RETRY, true},
                 {HTTP_BROKEN, 200, 0, S3_RETRY, true},
                 {HTTP_BROKEN, 403, 0, S3_DENIED, false},
                 {HTTP_BROKEN, 503, 0, S3_RETRY, true},
                 {HTTP_LOCAL, 0, EIO, S3_LOCAL, false},
                 {HTTP_LOCAL, 200, ECANCELED, S3_CANCELLED, false},
                 {HTTP_CANCELLED, 0, 0, S3_CANCELLED, false}};

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct http_response r = answer_of(known[i].status, NULL, "");
        struct s3_judgement j;
        r.fault = known[i].fault;
        r.local_errno = known[i].local_errno;
        s3_classify(S3_PUT, &r, NOW_MS, &j);
        assert_int_equal(j.verdict, known[i].verdict);
        assert_int_equal(j.unknown, known[i].unknown);
        release(&r);
    }
}

/* D11: a HEAD has no body to say that the clock is off; its Date does. */
static void test_s3_classify_sees_a_wrong_clock(void **state)
{
    (void)state;
    assert_int_equal(judge(S3_HEAD, 403, "Date: Sat, 21 Nov 2026 12:00:10 GMT", "").verdict,
                     S3_DENIED);
    assert_int_equal(judge(S3_HEAD, 403, "Date: Sat, 21 Nov 2026 12:16:00 GMT", "").verdict,
                     S3_CLOCK);
    assert_int_equal(judge(S3_HEAD, 403, "Date: Sat, 21 Nov 2026 11:40:00 GMT", "").verdict,
                     S3_CLOCK);
    assert_int_equal(judge(S3_HEAD, 403, "Date: tomorrow", "").verdict, S3_DENIED);
    assert_int_equal(judge_code(S3_PUT, 403, "AccessDenied").verdict, S3_DENIED);
}

/* D15. */
static void test_s3_classify_sees_locks(void **state)
{
    struct s3_judgement j = judge_code(S3_DELETE, 403, "ObjectLockedByBucketPolicy");

    (void)state;
    assert_int_equal(j.verdict, S3_REJECTED);
    assert_true(j.locked);
    j = judge_code(S3_DELETE, 403, "10069");
    assert_true(j.locked);
    j = judge(S3_DELETE, 403, NULL,
              "<Error><Code>AccessDenied</Code><Message>Access Denied because object protected by "
              "object lock.</Message></Error>");
    assert_int_equal(j.verdict, S3_REJECTED);
    assert_true(j.locked);
    j = judge_code(S3_DELETE, 403, "AccessDenied");
    assert_int_equal(j.verdict, S3_DENIED);
    assert_false(j.locked);
}

/* D9: only the right document makes a 200 a success. */
static void test_s3_classify_completed_uploads(void **state)
{
    static const char good[] = "<CompleteMultipartUploadResult><ETag/>"
                               "</CompleteMultipartUploadResult>";

    (void)state;
    assert_int_equal(judge(S3_COMPLETE, 200, NULL, good).verdict, S3_OK);
    assert_int_equal(judge(S3_COMPLETE, 200, NULL, "").verdict, S3_RETRY);
    assert_true(judge(S3_COMPLETE, 200, NULL, "").unknown);
    assert_int_equal(judge(S3_COMPLETE, 200, NULL, "   \n  ").verdict, S3_RETRY);
    assert_int_equal(judge(S3_COMPLETE, 200, NULL, "<html/>").verdict, S3_RETRY);
    assert_int_equal(judge_code(S3_COMPLETE, 200, "NoSuchUpload").verdict, S3_ABSENT);
    assert_int_equal(judge_code(S3_COMPLETE, 200, "SomethingNew").verdict, S3_RETRY);
    assert_int_equal(judge_code(S3_COMPLETE, 200, "PreconditionFailed").verdict, S3_PRECONDITION);
    assert_int_equal(judge(S3_PUT, 200, NULL, "<Error/>").verdict, S3_OK);
}

static void test_s3_classify_errors_of_single_keys(void **state)
{
    struct s3_error error = {.code = "AccessDenied"};
    struct s3_judgement j;

    (void)state;
    s3_classify_error(&error, &j);
    assert_int_equal(j.verdict, S3_DENIED);
    str_copy(error.code, sizeof error.code, "ObjectLocked");
    s3_classify_error(&error, &j);
    assert_int_equal(j.verdict, S3_REJECTED);
    assert_true(j.locked);
    str_copy(error.code, sizeof error.code, "NeverHeardOf");
    s3_classify_error(&error, &j);
    assert_int_equal(j.verdict, S3_RETRY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_classify_gives_the_published_verdicts),
        cmocka_unit_test(test_s3_classify_codes_outrank_status),
        cmocka_unit_test(test_s3_classify_proves_absence_in_words_only),
        cmocka_unit_test(test_s3_classify_statuses_without_a_code),
        cmocka_unit_test(test_s3_classify_tells_what_is_unknown),
        cmocka_unit_test(test_s3_classify_faults),
        cmocka_unit_test(test_s3_classify_sees_a_wrong_clock),
        cmocka_unit_test(test_s3_classify_sees_locks),
        cmocka_unit_test(test_s3_classify_completed_uploads),
        cmocka_unit_test(test_s3_classify_errors_of_single_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
