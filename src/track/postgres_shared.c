/* postgres_shared: which object keys are somebody else's too. One statement for all of them: by the index on the key where there is one,
 * else one pass. */
#include "track/postgres.h"

enum err_code postgres_shared_keys(struct tracker *t, struct tracker_key_ref *refs, size_t n,
                                   struct err *e)
{
    struct postgres *p = postgres_of(t);
    const struct postgres_column *id = postgres_column(p, POSTGRES_M_ID);
    const struct postgres_column *file = postgres_column(p, POSTGRES_F_ID);
    struct postgres_array keys, ids, files;
    struct buf sql;
    PGresult *q = NULL;
    enum err_code code = postgres_schema_need(p, e);

    if (code != ERR_OK)
        return code;
    buf_init(&sql, 4096);
    postgres_array_init(&keys);
    postgres_array_init(&ids);
    postgres_array_init(&files);
    for (size_t i = 0; i < n; i++) {
        postgres_array_text(&keys, refs[i].key);
        postgres_array_text(&ids, postgres_type_id(id, refs[i].id));
        postgres_array_text(&files, postgres_type_id(file, refs[i].file_id));
    }
    buf_printf(&sql,
               "WITH a AS MATERIALIZED (SELECT * FROM unnest($1::text[], $2::%s[], $3::%s[])"
               "  WITH ORDINALITY AS a (key, id, file, i))"
               " SELECT a.i FROM a JOIN file_migrations AS m ON m.target_r2_key = a.key"
               "  WHERE m.status IN ('completed', 'verified', 'processing')"
               "  AND m.id IS DISTINCT FROM a.id"
               " UNION SELECT a.i FROM a JOIN files AS f ON f.r2_key = a.key"
               "  WHERE f.id IS DISTINCT FROM a.file",
               id->type, file->type);
    q = postgres_statement_query(p, buf_cstr(&sql),
                                 POSTGRES_ARGS(POSTGRES_T(postgres_array_end(&keys)),
                                               POSTGRES_T(postgres_array_end(&ids)),
                                               POSTGRES_T(postgres_array_end(&files))),
                                 e);
    code = q == NULL ? postgres_code(e) : ERR_OK;
    for (int i = 0; q != NULL && i < PQntuples(q); i++) {
        const int64_t at = postgres_statement_integer(q, i, 0);
        if (at >= 1 && (uint64_t)at <= n)
            refs[at - 1].shared = true;
    }
    PQclear(q);
    postgres_array_release(&files);
    postgres_array_release(&ids);
    postgres_array_release(&keys);
    buf_release(&sql);
    return code;
}
