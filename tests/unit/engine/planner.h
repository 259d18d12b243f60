/* planner: a database, a source root "src", a trail and batches/ in a test's own folder, and one call of plan_run. */
#ifndef BLOBFERRY_TESTS_UNIT_ENGINE_PLANNER_H
#define BLOBFERRY_TESTS_UNIT_ENGINE_PLANNER_H

#include "unit/base/scratch.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/json.h"
#include "blobferry/engine/plan.h"

struct planner {
    struct scratch folder;
    char root[400], batches[400], input[400];
    struct engine g;
    struct plan_result result;
    struct err err;
    char problems[8192]; /* "line|source|key|class|message\n" each */
    char notes[1024];
    struct record_list rows;
};

static inline void planner_on_problem(void *user, const struct plan_problem *p)
{
    struct planner *pl = user;
    const size_t n = strlen(pl->problems);

    snprintf(pl->problems + n, sizeof pl->problems - n, "%lld|%s|%s|%s|%s\n", (long long)p->line,
             p->source == NULL ? "-" : p->source, p->key == NULL ? "-" : p->key,
             err_code_name(p->err.code), p->err.message);
}

static inline void planner_on_event(void *user, const struct engine_event *ev)
{
    struct planner *pl = user;
    const size_t n = strlen(pl->notes);

    if (ev->kind == ENGINE_NOTE)
        snprintf(pl->notes + n, sizeof pl->notes - n, "%s\n", ev->message);
}

/* Not inlined: gcc 12 with its sanitizers takes the address for NULL. */
__attribute__((noinline, unused)) static void planner_init(struct planner *p)
{
    char url[512], logs[400];
    int created = 0;

    memset(p, 0, sizeof *p);
    err_init(&p->err);
    scratch_init(&p->folder);
    record_list_init(&p->rows, 0);
    snprintf(p->root, sizeof p->root, "%s/src", p->folder.dir);
    snprintf(p->batches, sizeof p->batches, "%s/batches", p->folder.dir);
    snprintf(p->input, sizeof p->input, "%s/input", p->folder.dir);
    snprintf(logs, sizeof logs, "%s/logs", p->folder.dir);
    snprintf(url, sizeof url, "sqlite:%s/blobferry.db", p->folder.dir);
    assert_int_equal(mkdir(p->root, 0700), 0);
    if (tracker_open(&p->g.tracker, &(struct tracker_options){.url = url, .create = true},
                     &p->err) != ERR_OK ||
        tracker_init(p->g.tracker, &created, &p->err) != ERR_OK ||
        tracker_prepare(p->g.tracker, &p->err) != ERR_OK ||
        journal_open(&p->g.journal, &(struct journal_options){.dir = logs, .run_id = "run-1"},
                     &p->err) != ERR_OK)
        fail_msg("%s", p->err.message);
    p->g.source_root = p->root;
    p->g.batch_dir = p->batches;
    p->g.run_id = "run-1";
    p->g.on_event = planner_on_event;
    p->g.event_user = p;
}

static inline void planner_release(struct planner *p)
{
    struct journal_report report;
    char logs[400];

    snprintf(logs, sizeof logs, "%s/logs", p->folder.dir);
    assert_int_equal(journal_verify(logs, p->g.tracker, &report, NULL), ERR_OK);
    assert_int_equal(report.heads_missing, 0);
    journal_close(p->g.journal);
    tracker_close(p->g.tracker);
    record_list_release(&p->rows);
    scratch_release(&p->folder);
}

static inline void planner_dir(struct planner *p, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "src/%s", name);
    assert_int_equal(mkdir(scratch_path(&p->folder, path), 0700), 0);
}

static inline void planner_file(struct planner *p, const char *name, const char *text)
{
    char path[1024];
    snprintf(path, sizeof path, "src/%s", name);
    scratch_write(&p->folder, path, text);
}

static inline enum err_code planner_run(struct planner *p, struct plan_options o)
{
    p->problems[0] = p->notes[0] = '\0';
    err_init(&p->err);
    if (o.from == PLAN_FROM_DIR && o.input == NULL)
        o.input = p->root;
    if ((o.from == PLAN_FROM_CSV || o.from == PLAN_FROM_JSONL) && o.input == NULL)
        o.input = p->input;
    return plan_run(&p->g, &o, planner_on_problem, p, &p->result, &p->err);
}

/* With the text as input. */
static inline enum err_code planner_read(struct planner *p, enum plan_from from, const char *text,
                                         struct plan_options o)
{
    scratch_write(&p->folder, "input", text);
    o.from = from;
    return planner_run(p, o);
}

/* All planned rows of a batch (NULL: of all), in the order of planning, which is that of their ids. */
static inline size_t planner_rows(struct planner *p, const char *batch_id)
{
    const struct tracker_filter f = {.batch_id = batch_id};

    record_list_reset(&p->rows);
    assert_int_equal(tracker_records(p->g.tracker, &f, NULL, 1000, &p->rows, &p->err), ERR_OK);
    return p->rows.len;
}

static inline void planner_expect(struct planner *p, size_t i, const char *source, const char *key)
{
    assert_true(i < p->rows.len);
    assert_string_equal(p->rows.items[i].source_path, source);
    assert_string_equal(p->rows.items[i].target_key, key);
    assert_int_equal(p->rows.items[i].status, FILE_PENDING);
}

/* The manifest of a batch, owned; NULL when there is none. */
static inline struct json *planner_manifest(struct planner *p, const char *batch_id)
{
    char path[1024];
    char *text;
    struct json *root;

    snprintf(path, sizeof path, "%s/%s.json", p->batches, batch_id);
    if (access(path, F_OK) != 0)
        return NULL;
    text = scratch_read(path);
    root = json_parse(text, strlen(text), NULL);
    assert_non_null(root);
    free(text);
    return root;
}

static inline int planner_manifests(const struct planner *p)
{
    struct scratch s;
    snprintf(s.dir, sizeof s.dir, "%.200s", p->batches);
    return access(s.dir, F_OK) == 0 ? scratch_count(&s) : 0;
}

#endif
