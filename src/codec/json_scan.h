/* json_scan: the fence before cJSON, which by itself takes more than RFC 8259 allows: blanks of any
 * kind, "01", raw control characters. Private to codec; see json.h.
 *
 *     if (json_scan_check(text, n, e) != ERR_OK) ...
 *     const char *at = text;
 *     while (json_scan_number(&at, text + n, &exact, &value)) ...      (numbers in their order)
 */
#ifndef BLOBFERRY_CODEC_JSON_SCAN_PRIVATE_H
#define BLOBFERRY_CODEC_JSON_SCAN_PRIVATE_H

#include "blobferry/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_SCAN_LEVELS 64
#define JSON_SCAN_VALUES ((size_t)4 << 20)

/* ERR_OK only if text[0..n) is one value by RFC 8259 in valid UTF-8, without \u0000 and without
 * lone surrogates, at most 64 levels deep and of at most JSON_SCAN_VALUES values. ERR_PARSE names
 * the byte, ERR_LIMIT the bound. No recursion, no allocation. */
enum err_code json_scan_check(const char *text, size_t n, struct err *e);

/* The next number of a checked text at or after *at, and moves *at past it; false when none is
 * left. *exact: written as an integer and of at most 2^53 in size; then *value is it. */
bool json_scan_number(const char **at, const char *end, bool *exact, int64_t *value);

#endif
