/* s3_stat: HeadObject. */
#include "s3.h"

struct stat_task {
    struct s3_task task;
    struct s3_look look;
};

static void on_look(void *user, struct s3_look *l, const struct s3_answer *a)
{
    struct stat_task *t = user;

    s3_result_take(&t->task.result, a, &l->request);
    if (a->is.verdict == S3_OK)
        t->task.result.info = l->info;
    s3_task_end(&t->task);
}

enum err_code s3_stat_start(struct objstore *store, const char *key, objstore_done_fn *done,
                            void *user, struct err *e)
{
    struct s3_store *s = (struct s3_store *)store;
    struct stat_task *t = s3_task_new(sizeof *t, s, key, done, user, e);
    enum err_code code;

    if (t == NULL)
        return ERR_NOMEM;
    code = s3_look_start(
        &t->look, s, &(struct s3_look_options){.key = t->task.key, .done = on_look, .user = t}, e);
    if (code != ERR_OK)
        s3_task_free(&t->task);
    return code;
}
