/* cmd_status: the parts of the command status. */
#ifndef BLOBFERRY_SRC_CLI_CMD_STATUS_H
#define BLOBFERRY_SRC_CLI_CMD_STATUS_H

#include "cli/cli.h"

/* Who holds rows and locks; batch_id NULL: of all batches. cli->err is filled unless ERR_OK. */
enum err_code cmd_status_workers(struct cli *cli, const char *batch_id);

#endif
