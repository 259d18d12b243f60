/* cmd_backup: the parts of the command backup. Each returns with cli->err filled unless ERR_OK; cmd_backup closes. */
#ifndef BLOBFERRY_SRC_CLI_CMD_BACKUP_H
#define BLOBFERRY_SRC_CLI_CMD_BACKUP_H

#include "cli/cli.h"

enum err_code cmd_backup_restore(struct cli *cli);

#endif
