#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

const struct option_spec cmd_init_options[] = {
    {"no-config", NULL, "write no blobferry.conf", false},
    {NULL, NULL, NULL, false},
};

/* The file that config_load would read. */
static const char *config_name(const struct cli *cli)
{
    const char *given = cli->args.config_file;

    if (given == NULL)
        given = getenv("BLOBFERRY_CONFIG");
    return str_empty(given) ? "blobferry.conf" : given;
}

static enum err_code write_config(struct cli *cli, bool *written)
{
    const char *path = config_name(cli);
    struct fsio_atomic file;
    char *text;
    enum err_code code;

    *written = false;
    /* one that has been read, wherever it lies, is not to be overridden by an empty one here */
    if (args_has(&cli->args, "no-config") || cli->config.path != NULL || fsio_exists(path))
        return ERR_OK;
    text = config_example();
    if (text == NULL)
        return err_set(&cli->err, ERR_NOMEM, "out of memory");
    code = fsio_atomic_begin(&file, path, 0600, &cli->err);
    if (code == ERR_OK) {
        code = fsio_atomic_write(&file, text, strlen(text), &cli->err);
        if (code == ERR_OK)
            code = fsio_atomic_commit(&file, FSIO_NEW, &cli->err);
        fsio_atomic_abort(&file);
    }
    free(text);
    *written = code == ERR_OK;
    return code;
}

int cmd_init(struct cli *cli)
{
    static const enum config_key folders[] = {CONFIG_LOG_DIR, CONFIG_BACKUP_DIR, CONFIG_BATCH_DIR};
    struct wire_needs needs = {.command = "init",
                               .tracker = true,
                               .create = true,
                               .write = true,
                               .log_file = true,
                               .audit = true};
    bool wrote = false;
    int created = 0;
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < sizeof folders / sizeof *folders && code == ERR_OK; i++)
        code = fsio_mkdirs(config_get(&cli->config, folders[i]), 0700, &cli->err);
    if (code == ERR_OK)
        code = cli_open(cli, &needs, "created");
    if (code == ERR_OK)
        code = tracker_init(cli->wire.engine.tracker, &created, &cli->err);
    if (code == ERR_OK)
        code = write_config(cli, &wrote);
    if (code == ERR_OK && cli->out.json) {
        json_out_string(&cli->out.writer, "database", tracker_name(cli->wire.engine.tracker));
        json_out_integer(&cli->out.writer, "tables_created", created);
        json_out_boolean(&cli->out.writer, "configuration_written", wrote);
    }
    if (code == ERR_OK) {
        out_line(&cli->out, "%s: %d tables created",
                 out_safe(tracker_name(cli->wire.engine.tracker)).text, created);
        if (wrote)
            out_line(&cli->out, "configuration: %s", out_safe(config_name(cli)).text);
        out_line(&cli->out, "next: blobferry plan --from-dir DIR --batch-id ID");
    }
    return cli_close(cli, code);
}
