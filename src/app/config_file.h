/* config_file: settings from blobferry.conf, an INI file with one section [blobferry] or none. */
#ifndef BLOBFERRY_SRC_APP_CONFIG_FILE_H
#define BLOBFERRY_SRC_APP_CONFIG_FILE_H

#include "blobferry/app/config.h"

/* Reads c->path; what is set already stays. ERR_CONFIG names file and line: unknown names and sections, bad values, names
 * given twice, lines over 190 bytes (inih's limit: never cut), NUL bytes. */
enum err_code config_file_load(struct config *c, struct err *e);

#endif
