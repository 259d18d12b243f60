/* tracker_check: runs a driver's rules: one pass over each table counts what is wrong row by row, a query each the rest; examples are
 * asked for only where something was found.
 */
#include "blobferry/track/tracker_check.h"

#include "blobferry/base/buf.h"
#include "blobferry/base/str.h"
#include "track/driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SQL_MAX ((size_t)256 << 10)

struct pass {
    struct tracker *t;
    tracker_finding_fn *fn;
    void *user;
    struct tracker_check_totals *totals;
    struct check_rules rules;
    bool own;
    int64_t counts[CHECK_RULES_MAX];
    const char *last_unless;
    int64_t suspects; /* what it found */
    struct buf sql;
    struct tracker_finding finding;
};

/* ---- answers ------------------------------------------------------------------------------------------ */

struct numbers {
    int64_t *out[CHECK_RULES_MAX + 1];
    size_t n;
};

static enum err_code on_numbers(void *user, const struct tracker_cell *cells, size_t n,
                                struct err *e)
{
    struct numbers *want = user;

    (void)e;
    for (size_t i = 0; i < n && i < want->n; i++)
        *want->out[i] = cells[i].text != NULL ? strtoll(cells[i].text, NULL, 10) : 0;
    return ERR_OK;
}

/* "id='x', status=NULL", printable and cut. */
static enum err_code on_example(void *user, const struct tracker_cell *cells, size_t n,
                                struct err *e)
{
    struct tracker_finding *f = user;
    struct buf b;

    (void)e;
    if (f->example_count == TRACKER_EXAMPLES)
        return ERR_OK;
    buf_init(&b, SQL_MAX);
    for (size_t i = 0; i < n; i++) {
        buf_printf(&b, "%s%s=", i > 0 ? ", " : "", cells[i].name);
        if (cells[i].text == NULL)
            buf_str(&b, "NULL");
        else
            buf_printf(&b, "'%.100s%s'", cells[i].text, strlen(cells[i].text) > 100 ? "..." : "");
    }
    str_printable(f->examples[f->example_count], sizeof f->examples[0], buf_cstr(&b));
    f->example_count++;
    buf_release(&b);
    return ERR_OK;
}

/* ---- counting ---------------------------------------------------------------------------------------------- */

static enum err_code ask(struct pass *p, tracker_cells_fn *fn, void *user, struct err *e)
{
    if (!buf_ok(&p->sql))
        return err_set(e, ERR_NOMEM, "out of memory");
    return p->t->ops->ask(p->t, buf_cstr(&p->sql), fn, user, e);
}

static bool applies(const struct pass *p, const struct check_rule *r)
{
    return (!r->own || p->own) && (r->variant == 0 || (p->rules.skip & (1u << r->variant)) == 0);
}

/* One pass over a table for all rules of it. */
static enum err_code count_table(struct pass *p, const char *table, int64_t *rows, struct err *e)
{
    struct numbers want = {.out = {rows}, .n = 1};

    buf_reset(&p->sql);
    buf_str(&p->sql, "SELECT count(*)");
    for (size_t i = 0; i < p->rules.n; i++) {
        const struct check_rule *r = &p->rules.items[i];
        if (!str_eq(r->table, table) || !applies(p, r))
            continue;
        if (r->fine != NULL)
            buf_printf(&p->sql, ", count(*) FILTER (WHERE CASE WHEN %s THEN %s ELSE %s END)",
                       r->fine, p->t->ops->check_false, r->condition);
        else
            buf_printf(&p->sql, ", count(*) FILTER (WHERE %s)", r->condition);
        want.out[want.n++] = &p->counts[i];
    }
    buf_printf(&p->sql, " FROM %s", table);
    return ask(p, on_numbers, &want, e);
}

static enum err_code count_rows(struct pass *p, const char *query, int64_t *out, struct err *e)
{
    struct numbers want = {.out = {out}, .n = 1};

    buf_reset(&p->sql);
    buf_printf(&p->sql, "SELECT count(*) FROM (%s) AS found", query);
    return ask(p, on_numbers, &want, e);
}

static enum err_code count_query(struct pass *p, size_t i, struct err *e)
{
    const struct check_rule *r = &p->rules.items[i];
    enum err_code code = ERR_OK;

    if (r->unless != NULL && r->unless != p->last_unless) {
        code = count_rows(p, r->unless, &p->suspects, e);
        p->last_unless = r->unless;
    }
    if (code != ERR_OK || (r->unless != NULL && p->suspects == 0))
        return code;
    return count_rows(p, r->query, &p->counts[i], e);
}

/* ---- telling ------------------------------------------------------------------------------------------------ */

static enum err_code tell(struct pass *p, struct err *e)
{
    const struct tracker_finding *f = &p->finding;

    p->totals->checks++;
    p->totals->problems += f->count > 0 && f->severity == TRACKER_PROBLEM;
    p->totals->notes += f->count > 0 && f->severity == TRACKER_NOTE;
    return p->fn != NULL ? p->fn(p->user, f, e) : ERR_OK;
}

