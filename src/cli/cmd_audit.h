/* cmd_audit: the parts of the command audit. Each returns with cli->err filled unless ERR_OK; cmd_audit closes. */
#ifndef BLOBFERRY_SRC_CLI_CMD_AUDIT_H
#define BLOBFERRY_SRC_CLI_CMD_AUDIT_H

#include "cli/cli.h"

enum err_code cmd_audit_show_list(struct cli *cli);
enum err_code cmd_audit_show_run(struct cli *cli);
enum err_code cmd_audit_export(struct cli *cli);

#endif
