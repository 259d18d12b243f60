/* dir_list, dir_window: folders of more names than are kept at once, listed page by page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "object/dir.h"
#include "unit/object/dir_world.h"

struct page {
    int calls;
    enum objstore_outcome outcome;
    size_t n;
    char first[300], last[300], next[300];
};

static void take(void *user, const struct objstore_result *r, const struct objstore_page *page)
{
    struct page *p = user;

    p->calls++;
    p->outcome = r->outcome;
    p->n = page->n;
    for (size_t i = 1; i < page->n; i++)
        assert_true(strcmp(page->entries[i - 1].key, page->entries[i].key) < 0);
    str_copy(p->first, sizeof p->first, page->n == 0 ? "" : page->entries[0].key);
    str_copy(p->last, sizeof p->last, page->n == 0 ? "" : page->entries[page->n - 1].key);
    str_copy(p->next, sizeof p->next, page->next == NULL ? "" : page->next);
}

static struct page list(struct world *w, const char *prefix, const char *token, int max)
{
    struct page p = {.calls = 0};

    assert_int_equal(
        objstore_list(w->store,
                      &(struct objstore_list){.prefix = prefix, .token = token, .max = max}, take,
                      &p, &w->err),
        ERR_OK);
    while (p.calls == 0)
        assert_int_equal(objstore_run(w->store, 100, &w->err), ERR_OK);
    assert_int_equal(p.outcome, OBJSTORE_DONE);
    return p;
}

static void touch(struct world *w, const char *name)
{
    const int fd = open(world_path(w, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
}

#define MANY 9000 /* more than a window holds */

static void test_dir_list_of_a_huge_folder(void **state)
{
    struct world w;
    struct page p = {.next = ""};
    char name[64], token[300] = "";
    size_t seen = 0;

    (void)state;
    world_open(&w);
    assert_int_equal(mkdir(world_path(&w, "flat"), 0700), 0);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof name, "flat/%05d", (i * 7919) % MANY);
        touch(&w, name);
    }
    do {
        p = list(&w, "flat/", token[0] == '\0' ? NULL : token, 1000);
        (void)snprintf(name, sizeof name, "flat/%05zu", seen);
        assert_string_equal(p.first, name);
        seen += p.n;
        str_copy(token, sizeof token, p.next);
    } while (token[0] != '\0');
    assert_int_equal(seen, MANY);
    p = list(&w, "flat/0899", NULL, 1000);
    assert_int_equal(p.n, 10);
    assert_string_equal(p.next, "");
    world_close(&w);
}

/* Between two pages our own changes count; what is kept of a folder is not older than they are. */
static void test_dir_list_sees_own_changes_between_pages(void **state)
{
    struct world w;
    struct page p;
    char name[64];
    struct objstore_result r;

    (void)state;
    world_open(&w);
    for (int i = 0; i < 50; i++) {
        (void)snprintf(name, sizeof name, "k%02d", i);
        touch(&w, name);
    }
    p = list(&w, "k", NULL, 10);
    assert_string_equal(p.last, "k09");
    assert_non_null(((struct dir_store *)w.store)->list.dir); /* the rest is kept */
    assert_int_equal(world_put_text(&w, "k10a", "x").outcome, OBJSTORE_DONE);
    assert_int_equal(objstore_remove_wait(w.store, "k12", NULL, &r, &w.err), ERR_OK);
    p = list(&w, "k", "k09", 4);
    assert_string_equal(p.first, "k10");
    assert_string_equal(p.last, "k13"); /* 10, 10a, 11, 13 */
    p = list(&w, "k", "k13", 10);
    assert_string_equal(p.last, "k23");
    assert_int_equal(unlink(world_path(&w, "k30")), 0); /* another's change: gone is gone */
    p = list(&w, "k", "k23", 10);
    assert_string_equal(p.last, "k34");
    /* what is kept for one prefix is not taken for another */
    p = list(&w, "k3", NULL, 2);
    assert_string_equal(p.last, "k32");
    p = list(&w, "k", "k32", 1000);
    assert_int_equal(p.n, 17);
    assert_string_equal(p.last, "k49");
    world_close(&w);
}

static void test_dir_list_shows_objects_only(void **state)
{
    struct world w;
    struct page p;

    (void)state;
    world_open(&w);
    assert_int_equal(world_put_text(&w, "b/k", "x").outcome, OBJSTORE_DONE);
    assert_int_equal(mkdir(world_path(&w, "empty"), 0700), 0);
    assert_int_equal(symlink("/etc", world_path(&w, "a-link")), 0);
    assert_int_equal(symlink("b/k", world_path(&w, "b/link")), 0);
    assert_int_equal(mkfifo(world_path(&w, "fifo"), 0600), 0);
    p = list(&w, "", NULL, 100);
    assert_int_equal(p.n, 1);
    assert_string_equal(p.first, "b/k");
    p = list(&w, ".blobferry/", NULL, 100);
    assert_int_equal(p.n, 0);
    p = list(&w, "a-link/", NULL, 100);
    assert_int_equal(p.n, 0);
    p = list(&w, "../", NULL, 100);
    assert_int_equal(p.n, 0);
    p = list(&w, "b/../b/", NULL, 100);
    assert_int_equal(p.n, 0);
    p = list(&w, "/", NULL, 100);
    assert_int_equal(p.n, 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dir_list_of_a_huge_folder),
        cmocka_unit_test(test_dir_list_sees_own_changes_between_pages),
        cmocka_unit_test(test_dir_list_shows_objects_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
