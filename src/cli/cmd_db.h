/* cmd_db: the parts of the command db. Each returns with cli->err filled unless ERR_OK; cmd_db closes. */
#ifndef BLOBFERRY_SRC_CLI_CMD_DB_H
#define BLOBFERRY_SRC_CLI_CMD_DB_H

#include "cli/cli.h"

enum err_code cmd_db_check(struct cli *cli);
enum err_code cmd_db_copy(struct cli *cli);

#endif
