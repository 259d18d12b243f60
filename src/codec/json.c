/* json: reading. json_scan checks the grammar first; cJSON then only builds the tree; a last walk
 * refuses duplicate names and settles which numbers are exact integers. */
#include "blobferry/codec/json.h"

#include "blobferry/base/str.h"
#include "json_scan.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX      ((size_t)64 << 20)
#define COMPARE_PAIRS 12 /* members; above, names are sorted first */

static const cJSON *inside(const struct json *v)
{
    return (const cJSON *)v;
}

static const struct json *outside(const cJSON *v)
{
    return (const struct json *)v;
}

static enum err_code duplicate(const char *name, struct err *e)
{
    char shown[100];
    return err_set(e, ERR_PARSE, "malformed JSON: name '%s' occurs twice in one object",
                   str_printable(shown, sizeof shown, name));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum err_code check_many_names(const cJSON *object, size_t count, struct err *e)
{
    enum err_code code = ERR_OK;
    const char **names = malloc(count * sizeof *names);
    if (names == NULL)
        return err_set(e, ERR_NOMEM, "no memory for JSON");
    size_t n = 0;
    for (const cJSON *m = object->child; m != NULL; m = m->next)
        names[n++] = m->string;
    qsort(names, n, sizeof *names, by_name);
    for (size_t i = 1; i < n && code == ERR_OK; i++) {
        if (strcmp(names[i - 1], names[i]) == 0)
            code = duplicate(names[i], e);
    }
    free(names);
    return code;
}

/* Two readers may pick different ones of two members with one name: nobody gets the choice. */
static enum err_code check_names(const cJSON *object, struct err *e)
{
    size_t count = 0;
    for (const cJSON *m = object->child; m != NULL; m = m->next)
        count++;
    if (count > COMPARE_PAIRS)
        return check_many_names(object, count, e);
    for (const cJSON *m = object->child; m != NULL; m = m->next) {
        for (const cJSON *other = m->next; other != NULL; other = other->next) {
            if (strcmp(m->string, other->string) == 0)
                return duplicate(m->string, e);
        }
    }
    return ERR_OK;
}

/* In the order of the text, so that numbers can be read from it once more: as a double,
 * 9007199254740993 is 9007199254740992 and nobody would know. */
static enum err_code settle(cJSON *root, const char *text, const char *end, struct err *e)
{
    cJSON *above[JSON_SCAN_LEVELS + 1];
    int depth = 0;
    cJSON *v = root;
    for (;;) {
        if (cJSON_IsNumber(v)) {
            bool exact = false;
            int64_t value = 0;
            if (!json_scan_number(&text, end, &exact, &value))
                return err_set(e, ERR_GENERAL, "malformed JSON: number not found again");
            v->valuedouble = exact ? (double)value : (double)NAN;
        }
        const enum err_code code = cJSON_IsObject(v) ? check_names(v, e) : ERR_OK;
        if (code != ERR_OK)
            return code;
        if (v->child != NULL && depth <= JSON_SCAN_LEVELS) {
            above[depth++] = v;
            v = v->child;
            continue;
        }
        while (v->next == NULL) {
            if (depth == 0)
                return ERR_OK;
            v = above[--depth];
            if (v == root)
                return ERR_OK;
        }
        v = v->next;
    }
}

struct json *json_parse(const char *text, size_t n, struct err *e)
{
    if (n > TEXT_MAX) {
        (void)err_set(e, ERR_LIMIT, "JSON of %zu bytes is over the limit of %zu", n, TEXT_MAX);
        return NULL;
    }
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        n -= 3;
    }
    if (json_scan_check(text, n, e) != ERR_OK)
        return NULL;
    cJSON *root = cJSON_ParseWithLengthOpts(text, n, NULL, false);
    if (root == NULL) {
        (void)err_set(e, ERR_NOMEM, "no memory for JSON"); /* the text itself is sound */
        return NULL;
    }
    if (settle(root, text, text + n, e) != ERR_OK) {
        cJSON_Delete(root);
        return NULL;
    }
    return (struct json *)root;
}

void json_free(struct json *root)
{
    cJSON_Delete((cJSON *)root);
}

const struct json *json_get(const struct json *object, const char *name)
{
    if (!json_is_object(object) || name == NULL)
        return NULL;
    return outside(cJSON_GetObjectItemCaseSensitive(inside(object), name));
}

bool json_is_object(const struct json *v)
{
    return cJSON_IsObject(inside(v));
}

bool json_is_array(const struct json *v)
{
    return cJSON_IsArray(inside(v));
}

bool json_is_null(const struct json *v)
{
    return cJSON_IsNull(inside(v));
}

const char *json_string(const struct json *v)
{
    return cJSON_IsString(inside(v)) ? inside(v)->valuestring : NULL;
}

bool json_integer(const struct json *v, int64_t *out)
{
    if (!cJSON_IsNumber(inside(v)) || isnan(inside(v)->valuedouble))
        return false;
    *out = (int64_t)inside(v)->valuedouble;
    return true;
}

bool json_boolean(const struct json *v, bool *out)
{
    if (!cJSON_IsBool(inside(v)))
        return false;
    *out = cJSON_IsTrue(inside(v));
    return true;
}

static bool is_container(const struct json *v)
{
    return json_is_array(v) || json_is_object(v);
}

size_t json_length(const struct json *array_or_object)
{
    size_t n = 0;
    for (const struct json *v = json_first(array_or_object); v != NULL; v = json_next(v))
        n++;
    return n;
}

const struct json *json_item(const struct json *array, size_t i)
{
    const struct json *v = json_is_array(array) ? json_first(array) : NULL;
    while (v != NULL && i-- > 0)
        v = json_next(v);
    return v;
}

const struct json *json_first(const struct json *array_or_object)
{
    return is_container(array_or_object) ? outside(inside(array_or_object)->child) : NULL;
}

const struct json *json_next(const struct json *item)
{
    return item == NULL ? NULL : outside(inside(item)->next);
}

const char *json_name(const struct json *member)
{
    return member == NULL ? NULL : inside(member)->string;
}
