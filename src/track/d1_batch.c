/* d1_batch: putting statements together, and taking answers apart. */
#include "track/d1.h"

#include "blobferry/base/str.h"

#include <string.h>

#define BODY_MAX ((size_t)8 << 20)

void d1_batch_init(struct d1_batch *b)
{
    memset(b, 0, sizeof *b);
    buf_init(&b->body, BODY_MAX);
    json_out_init(&b->out, &b->body, 0);
    json_out_object(&b->out, NULL);
    json_out_array(&b->out, "batch");
}

void d1_batch_release(struct d1_batch *b)
{
    buf_release(&b->body);
}

bool d1_text_fits(const char *text)
{
    return text == NULL || str_utf8_valid(text, strlen(text));
}

static void add_text(struct d1_batch *b, const char *text)
{
    if (!d1_text_fits(text) && b->unfit == NULL)
        b->unfit = text;
    json_out_string(&b->out, NULL, text);
}

static void begin_statement(struct d1_batch *b, const char *sql)
{
    b->n++;
    json_out_object(&b->out, NULL);
    json_out_string(&b->out, "sql", sql);
    json_out_array(&b->out, "params");
}

static void end_statement(struct d1_batch *b)
{
    json_out_end(&b->out);
    json_out_end(&b->out);
}

void d1_batch_add(struct d1_batch *b, const char *sql, const char *const *texts, size_t n)
{
    begin_statement(b, sql);
    for (size_t i = 0; i < n; i++)
        add_text(b, texts[i]);
    end_statement(b);
}

void d1_batch_select(struct d1_batch *b, const struct sqlite_select *q)
{
    if (!buf_ok(&q->sql)) {
        b->body.failed = true;
        return;
    }
    begin_statement(b, buf_cstr(&q->sql));
    for (size_t i = 0; i < q->n; i++)
        add_text(b, q->args[i].text);
    end_statement(b);
}

enum err_code d1_batch_run(struct d1 *d, struct d1_batch *b, struct d1_answer *a, struct err *e)
{
    memset(a, 0, sizeof *a);
    json_out_end(&b->out);
    json_out_end(&b->out);
    if (b->unfit != NULL) {
        err_set(e, ERR_DB, "a text for '%s' is not UTF-8", d->base.name);
        return err_hint(e, "D1 takes no other; a name like that needs SQLite or to be renamed");
    }
    if (!buf_ok(&b->body))
        return err_set(e, ERR_LIMIT, "a request to '%s' is too large", d->base.name);
    enum err_code code = d1_http_send(d, &b->body, &a->root, e);
    if (code != ERR_OK)
        return code;
    a->result = json_get(a->root, "result");
    if (json_length(a->result) == b->n)
        return ERR_OK;
    d1_answer_release(a);
    return err_set(e, ERR_DB, "'%s' answered other statements than it was asked", d->base.name);
}

void d1_answer_release(struct d1_answer *a)
{
    json_free(a->root);
    memset(a, 0, sizeof *a);
}

const struct json *d1_answer_rows(const struct d1_answer *a, size_t i)
{
    return json_first(json_get(json_item(a->result, i), "results"));
}

int64_t d1_answer_changes(const struct d1_answer *a, size_t i)
{
    int64_t n = 0;

    json_integer(json_get(json_get(json_item(a->result, i), "meta"), "changes"), &n);
    return n;
}

static const struct json *column(const struct json *row, size_t n)
{
    const struct json *v = json_first(row);

    while (v != NULL && n-- > 0)
        v = json_next(v);
    return v;
}

int64_t d1_row_number(const struct json *row, size_t n)
{
    int64_t number = 0;

    json_integer(column(row, n), &number);
    return number;
}

const char *d1_row_plain(const struct json *row, size_t n)
{
    return json_string(column(row, n));
}

enum err_code d1_query(struct d1 *d, struct d1_answer *a, const char *sql, const char *const *texts,
                       size_t n, struct err *e)
{
    struct d1_batch b;

    d1_batch_init(&b);
    d1_batch_add(&b, sql, texts, n);
    enum err_code code = d1_batch_run(d, &b, a, e);
    d1_batch_release(&b);
    return code;
}

enum err_code d1_query_number(struct d1 *d, int64_t *out, const char *sql, const char *const *texts,
                              size_t n, struct err *e)
{
    struct d1_answer a;
    enum err_code code = d1_query(d, &a, sql, texts, n, e);

    *out = code == ERR_OK ? d1_row_number(d1_answer_rows(&a, 0), 0) : 0;
    d1_answer_release(&a);
    return code;
}
