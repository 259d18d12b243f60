/* cli: what a command gets. A command parses its own options first, opens what it needs by cli_open, calls the engine, prints, and ends by
 * cli_close, whose value is the exit code. */
#ifndef BLOBFERRY_SRC_CLI_CLI_H
#define BLOBFERRY_SRC_CLI_CLI_H

#include "blobferry/app/wire.h"
#include "cli/args.h"
#include "cli/out.h"
#include "cli/progress.h"

struct cli {
    struct args args;
    struct config config;
    struct out out;
    struct wire wire;
    struct err err;
    struct progress progress;
    bool opened; /* wire_open was called */
    bool closed; /* cli_close has printed what there was to print */
};

extern const struct command cli_commands[]; /* ends with a name of NULL */

/* Opens the wire, connects progress. */
enum err_code cli_open(struct cli *cli, const struct wire_needs *needs, const char *verb);
/* Prints the error if `code` is one, records the run's end, closes. Under --json the document must have been begun; it is ended here.
 * `code` may be ERR_OK with cli->err unset. Returns the exit code; 128 + signal when a signal stopped us. */
int cli_close(struct cli *cli, enum err_code code);
/* Fills cli->err; returns ERR_USAGE. */
enum err_code cli_usage(struct cli *cli, const char *message, const char *hint);

int cmd_init(struct cli *cli);
int cmd_plan(struct cli *cli);
int cmd_migrate(struct cli *cli);
int cmd_verify(struct cli *cli);
int cmd_rollback(struct cli *cli);
int cmd_status(struct cli *cli);
int cmd_audit(struct cli *cli);
int cmd_analyze(struct cli *cli);
int cmd_backup(struct cli *cli);
int cmd_doctor(struct cli *cli);
int cmd_db(struct cli *cli);

extern const struct option_spec cmd_init_options[];
extern const struct option_spec cmd_plan_options[];
extern const struct option_spec cmd_migrate_options[];
extern const struct option_spec cmd_verify_options[];
extern const struct option_spec cmd_rollback_options[];
extern const struct option_spec cmd_status_options[];
extern const struct option_spec cmd_audit_options[];
extern const struct option_spec cmd_analyze_options[];
extern const struct option_spec cmd_backup_options[];
extern const struct option_spec cmd_doctor_options[];
extern const struct option_spec cmd_db_options[];

#endif
