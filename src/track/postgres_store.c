/* postgres_store: the moves themselves, and what blobferry keeps beside them: one statement for all rows of a group. */
#include "track/postgres_apply.h"

#include "blobferry/base/str.h"

#include <string.h>

/* What happens to completed_at. */
enum ending { ENDING_KEEP, ENDING_NOW, ENDING_CLEAR };

static enum ending ending_of(enum file_status to)
{
    if (to == FILE_COMPLETED || to == FILE_FAILED)
        return ENDING_NOW;
    return to == FILE_PENDING ? ENDING_CLEAR : ENDING_KEEP;
}

/* The moves after which what the move says of the object is stored. */
static bool tells_object(const struct tracker_move *m)
{
    return m->to == FILE_COMPLETED || m->to == FILE_VERIFIED || m->to == FILE_FAILED;
}

/* A message may have been cut in the middle of a character, or hold a name that is no UTF-8: it is only shown, so that is no reason to lose
 * the move. */
static void add_shown(struct postgres_array *a, const char *text)
{
    char safe[4 * ERR_MESSAGE_MAX];

    if (text != NULL && !str_utf8_valid(text, strlen(text)))
        text = str_printable(safe, sizeof safe, text);
    postgres_array_text(a, text);
}

/* A size that the application's column cannot hold is not stored; the bytes are proven by their digest. */
static void add_size(struct postgres_array *a, const struct postgres_column *c, int64_t size)
{
    if (size < 0 || (c->kind == POSTGRES_INT4 && size > INT32_MAX) ||
        (c->kind == POSTGRES_INT2 && size > INT16_MAX))
        postgres_array_null(a);
    else
        postgres_array_integer(a, size);
}

/* ---- file_migrations ----------------------------------------------------------------------------------------- */

enum move_column { M_ID, M_FROM, M_TO, M_ERROR, M_CHECKSUM, M_SIZE, M_ENDING, M_NOW, M_COUNT };

static const char move_sql[] =
    "UPDATE file_migrations AS m SET status = a.next::%s, error_message = %s,"
    " migrated_checksum = coalesce(a.checksum, m.migrated_checksum),"
    " file_size = coalesce(m.file_size, a.size),"
    " completed_at = CASE a.ending WHEN 1 THEN a.now WHEN 2 THEN NULL ELSE m.completed_at END"
    " FROM unnest($1::%s[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[],"
    "  $7::integer[], $8::%s[]) WITH ORDINALITY"
    "  AS a (id, status, next, error, checksum, size, ending, now, i)"
    " WHERE m.id = a.id AND m.status::text = a.status RETURNING a.i";

static void gather_move(const struct postgres *p, const struct tracker_move *m, bool meant,
                        struct postgres_array a[M_COUNT])
{
    const bool tells = tells_object(m);
    char now[POSTGRES_TIME_SIZE];

    postgres_array_text(&a[M_ID],
                        meant ? postgres_type_id(postgres_column(p, POSTGRES_M_ID), m->id) : NULL);
    postgres_array_text(&a[M_FROM], state_file_name(m->from));
    postgres_array_text(&a[M_TO], state_file_name(m->to));
    add_shown(&a[M_ERROR], m->error_message);
    postgres_array_text(&a[M_CHECKSUM], tells ? m->migrated_checksum : NULL);
    add_size(&a[M_SIZE], postgres_column(p, POSTGRES_M_SIZE), tells ? m->size : -1);
    postgres_array_integer(&a[M_ENDING], ending_of(m->to));
    postgres_array_text(
        &a[M_NOW], postgres_type_time(postgres_column(p, POSTGRES_M_COMPLETED), m->now_ms, now));
}

static enum err_code run_moves(struct postgres *p, struct postgres_moves *g,
                               struct postgres_array a[M_COUNT], struct err *e)
{
    const int limit = postgres_column(p, POSTGRES_M_ERROR)->limit;
    struct postgres_arg args[M_COUNT];
    struct buf sql, message;

