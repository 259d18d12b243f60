#include "cli/cmd_audit.h"

#include "blobferry/base/str.h"
#include "blobferry/engine/audit.h"
#include "blobferry/engine/journal.h"
#include "cli/subcommand.h"

#include <stdio.h>
#include <string.h>

#define KEYS_MAX 16

const struct option_spec cmd_audit_options[] = {
    {"no-database", NULL, "verify: the chain alone, not the heads in the database", false},
    {"public-key", "FILE", "verify: the signatures too; again for a key that was replaced", true},
    {"key", "FILE", "keygen: where the private key goes (the public one: FILE.pub)", false},
    {"limit", "N", "list: at most so many runs (50)", false},
    {"run", "RUN", "export: only this run; the beginning of its id will do", false},
    {"from", "DATE", "export: from this day or instant on (UTC)", false},
    {"to", "DATE", "export: to the end of this day, or to this instant", false},
    {"format", "FORMAT", "export: jsonl (the lines as they are, the default) or csv", false},
    {"output", "FILE", "export: into a new file, not to standard output", false},
    {NULL, NULL, NULL, false},
};

/* ---- verify ---------------------------------------------------------------------------------------------- */

struct verification {
    struct journal_report report;
    bool signatures; /* were looked at */
    struct audit_signatures signs;
};

static void verify_json(struct json_out *w, const struct verification *v)
{
    const struct journal_report *r = &v->report;

    json_out_integer(w, "lines", r->lines);
    json_out_integer(w, "runs", r->runs);
    json_out_integer(w, "torn_tails", r->torn);
    json_out_integer(w, "heads_checked", r->heads);
    json_out_integer(w, "heads_missing", r->heads_missing);
    json_out_integer(w, "heads_elsewhere", r->heads_elsewhere);
    json_out_integer(w, "in_doubt", r->in_doubt);
    json_out_boolean(w, "in_doubt_at_most", r->in_doubt_at_most);
    json_out_integer(w, "bad_line", r->bad_line > 0 ? r->bad_line : v->signs.bad_line);
    json_out_string(w, "problem", r->bad_line > 0 ? r->problem : v->signs.problem);
    json_out_string(w, "log", r->log_id);
    json_out_integer(w, "last_seq", r->last_seq);
    json_out_string(w, "last_hash", r->last_hash);
    if (!v->signatures)
        return;
    json_out_object(w, "signatures");
    json_out_integer(w, "closing_lines", v->signs.closed);
    json_out_integer(w, "good", v->signs.good);
    json_out_integer(w, "unsigned_before_the_first", v->signs.unsigned_before);
    json_out_integer(w, "first_signed_line", v->signs.first_signed_line);
    json_out_end(w);
}

static void verify_text(struct out *o, const struct verification *v, bool good)
{
    const struct journal_report *r = &v->report;

    out_line(o, "%s%s%s: %lld lines, %lld runs, chain head %lld %s",
             out_paint(o, good ? OUT_GREEN : OUT_RED),
             good ? "audit trail is whole" : "audit trail is NOT whole", out_reset(o),
             (long long)r->lines, (long long)r->runs, (long long)r->last_seq, r->last_hash);
    if (r->bad_line > 0)
        out_line(o, "first bad line: %lld: %s", (long long)r->bad_line, out_safe(r->problem).text);
    out_line(o, "%lld heads of the database checked, %lld missing", (long long)r->heads,
             (long long)r->heads_missing);
    if (r->heads_elsewhere > 0)
        out_line(o, "%lld heads belong to audit trails of other hosts or folders: not checked",
                 (long long)r->heads_elsewhere);
    if (r->torn > 0)
        out_line(o, "%lld torn lines were recorded after crashes", (long long)r->torn);
    if (r->in_doubt > 0)
        out_line(o, "%s%lld intents have no outcome yet: the next run resolves them",
                 r->in_doubt_at_most ? "at most " : "", (long long)r->in_doubt);
    if (!v->signatures)
        return;
    if (v->signs.bad_line > 0)
        out_line(o, "first bad line: %lld: %s", (long long)v->signs.bad_line, v->signs.problem);
    out_line(o, "%lld of %lld closing lines are signed with the keys given, from line %lld on",
             (long long)v->signs.good, (long long)v->signs.closed,
             (long long)v->signs.first_signed_line);
    if (v->signs.unsigned_before > 0)
        out_line(o, "%lld closing lines before that are not signed",
                 (long long)v->signs.unsigned_before);
}

