#include "blobferry/engine/backup.h"

#include "blobferry/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX ((size_t)1 << 20)

struct names {
    char **items;
    size_t len, cap;
};

static bool is_ours(const char *name)
{
    return str_starts(name, "migration_backup_") &&
           (str_ends(name, ".json") || str_ends(name, ".json.enc"));
}

static enum err_code add(struct names *n, const char *name, struct err *e)
{
    if (n->len == NAMES_MAX)
        return err_set(e, ERR_LIMIT, "too many backups in one folder");
    if (n->len == n->cap) {
        size_t cap = n->cap == 0 ? 64 : n->cap * 2;
        char **grown = reallocarray(n->items, cap, sizeof *grown);
        if (grown == NULL)
            return err_set(e, ERR_NOMEM, "out of memory");
        n->items = grown;
        n->cap = cap;
    }
    n->items[n->len] = str_dup(name);
    if (n->items[n->len] == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    n->len++;
    return ERR_OK;
}

/* '-2' of one second sorts before '.json': that is its order in time only by length. */
static int by_name(const void *a, const void *b)
{
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    size_t n = strcspn(x, "-."), m = strcspn(y, "-.");
    int order = strncmp(x, y, n < m ? n : m);

    if (order != 0 || n != m)
        return order != 0 ? order : (n > m) - (n < m);
    if ((x[n] == '-') != (y[m] == '-'))
        return x[n] == '-' ? 1 : -1;
    if (strcspn(x + n, ".") != strcspn(y + m, "."))
        return strcspn(x + n, ".") > strcspn(y + m, ".") ? 1 : -1;
    return strcmp(x, y);
}

static enum err_code read_names(const char *dir, struct names *n, struct err *e)
{
    DIR *d = opendir(dir);
    const struct dirent *entry;
    enum err_code code = ERR_OK;

    if (d == NULL && errno == ENOENT) /* no backup was ever made */
        return ERR_OK;
    if (d == NULL)
        return err_set_errno(e, ERR_FILE, errno, "cannot open backup folder '%s'", dir);
    while (code == ERR_OK && (entry = readdir(d)) != NULL) {
        if (is_ours(entry->d_name))
            code = add(n, entry->d_name, e);
    }
    closedir(d);
    if (n->len > 0)
        qsort(n->items, n->len, sizeof *n->items, by_name);
    return code;
}

/* What cannot be opened is told like what is damaged: the others are listed all the same. */
static enum err_code tell(const char *dir, const char *name, const struct secret *key,
                          backup_list_fn *fn, void *user, struct err *e)
{
    struct backup_info *info = calloc(1, sizeof *info);
    struct err fault;
    char path[4096];
    enum err_code code = ERR_OK;

    err_init(&fault);
    if (info == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        code = err_set(e, ERR_CONFIG, "the backup folder's name is too long");
    if (code == ERR_OK && backup_info_read(info, path, key, &fault) != ERR_OK) {
        info->fault = fault.code;
        str_copy(info->problem, sizeof info->problem, fault.message);
    }
    if (code == ERR_OK)
        code = fn(user, info, e);
    backup_info_release(info);
    free(info);
    return code;
}

enum err_code backup_list_each(const char *dir, const struct secret *key, backup_list_fn *fn,
                               void *user, struct err *e)
{
    struct names n = {0};
    enum err_code code = read_names(dir, &n, e);

    for (size_t i = 0; code == ERR_OK && i < n.len; i++)
        code = tell(dir, n.items[i], key, fn, user, e);
    for (size_t i = 0; i < n.len; i++)
        free(n.items[i]);
    free(n.items);
    return code;
}