    for (int i = 0; i < M_COUNT; i++)
        args[i] = (struct postgres_arg)POSTGRES_T(postgres_array_end(&a[i]));
    buf_init(&message, 64);
    buf_init(&sql, 8192);
    if (limit > 0) /* varchar(n): cut, rather than fail to say that a file has failed */
        buf_printf(&message, "left(a.error, %d)", limit);
    else
        buf_str(&message, "a.error");
    buf_printf(&sql, move_sql, postgres_column(p, POSTGRES_M_STATUS)->type, buf_cstr(&message),
               postgres_column(p, POSTGRES_M_ID)->type,
               postgres_column(p, POSTGRES_M_COMPLETED)->type);
    PGresult *q = postgres_statement_query(p, buf_cstr(&sql), args, M_COUNT, e);
    buf_release(&sql);
    buf_release(&message);
    if (q == NULL)
        return postgres_code(e);
    for (int i = 0; i < PQntuples(q); i++) {
        const int64_t at = postgres_statement_integer(q, i, 0);
        if (at >= 1 && (uint64_t)at <= g->n)
            g->look[at - 1].moved = true;
    }
    PQclear(q);
    return ERR_OK;
}

enum err_code postgres_store_moves(struct postgres *p, struct postgres_moves *g, struct err *e)
{
    struct postgres_array a[M_COUNT];
    size_t meant = 0;

    for (int i = 0; i < M_COUNT; i++)
        postgres_array_init(&a[i]);
    for (size_t i = 0; i < g->n; i++) {
        const struct postgres_look *l = &g->look[i];
        const bool this = l->there && l->in_batch && l->act != POINTER_REFUSED;
        gather_move(p, &g->moves[i], this, a);
        meant += this;
    }
    enum err_code code = meant > 0 ? run_moves(p, g, a, e) : ERR_OK;
    for (int i = 0; i < M_COUNT; i++)
        postgres_array_release(&a[i]);
    for (size_t i = 0; code == ERR_OK && i < g->n; i++) {
        if (g->look[i].moved)
            g->moves[i].applied = TRACKER_APPLIED;
    }
    return code;
}

/* ---- blobferry_records ------------------------------------------------------------------------------------------ */

enum own_column {
    O_ID,
    O_CLASS,
    O_ETAG,
    O_VERSION,
    O_OWNER,
    O_PRE_EXISTED,
    O_OWED,
    O_DEVICE,
    O_INODE,
    O_SIZE,
    O_MTIME,
    O_CTIME,
    O_LEAVES, /* leaves processing: lease and upload end */
    O_KEEP,   /* what files holds now is kept before the pointer is set */
    O_ANEW,   /* nothing of the object that was taken back may be believed of the next one */
    O_FILE,
    O_COUNT
};

static const char own_sql[] =
    "UPDATE blobferry_records AS r SET error_class = a.class,"
    " etag = CASE WHEN a.anew = 1 THEN NULL ELSE coalesce(a.etag, r.etag) END,"
    " version_id = CASE WHEN a.anew = 1 THEN NULL ELSE coalesce(a.version, r.version_id) END,"
    " object_owner = CASE WHEN a.anew = 1 THEN NULL ELSE coalesce(a.owner, r.object_owner) END,"
    " pre_existed = CASE WHEN a.anew = 1 THEN 0 ELSE coalesce(a.pre_existed, r.pre_existed) END,"
    " delete_owed = coalesce(a.owed, r.delete_owed),"
    " source_device = coalesce(a.device, r.source_device),"
    " source_inode = coalesce(a.inode, r.source_inode),"
    " source_size = coalesce(a.size, r.source_size),"
    " source_mtime_ns = coalesce(a.mtime, r.source_mtime_ns),"
    " source_ctime_ns = coalesce(a.ctime, r.source_ctime_ns),"
    " lease_owner = NULL, lease_until = 0,"
    " upload_id = CASE WHEN a.leaves = 1 THEN NULL ELSE r.upload_id END,"
    " part_size = CASE WHEN a.leaves = 1 THEN 0 ELSE r.part_size END,"
    " pointer_set = CASE WHEN a.anew = 1 THEN 0 WHEN a.keep = 1 THEN 1 ELSE r.pointer_set END,"
    " prior_r2_key = CASE WHEN a.anew = 1 THEN NULL WHEN a.keep = 1 THEN f.r2_key"
    "  ELSE r.prior_r2_key END,"
    " prior_checksum = CASE WHEN a.anew = 1 THEN NULL WHEN a.keep = 1 THEN f.checksum"
    "  ELSE r.prior_checksum END"
    " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::integer[],"
    "  $7::integer[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[],"
    "  $13::integer[], $14::integer[], $15::integer[], $16::%s[])"
    "  AS a (id, class, etag, version, owner, pre_existed, owed, device, inode, size, mtime, ctime,"
    "  leaves, keep, anew, file)"
    " LEFT JOIN files AS f ON a.keep = 1 AND f.id = a.file"
    " WHERE r.record_id = a.id";

