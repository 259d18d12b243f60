#include "blobferry/engine/verify.h"
#include "cli/cli.h"

const struct option_spec cmd_verify_options[] = {
    {"batch-id", "ID", "only this batch", false},
    {"user-id", "ID", "only this user's files", false},
    {"deep", NULL, "read every object and hash it", false},
    {"sources", NULL, "hash the originals as well", false},
    {"concurrency", "N", "objects at once (16)", false},
    {NULL, NULL, NULL, false},
};

static void print_json(struct json_out *w, const struct verify_options *o,
                       const struct verify_result *r)
{
    json_out_boolean(w, "deep", o->deep);
    json_out_integer(w, "checked", r->checked);
    json_out_integer(w, "verified", r->verified);
    json_out_integer(w, "newly_verified", r->newly_verified);
    json_out_integer(w, "missing", r->missing);
    json_out_integer(w, "different", r->different);
    json_out_integer(w, "errors", r->errors);
    json_out_integer(w, "in_doubt", r->in_doubt);
    json_out_integer(w, "not_checked", r->not_checked);
    json_out_integer(w, "bytes_read", r->bytes);
    json_out_integer(w, "elapsed_ms", r->elapsed_ms);
}

static void print_text(struct out *o, const struct verify_result *r)
{
    bool bad = r->missing + r->different + r->errors > 0;

    out_line(o, "%s%lld of %lld checked objects are as recorded%s (%lld newly verified) in %s",
             out_paint(o, bad ? OUT_YELLOW : OUT_GREEN), (long long)r->verified,
             (long long)r->checked, out_reset(o), (long long)r->newly_verified,
             out_duration(r->elapsed_ms).text);
    if (bad)
        out_line(o, "%s%lld missing, %lld different, %lld could not be checked%s",
                 out_paint(o, OUT_RED), (long long)r->missing, (long long)r->different,
                 (long long)r->errors, out_reset(o));
    if (r->in_doubt > 0)
        out_line(o, "%lld rows are in doubt (processing): a migrate run will resolve them",
                 (long long)r->in_doubt);
    if (r->not_checked > 0)
        out_line(o, "%lld rows hold no object to check (pending, failed or rolled back)",
                 (long long)r->not_checked);
}

int cmd_verify(struct cli *cli)
{
    struct verify_options options = {0};
    struct verify_result result = {0};
    struct wire_needs needs = {.command = "verify",
                               .tracker = true,
                               .write = true,
                               .store = true,
                               .audit = true,
                               .log_file = true};
    int64_t concurrency = 0;
    enum err_code code = args_number(&cli->args, "concurrency", 1, 1024, &concurrency, &cli->err);

    options.batch_id = args_value(&cli->args, "batch-id");
    options.user_id = args_value(&cli->args, "user-id");
    options.deep = args_has(&cli->args, "deep");
    options.sources = args_has(&cli->args, "sources");
    options.concurrency = needs.concurrency = (int)concurrency;
    if (code == ERR_OK)
        code = cli_open(cli, &needs, "verified");
    if (code == ERR_OK) {
        code = verify_run(&cli->wire.engine, &options, &result, &cli->err);
        progress_end(&cli->progress);
        if (cli->out.json)
            print_json(&cli->out.writer, &options, &result);
        else
            print_text(&cli->out, &result);
    }
    return cli_close(cli, code);
}