static enum err_code tell_rule(struct pass *p, size_t i, struct err *e)
{
    const struct check_rule *r = &p->rules.items[i];
    char *sql;
    enum err_code code = ERR_OK;

    p->finding = (struct tracker_finding){.name = r->name,
                                          .group = r->group,
                                          .what = r->what,
                                          .remedy = r->remedy,
                                          .severity = r->severity,
                                          .count = p->counts[i]};
    buf_reset(&p->sql);
    if (r->query != NULL)
        buf_str(&p->sql, r->query);
    else
        buf_printf(&p->sql, "SELECT %s FROM %s WHERE %s", r->columns, r->table, r->condition);
    sql = buf_ok(&p->sql) ? str_dup(buf_cstr(&p->sql)) : NULL;
    if (sql == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    p->finding.sql = sql;
    if (p->finding.count > 0) {
        buf_printf(&p->sql, " LIMIT %d", TRACKER_EXAMPLES);
        code = ask(p, on_example, &p->finding, e);
    }
    if (code == ERR_OK)
        code = tell(p, e);
    free(sql);
    return code;
}

static enum err_code on_missing(void *user, const struct tracker_step *s, struct err *e)
{
    struct tracker_finding *f = user;

    (void)e;
    f->count++;
    if (f->example_count < TRACKER_EXAMPLES)
        str_printable(f->examples[f->example_count++], sizeof f->examples[0], s->sql);
    return ERR_OK;
}

static enum err_code tell_indexes(struct pass *p, struct err *e)
{
    p->finding = (struct tracker_finding){
        .name = "missing_index",
        .group = "indexes",
        .what = "indexes that claims, rollback and status need on large tables are missing",
        .remedy = "blobferry db upgrade --indexes",
        .sql = p->t->ops->index_list};
    enum err_code code = p->t->ops->missing_indexes(p->t, on_missing, &p->finding, e);
    return code == ERR_OK ? tell(p, e) : code;
}

/* ---- all ------------------------------------------------------------------------------------------------------- */

static enum err_code look(struct pass *p, struct err *e)
{
    struct tracker_check_totals *n = p->totals;
    int64_t records = 0;
    enum err_code code = count_table(p, "migration_batches", &n->batches, e);

    if (code == ERR_OK)
        code = count_table(p, "file_migrations", &n->migrations, e);
    if (code == ERR_OK)
        code = count_table(p, "files", &n->files, e);
    if (code == ERR_OK && p->own)
        code = count_table(p, "blobferry_records", &records, e);
    for (size_t i = 0; code == ERR_OK && i < p->rules.n; i++) {
        const struct check_rule *r = &p->rules.items[i];
        if (!applies(p, r))
            continue;
        if (r->query != NULL)
            code = count_query(p, i, e);
        if (code == ERR_OK)
            code = tell_rule(p, i, e);
    }
    return code == ERR_OK ? tell_indexes(p, e) : code;
}

enum err_code tracker_check(struct tracker *t, tracker_finding_fn *fn, void *user,
                            struct tracker_check_totals *out, struct err *e)
{
    struct pass *p = calloc(1, sizeof *p);
    struct tracker_schema schema = {0};
    struct err spare;
    enum err_code code;

    memset(out, 0, sizeof *out);
    if (e == NULL)
        err_init(e = &spare);
    if (p == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    *p = (struct pass){.t = t, .fn = fn, .user = user, .totals = out};
    buf_init(&p->sql, SQL_MAX);
    if (t->ops->check_begin == NULL) {
        err_set(e, ERR_CONFIG, "database '%s' cannot be checked from here", tracker_name(t));
        code = err_hint(e, "download it and check the file: wrangler d1 export, then "
                           "blobferry --db sqlite:FILE db check");
    } else {
        code = tracker_require(t, e);
        if (code == ERR_OK)
            code = tracker_inspect(t, &schema, e);
        p->own = schema.own;
        if (code == ERR_OK)
            code = t->ops->check_begin(t, &p->rules, e);
        if (code == ERR_OK) {
            code = look(p, e);
            code = t->ops->check_end(t, code, e);
        }
    }
    buf_release(&p->sql);
    free(p);
    return code;
}

enum err_code tracker_upgrade(struct tracker *t, const struct tracker_upgrade *o,
                              tracker_step_fn *fn, void *user, struct err *e)
{
    struct err spare;
    enum err_code code = ERR_OK;

    if (e == NULL)
        err_init(e = &spare);
    if (t->ops->upgrade == NULL) {
        err_set(e, ERR_CONFIG, "database '%s' cannot be upgraded from here", tracker_name(t));
        return err_hint(e, "its tables are made and brought up to date by: blobferry init");
    }
    code = tracker_require(t, e);
    return code == ERR_OK ? t->ops->upgrade(t, o, fn, user, e) : code;
}
