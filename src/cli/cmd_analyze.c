#include "blobferry/base/clock.h"
#include "blobferry/engine/analyze.h"
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>

const struct option_spec cmd_analyze_options[] = {
    {"days", "N", "the last N days (7; with --log-file: all)", false},
    {"log-file", "FILE", "only this log or audit trail", false},
    {NULL, NULL, NULL, false},
};

static void print_json(struct json_out *w, const struct analyze_result *r)
{
    int64_t rate = analyze_success_rate(r);

    json_out_object(w, "operations");
    for (int k = 0; k < ANALYZE_KINDS; k++) {
        json_out_object(w, analyze_kind_name((enum analyze_kind)k));
        json_out_integer(w, "succeeded", r->kind[k].succeeded);
        json_out_integer(w, "failed", r->kind[k].failed);
        json_out_integer(w, "bytes", r->kind[k].bytes);
        json_out_end(w);
    }
    json_out_end(w);
    if (rate >= 0)
        json_out_integer(w, "success_rate_hundredths", rate);
    else
        json_out_null(w, "success_rate_hundredths");
    json_out_integer(w, "runs", r->runs);
    json_out_integer(w, "runs_failed", r->runs_failed);
    json_out_integer(w, "runs_unfinished", r->runs_unfinished);
    json_out_integer(w, "longest_run_ms", r->longest_run_ms);
    json_out_object(w, "upload_duration_ms");
    json_out_integer(w, "p50", r->p50_ms);
    json_out_integer(w, "p90", r->p90_ms);
    json_out_integer(w, "p99", r->p99_ms);
    json_out_integer(w, "max", r->max_ms);
    json_out_end(w);
    json_out_object(w, "errors_by_class");
    for (size_t i = 0; i < ANALYZE_CLASSES && r->classes[i].name[0] != '\0'; i++)
        json_out_integer(w, r->classes[i].name, r->classes[i].count);
    json_out_end(w);
    json_out_array(w, "slowest");
    for (size_t i = 0; i < ANALYZE_SLOWEST && r->slowest[i].duration_ms > 0; i++) {
        json_out_object(w, NULL);
        json_out_string(w, "name", r->slowest[i].name);
        json_out_integer(w, "duration_ms", r->slowest[i].duration_ms);
        json_out_integer(w, "bytes", r->slowest[i].bytes);
        json_out_end(w);
    }
    json_out_end(w);
    json_out_array(w, "alerts");
    for (int a = 0; a < ANALYZE_ALERTS; a++) {
        if (r->alert[a])
            json_out_string(w, NULL, analyze_alert_text((enum analyze_alert)a));
    }
    json_out_end(w);
    json_out_integer(w, "log_errors", r->errors);
    json_out_integer(w, "log_warnings", r->warnings);
    json_out_integer(w, "files_read", r->files_read);
    json_out_integer(w, "lines", r->lines);
    json_out_integer(w, "damaged_lines", r->damaged_lines);
    json_out_array(w, "skipped");
    for (size_t i = 0; i < ANALYZE_SKIPPED && r->skipped[i][0] != '\0'; i++)
        json_out_string(w, NULL, r->skipped[i]);
    json_out_end(w);
}

static void print_rate(struct out *o, const struct analyze_result *r)
{
    int64_t rate = analyze_success_rate(r), tenths;

    if (rate < 0) {
        out_line(o, "Success Rate: none (no operations)");
        return;
    }
    /* cut, not rounded, and one is what the other leaves: a single failure shows in both */
    tenths = rate / 10;
    out_line(o, "Success Rate: %lld.%lld%%", (long long)(tenths / 10), (long long)(tenths % 10));
    out_line(o, "Failure Rate: %lld.%lld%%", (long long)((1000 - tenths) / 10),
             (long long)((1000 - tenths) % 10));
}

