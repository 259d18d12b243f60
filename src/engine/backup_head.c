#include "engine/backup_head.h"

#include "blobferry/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void take_filter(struct backup_head *h, const struct json *filter)
{
    int64_t statuses;

    free(h->batch_id);
    free(h->user_id);
    h->batch_id = str_dup(json_string(json_get(filter, "batch_id")));
    h->user_id = str_dup(json_string(json_get(filter, "user_id")));
    h->filter.batch_id = h->batch_id;
    h->filter.user_id = h->user_id;
    h->filter.has_from = json_integer(json_get(filter, "from_ms"), &h->filter.from_ms);
    h->filter.has_to = json_integer(json_get(filter, "to_ms"), &h->filter.to_ms);
    if (json_integer(json_get(filter, "statuses"), &statuses) && statuses > 0 &&
        statuses < (int64_t)1 << 31)
        h->filter.statuses = (unsigned)statuses;
}

void backup_head_take(struct backup_head *h, const char *name, const struct json *value)
{
    const char *text = json_string(value);

    if (str_eq(name, "filter"))
        take_filter(h, value);
    else if (text == NULL)
        return;
    else if (str_eq(name, "created"))
        str_copy(h->created, sizeof h->created, text);
    else if (str_eq(name, "database"))
        str_copy(h->database, sizeof h->database, text);
    else if (str_eq(name, "run"))
        str_copy(h->run, sizeof h->run, text);
}

void backup_head_database(const char *url, char *dst, size_t size)
{
    static const char scheme[] = "sqlite:";
    const char *path = url + strlen(scheme);
    char *real = NULL;

    if (str_starts(url, scheme))
        real = realpath(str_starts(path, "//") ? path + 2 : path, NULL);
    if (real == NULL || snprintf(dst, size, "%s%s", scheme, real) >= (int)size)
        str_copy(dst, size, url);
    free(real);
}

void backup_head_release(struct backup_head *h)
{
    free(h->batch_id);
    free(h->user_id);
    memset(h, 0, sizeof *h);
}
