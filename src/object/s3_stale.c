#include "s3_stale.h"

#include "blobferry/base/process.h"
#include "blobferry/base/str.h"

#include <stdio.h>
#include <string.h>

#define FOLDER    ".blobferry-probe/"
#define TURN_MS   100
#define STALE_MAX 32 /* a probe leaves three things at most; the next one finds the rest */

static const char *slash_of(const char *prefix)
{
    return prefix[0] == '\0' || str_ends(prefix, "/") ? "" : "/";
}

bool s3_stale_key(const struct objstore *s, const char *name, char *dst, size_t size)
{
    const char *prefix = objstore_prefix(s);
    char owner[PROCESS_OWNER_SIZE];

    process_owner(owner);
    const int n = snprintf(dst, size, "%s%s" FOLDER "%s/%s", prefix, slash_of(prefix), owner, name);
    return n > 0 && n <= 1024 && (size_t)n < size;
}

struct stale {
    size_t folder; /* bytes of the key before the owner */
    struct {
        char key[1100];
        char upload_id[1100];
    } found[STALE_MAX];
    size_t n;
    bool over;
};

static bool owner_is_dead(const char *after_folder)
{
    const char *slash = strchr(after_folder, '/');
    char owner[PROCESS_OWNER_SIZE];

    if (slash == NULL || (size_t)(slash - after_folder) >= sizeof owner)
        return false;
    memcpy(owner, after_folder, (size_t)(slash - after_folder));
    owner[slash - after_folder] = '\0';
    return process_owner_is_dead(owner);
}

static void on_page(void *user, const struct objstore_result *r, const struct objstore_page *page)
{
    struct stale *st = user;

    st->over = true;
    if (r->outcome != OBJSTORE_DONE || page == NULL)
        return;
    for (size_t i = 0; i < page->n && st->n < STALE_MAX; i++) {
        const struct objstore_entry *e = &page->entries[i];
        const char *upload = e->upload_id != NULL ? e->upload_id : "";

        if (strlen(e->key) != e->key_len || e->key_len <= st->folder ||
            !owner_is_dead(e->key + st->folder))
            continue;
        if (str_copy(st->found[st->n].key, sizeof st->found[0].key, e->key) &&
            str_copy(st->found[st->n].upload_id, sizeof st->found[0].upload_id, upload))
            st->n++;
    }
}

typedef enum err_code list_fn(struct objstore *s, const struct objstore_list *l,
                              objstore_page_fn *done, void *user, struct err *e);

static void find(struct objstore *s, struct stale *st, list_fn *list, const char *prefix)
{
    const struct objstore_list what = {.prefix = prefix};

    st->over = false;
    if (list(s, &what, on_page, st, NULL) != ERR_OK)
        return;
    while (!st->over) {
        if (objstore_run(s, TURN_MS, NULL) != ERR_OK)
            objstore_cancel_all(s); /* calls back: st does not outlive this frame */
    }
}

void s3_stale_clean(struct objstore *s)
{
    const char *prefix = objstore_prefix(s);
    struct objstore_result r;
    struct stale st = {.n = 0};
    char folder[1100];

    const int n = snprintf(folder, sizeof folder, "%s%s" FOLDER, prefix, slash_of(prefix));
    if (n < 0 || n > 1024)
        return;
    st.folder = (size_t)n;
    find(s, &st, objstore_list, folder);
    find(s, &st, objstore_list_uploads, folder);
    for (size_t i = 0; i < st.n; i++) {
        if (st.found[i].upload_id[0] != '\0')
            (void)objstore_abort_wait(s, st.found[i].key, st.found[i].upload_id, &r, NULL);
        else
            (void)objstore_remove_wait(s, st.found[i].key, NULL, &r, NULL);
    }
}