/* A number, or NULL when there is none to store. */
static void add_number(struct postgres_array *a, bool there, uint64_t n)
{
    if (there)
        postgres_array_integer(a, (int64_t)n);
    else
        postgres_array_null(a);
}

static void gather_own(const struct postgres *p, const struct tracker_move *m, bool keep,
                       struct postgres_array a[O_COUNT])
{
    static const struct source_identity none;
    const bool tells = tells_object(m), known = tells && m->source != NULL;
    const struct source_identity *src = known ? m->source : &none;

    postgres_array_text(&a[O_ID], m->id);
    postgres_array_text(&a[O_CLASS], m->error_class);
    postgres_array_text(&a[O_ETAG], tells ? m->etag : NULL);
    postgres_array_text(&a[O_VERSION], tells ? m->version_id : NULL);
    postgres_array_text(&a[O_OWNER], tells ? m->object_owner : NULL);
    add_number(&a[O_PRE_EXISTED], m->to == FILE_COMPLETED, m->pre_existed);
    add_number(&a[O_OWED], m->to == FILE_ROLLED_BACK, m->delete_owed);
    add_number(&a[O_DEVICE], known, src->device);
    add_number(&a[O_INODE], known, src->inode);
    add_number(&a[O_SIZE], known, (uint64_t)src->size);
    add_number(&a[O_MTIME], known, (uint64_t)src->mtime_ns);
    add_number(&a[O_CTIME], known, (uint64_t)src->ctime_ns);
    postgres_array_integer(&a[O_LEAVES], m->from == FILE_PROCESSING);
    postgres_array_integer(&a[O_KEEP], keep);
    postgres_array_integer(&a[O_ANEW], m->from == FILE_ROLLED_BACK);
    postgres_array_text(
        &a[O_FILE], keep ? postgres_type_id(postgres_column(p, POSTGRES_F_ID), m->file_id) : NULL);
}

/* Rows of another tool have none of ours yet. Nobody else makes it now: the row of file_migrations is locked. */
static enum err_code make_records(struct postgres *p, const struct postgres_moves *g, struct err *e)
{
    struct postgres_array ids;
    enum err_code code = ERR_OK;

    postgres_array_init(&ids);
    for (size_t i = 0; i < g->n; i++) {
        if (g->look[i].moved && !g->look[i].recorded)
            postgres_array_text(&ids, g->moves[i].id);
    }
    if (ids.n > 0)
        code = postgres_statement_run(p,
                                      "INSERT INTO blobferry_records (record_id)"
                                      " SELECT a.id FROM unnest($1::text[]) AS a (id)"
                                      " ON CONFLICT (record_id) DO NOTHING",
                                      POSTGRES_ARGS(POSTGRES_T(postgres_array_end(&ids))), NULL, e);
    postgres_array_release(&ids);
    return code;
}

enum err_code postgres_store_own(struct postgres *p, struct postgres_moves *g, struct err *e)
{
    struct postgres_array a[O_COUNT];
    struct postgres_arg args[O_COUNT];
    int64_t wanted = 0, changes = 0;
    struct buf sql;
    enum err_code code = make_records(p, g, e);

    buf_init(&sql, 8192);
    for (int i = 0; i < O_COUNT; i++)
        postgres_array_init(&a[i]);
    for (size_t i = 0; i < g->n; i++) {
        if (!g->look[i].moved)
            continue;
        gather_own(p, &g->moves[i], g->look[i].act == POINTER_SET, a);
        wanted++;
    }
    for (int i = 0; i < O_COUNT; i++)
        args[i] = (struct postgres_arg)POSTGRES_T(postgres_array_end(&a[i]));
    buf_printf(&sql, own_sql, postgres_column(p, POSTGRES_F_ID)->type);
    if (code == ERR_OK && wanted > 0)
        code = postgres_statement_run(p, buf_cstr(&sql), args, O_COUNT, &changes, e);
    if (code == ERR_OK && changes != wanted)
        code =
            err_set(e, ERR_DB, "rows of blobferry_records cannot be changed in '%s'", p->base.name);
    for (int i = 0; i < O_COUNT; i++)
        postgres_array_release(&a[i]);
    buf_release(&sql);
    return code;
}
