/* fuzz_json: any bytes as a document; what is taken is written out and must be taken again. */
#include "blobferry/codec/json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

/* Nesting is at most 64 by json_parse's promise; the writer's 32 shows as a full buffer. */
static size_t copy(struct json_out *o, const struct json *v, int depth)
{
    const char *name = json_name(v);
    int64_t i;
    bool b;
    size_t values = 1;
    must(depth <= 64);
    if (json_is_object(v) || json_is_array(v)) {
        if (json_is_object(v))
            json_out_object(o, name);
        else
            json_out_array(o, name);
        for (const struct json *m = json_first(v); m != NULL; m = json_next(m)) {
            must(!json_is_object(v) || json_get(v, json_name(m)) == m);
            values += copy(o, m, depth + 1);
        }
        json_out_end(o);
    } else if (json_string(v) != NULL) {
        json_out_string(o, name, json_string(v));
    } else if (json_integer(v, &i)) {
        must(i <= INT64_C(1) << 53 && i >= -(INT64_C(1) << 53));
        json_out_integer(o, name, i);
    } else if (json_boolean(v, &b)) {
        json_out_boolean(o, name, b);
    } else {
        json_out_null(o, name); /* null, or a number that is no integer */
    }
    return values;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e;
    err_init(&e);
    struct json *root = json_parse((const char *)data, size, &e);
    must((root == NULL) == (e.code != ERR_OK));
    if (root == NULL) {
        must(e.message[0] != '\0');
        return 0;
    }
    for (int indent = 0; indent < 2; indent++) {
        struct buf out;
        struct json_out o;
        buf_init(&out, (size_t)1 << 24);
        json_out_init(&o, &out, indent);
        must(copy(&o, root, 0) <= size);
        must(o.depth == 0);
        if (buf_ok(&out)) {
            struct json *again = json_parse(out.data, out.len, NULL);
            must(again != NULL && json_length(again) == json_length(root));
            json_free(again);
        }
        buf_release(&out);
    }
    json_free(root);
    return 0;
}