static void print_text(struct out *o, const struct analyze_result *r)
{
    static const struct out_column columns[] = {{"OPERATION", false, false},
                                                {"SUCCEEDED", true, false},
                                                {"FAILED", true, false},
                                                {"VOLUME", true, false}};
    struct out_table *t = out_table_new(o, columns, 4);

    for (int k = 0; k < ANALYZE_KINDS; k++) {
        char good[24], bad[24];
        struct out_text size = out_size(r->kind[k].bytes);
        const char *cells[] = {analyze_kind_name((enum analyze_kind)k), good, bad, size.text};
        snprintf(good, sizeof good, "%lld", (long long)r->kind[k].succeeded);
        snprintf(bad, sizeof bad, "%lld", (long long)r->kind[k].failed);
        out_table_row(t, r->kind[k].failed > 0 ? OUT_YELLOW : OUT_PLAIN, cells, 4);
    }
    out_table_print(t);
    print_rate(o, r);
    out_line(o, "Runs: %lld, %lld failed, %lld without an end (at work, or killed), longest %s",
             (long long)r->runs, (long long)r->runs_failed, (long long)r->runs_unfinished,
             out_duration(r->longest_run_ms).text);
    if (r->durations > 0)
        out_line(o, "Upload time: p50 %s, p90 %s, p99 %s, max %s", out_duration(r->p50_ms).text,
                 out_duration(r->p90_ms).text, out_duration(r->p99_ms).text,
                 out_duration(r->max_ms).text);
    for (size_t i = 0; i < ANALYZE_CLASSES && r->classes[i].name[0] != '\0'; i++)
        out_line(o, "Errors: %lld %s", (long long)r->classes[i].count,
                 out_safe(r->classes[i].name).text);
    for (size_t i = 0; i < ANALYZE_SLOWEST && r->slowest[i].duration_ms > 0; i++)
        out_line(o, "Slow: %s, %s, %s", out_duration(r->slowest[i].duration_ms).text,
                 out_size(r->slowest[i].bytes).text, out_safe(r->slowest[i].name).text);
    for (int a = 0; a < ANALYZE_ALERTS; a++) {
        if (r->alert[a])
            out_line(o, "%sALERT: %s%s", out_paint(o, OUT_RED),
                     analyze_alert_text((enum analyze_alert)a), out_reset(o));
    }
    out_line(o, "%lld files, %lld lines (%lld damaged), %s to %s", (long long)r->files_read,
             (long long)r->lines, (long long)r->damaged_lines, r->first_time, r->last_time);
}

static void print_skipped(struct out *o, const struct analyze_result *r)
{
    for (size_t i = 0; i < ANALYZE_SKIPPED && r->skipped[i][0] != '\0'; i++)
        out_note(o, "skipped %s", r->skipped[i]);
    if (r->skipped_count > ANALYZE_SKIPPED)
        out_note(o, "skipped %lld more", (long long)r->skipped_count - ANALYZE_SKIPPED);
}

int cmd_analyze(struct cli *cli)
{
    struct analyze_result *result = calloc(1, sizeof *result);
    struct analyze_options options = {.dir = config_get(&cli->config, CONFIG_LOG_DIR),
                                      .log_file = args_value(&cli->args, "log-file"),
                                      .now_ms = clock_wall_ms()};
    struct wire_needs needs = {.command = "analyze"};
    int64_t days = 0;
    enum err_code code = args_number(&cli->args, "days", 1, 36500, &days, &cli->err);

    options.days = (int)days;
    if (result == NULL)
        return cli_close(cli, err_set(&cli->err, ERR_NOMEM, "out of memory"));
    if (code == ERR_OK)
        code = cli_open(cli, &needs, "read");
    if (code == ERR_OK)
        code = analyze_run(&options, result, &cli->err);
    if (code == ERR_OK) {
        if (cli->out.json)
            print_json(&cli->out.writer, result);
        else
            print_text(&cli->out, result);
    }
    if (!cli->out.json)
        print_skipped(&cli->out, result);
    free(result);
    return cli_close(cli, code);
}
