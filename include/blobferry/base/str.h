/* str: small helpers on C strings. Nothing here allocates unless it says so. */
#ifndef BLOBFERRY_BASE_STR_H
#define BLOBFERRY_BASE_STR_H

#include "blobferry/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copy with truncation; true if all of src fitted. dst is always terminated when size > 0. */
bool str_copy(char *dst, size_t size, const char *src);
char *str_dup(const char *s);              /* owned; NULL in, NULL out; NULL on no memory */
bool str_eq(const char *a, const char *b); /* NULL equals only NULL */
bool str_empty(const char *s);             /* NULL or "" */
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
bool str_ieq(const char *a, const char *b); /* ASCII case-insensitive */

/* Whole-string decimal; rejects signs, blanks, overflow and an empty string. */
bool str_to_u64(const char *s, uint64_t *out);
/* "8M", "8MiB", "5GB" (all powers of 1024, as rclone), "0", plain bytes. False when malformed or overflowing. */
bool str_to_size(const char *s, uint64_t *out);
/* "90s", "15m", "24h", "7d", "2w", "500ms", plain seconds; result in milliseconds. */
bool str_to_duration_ms(const char *s, int64_t *out);
/* "1.5 GiB" into dst; returns dst. */
const char *str_from_size(char *dst, size_t size, uint64_t bytes);

/* UTF-8 checks: whole length, no overlong forms, no surrogates (RFC 3629). */
bool str_utf8_valid(const char *s, size_t n);
/* Bytes of the well-formed sequence at s (1 to 4) with its code point, 0 when it is malformed. */
size_t str_utf8_next(const char *s, size_t n, uint32_t *point);
/* Code points that may not reach a terminal or a log line raw; see str_printable. */
bool str_is_control(uint32_t point);

/* Make text safe for one terminal or log line: C0, DEL, C1, U+2028/9, bidi controls (U+202A-E,
 * U+2066-9, U+200E/F, U+061C, U+FEFF) and invalid bytes become \xNN or \u{NNNN}. Truncates with "..." */
const char *str_printable(char *dst, size_t size, const char *s);

#endif
