/* json: cJSON behind a fence: bounded size and depth, names case-sensitive, duplicate names refused, integers only in
 * what we write. Reading keeps a tree; writing streams. */
#ifndef BLOBFERRY_CODEC_JSON_H
#define BLOBFERRY_CODEC_JSON_H

#include "blobferry/base/buf.h"
#include "blobferry/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json; /* a parsed value; opaque (cJSON) */

/* The whole text must be one value by RFC 8259, in UTF-8 (a byte order mark before it is passed
 * over), without \u0000 and lone surrogates, with no name twice in one object. At most 64 MiB, 64
 * levels, 4 Mi values, numbers of 60 characters. Owned by the caller: json_free. NULL with
 * ERR_PARSE, ERR_LIMIT or ERR_NOMEM. Every question below may be asked of NULL. */
struct json *json_parse(const char *text, size_t n, struct err *e);
void json_free(struct json *root);

const struct json *json_get(const struct json *object, const char *name); /* NULL when absent */
bool json_is_object(const struct json *v);
bool json_is_array(const struct json *v);
bool json_is_null(const struct json *v);
const char *json_string(const struct json *v); /* borrowed; NULL when it is no string */
/* True for numbers written as integers (no fraction, no exponent) of at most 2^53 in size. */
bool json_integer(const struct json *v, int64_t *out);
bool json_boolean(const struct json *v, bool *out);
size_t json_length(const struct json *array_or_object);
const struct json *json_item(const struct json *array,
                             size_t i); /* linear; see json_first for walking */
const struct json *json_first(const struct json *array_or_object);
const struct json *json_next(const struct json *item);
const char *json_name(const struct json *member); /* member's name inside its object */

/* Streaming writer into a buf: commas and quotes are its business.
 *     struct json_out o; json_out_init(&o, &b, indent);
 *     json_out_object(&o, NULL); json_out_string(&o, "id", id); json_out_end(&o);
 * name is NULL inside arrays and for the root. Strings that are not UTF-8 or hold NUL are written as
 * {"b64": "…"}; C0, DEL, C1, U+2028/9 and bidi controls as \u. Misuse (a name that is missing, too
 * many or no UTF-8; an end too many) and more than JSON_DEPTH_MAX levels make buf_ok(b) false. */
#define JSON_DEPTH_MAX 32
struct json_out {
    struct buf *b;
    int depth;
    int indent; /* 0: one line */
    bool first[JSON_DEPTH_MAX];
    bool array[JSON_DEPTH_MAX];
};
void json_out_init(struct json_out *o, struct buf *b, int indent);
void json_out_object(struct json_out *o, const char *name);
void json_out_array(struct json_out *o, const char *name);
void json_out_end(struct json_out *o); /* closes the innermost object or array */
void json_out_string(struct json_out *o, const char *name,
                     const char *value); /* NULL writes null */
void json_out_bytes(struct json_out *o, const char *name, const void *p, size_t n);
void json_out_integer(struct json_out *o, const char *name, int64_t value);
void json_out_boolean(struct json_out *o, const char *name, bool value);
void json_out_null(struct json_out *o, const char *name);

#endif
