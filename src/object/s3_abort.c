/* s3_abort: AbortMultipartUpload, of uploads that somebody recorded (P11). */
#include "blobferry/base/str.h"
#include "s3.h"

#include <stdlib.h>

struct abort_task {
    struct s3_task task;
    struct s3_request request;
    char *upload_id; /* owned */
};

static void on_answer(void *user, const struct s3_answer *a)
{
    struct abort_task *t = user;

    s3_result_take(&t->task.result, a, &t->request);
    free(t->upload_id);
    s3_task_end(&t->task);
}

enum err_code s3_abort_start(struct objstore *store, const char *key, const char *upload_id,
                             objstore_done_fn *done, void *user, struct err *e)
{
    struct s3_store *s = (struct s3_store *)store;
    struct abort_task *t = s3_task_new(sizeof *t, s, key, done, user, e);
    enum err_code code = ERR_OK;

    if (t == NULL)
        return ERR_NOMEM;
    t->upload_id = str_dup(upload_id);
    t->request = (struct s3_request){
        .store = s, .op = S3_ABORT, .key = t->task.key, .done = on_answer, .user = t};
    s3_request_query(&t->request, "uploadId", t->upload_id);
    code = t->upload_id == NULL ? err_set(e, ERR_NOMEM, "out of memory")
                                : s3_request_send(&t->request, 0, e);
    if (code != ERR_OK) {
        free(t->upload_id);
        s3_task_free(&t->task);
    }
    return code;
}