struct keys {
    struct signature *items[KEYS_MAX];
    size_t n;
};

static enum err_code load_keys(struct cli *cli, struct keys *k)
{
    const char *files[KEYS_MAX];
    size_t n = args_all(&cli->args, "public-key", files, KEYS_MAX);
    enum err_code code = ERR_OK;

    for (; code == ERR_OK && k->n < n; k->n += code == ERR_OK)
        code = signature_load_public(&k->items[k->n], files[k->n], &cli->err);
    return code;
}

static enum err_code look(struct cli *cli, const struct keys *k, struct verification *v)
{
    const char *dir = config_get(&cli->config, CONFIG_LOG_DIR);
    bool looked;
    enum err_code code = journal_verify(dir, cli->wire.engine.tracker, &v->report, &cli->err);

    looked = code == ERR_OK || code == ERR_CONFLICT;
    if (code == ERR_OK && k->n > 0) {
        code = audit_check(dir, k->items, k->n, &v->signs, &cli->err);
        v->signatures = code == ERR_OK || code == ERR_CONFLICT;
        looked = v->signatures;
    }
    if (looked && cli->out.json)
        verify_json(&cli->out.writer, v);
    else if (looked)
        verify_text(&cli->out, v, code == ERR_OK);
    return code;
}

static enum err_code verify(struct cli *cli)
{
    struct wire_needs needs = {.command = "audit", .tracker = !args_has(&cli->args, "no-database")};
    struct verification v;
    struct keys keys = {.n = 0};
    enum err_code code = load_keys(cli, &keys);

    memset(&v, 0, sizeof v);
    if (code == ERR_OK)
        code = cli_open(cli, &needs, "checked");
    if (code == ERR_OK)
        code = look(cli, &keys, &v);
    for (size_t i = 0; i < keys.n; i++)
        signature_free(keys.items[i]);
    return code;
}

/* ---- keygen ------------------------------------------------------------------------------------------------ */

static enum err_code keygen(struct cli *cli)
{
    const char *path = args_value(&cli->args, "key");
    char id[SIGNATURE_ID], public_path[4200];
    enum err_code code;

    if (path == NULL)
        return cli_usage(cli, "'audit keygen' needs --key FILE", "the file is made, with FILE.pub");
    code = cli_open(cli, &(struct wire_needs){.command = "audit"}, "made");
    if (code == ERR_OK)
        code = signature_keygen(path, id, &cli->err);
    if (code != ERR_OK)
        return code;
    snprintf(public_path, sizeof public_path, "%s.pub", path);
    if (cli->out.json) {
        json_out_string(&cli->out.writer, "key_id", id);
        json_out_string(&cli->out.writer, "private_key", path);
        json_out_string(&cli->out.writer, "public_key", public_path);
    }
    out_line(&cli->out, "key %s", id);
    out_line(&cli->out,
             "private: %s (set BLOBFERRY_AUDIT_KEY_FILE; keep it from who may write the "
             "audit trail)",
             out_safe(path).text);
    out_line(&cli->out, "public: %s (for: blobferry audit verify --public-key FILE)",
             out_safe(public_path).text);
    return ERR_OK;
}

int cmd_audit(struct cli *cli)
{
    static const struct subcommand all[] = {
        {"list", " limit ", NULL, cmd_audit_show_list},
        {"show", " ", "RUN", cmd_audit_show_run},
        {"verify", " no-database public-key ", NULL, verify},
        {"export", " run from to format output ", NULL, cmd_audit_export},
        {"keygen", " key ", NULL, keygen},
        {NULL, NULL, NULL, NULL},
    };

    return subcommand_run(cli, all);
}
