/* postgres_check_rules: what `db check` looks for, in SQL that psql runs as it is printed. The same rules stand in sqlite_check_rules.c;
 * ids are compared as text, for their types may differ from table to table. */
#include "track/postgres_copy.h"

/* Only where the column is no text can this not be: then the test is quick. */
#define UNUSABLE(x) x " IS NULL OR octet_length(" x "::text) > 65536"

/* As codec/timefmt reads times; one with a type of time is asked otherwise. */
#define BAD_TIME(x)                                                                                \
    "(" x " IS NOT NULL AND " x "::text !~ '^([0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"   \
    "([ T]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]+)?)?"                                 \
    "( ?(Z|[+-][0-9]{2}(:?[0-9]{2})?))?)?|[0-9]{10}|[0-9]{13})$')"

/* A column with a type of time holds nothing else, save infinity. */
#define NO_TIME(x) "NOT isfinite(" x ")"
enum variant { BATCH_TYPED = 1, BATCH_TEXT, MIGRATION_TYPED, MIGRATION_TEXT };

/* SHA-256, SHA-1, MD5 in hex; SHA-256, MD5 in base64; nothing. Lengths and classes: a counted repetition is slow. */
#define BAD_SUM(x)                                                                                 \
    "(btrim(" x "::text) <> '' AND NOT (length(btrim(" x "::text)) IN (32, 40, 64)"                \
    " AND btrim(" x "::text) !~ '[^0-9a-fA-F]')"                                                   \
    " AND NOT ((length(btrim(" x "::text)) = 24 AND right(btrim(" x "::text), 2) = '=='"           \
    " OR length(btrim(" x "::text)) = 44 AND right(btrim(" x "::text), 1) = '=')"                  \
    " AND rtrim(btrim(" x "::text), '=') !~ '[^A-Za-z0-9+/]'))"
/* SHA-256 in lower case, as nearly all are. */
#define FINE_SUM(x) "(" x " IS NULL OR length(" x "::text) = 64 AND " x "::text !~ '[^0-9a-f]')"

#define FILE_STATUSES  "'pending', 'processing', 'completed', 'verified', 'failed', 'rolled_back'"
#define BATCH_STATUSES "'pending', 'processing', 'completed', 'partial', 'failed', 'rolled_back'"

/* codec/objkey: length, control characters, U+FFFE and U+FFFF, segments. */
#define BAD_KEY                                                                                    \
    "target_r2_key IS NOT NULL AND (octet_length(target_r2_key) NOT BETWEEN 1 AND 1024"            \
    " OR '/' || target_r2_key || '/' ~ '/([.]{0,2})/'"                                             \
    " OR target_r2_key ~ U&'[\\0001-\\001F\\007F-\\009F\\FFFE\\FFFF]')"

static const char counters[] =
    "SELECT * FROM (SELECT b.batch_id, b.total_files, coalesce(n.t, 0) AS rows_total,"
    " b.completed_files, coalesce(n.c, 0) AS rows_completed,"
    " b.verified_files, coalesce(n.v, 0) AS rows_verified,"
    " b.failed_files, coalesce(n.f, 0) AS rows_failed, b.status,"
    " CASE WHEN coalesce(n.t, 0) = coalesce(n.p, 0) THEN 'pending'"
    " WHEN n.w > 0 OR n.p > 0 AND n.c + n.f + n.r > 0 THEN 'processing'"
    " WHEN n.c = n.t THEN 'completed' WHEN n.f = n.t THEN 'failed'"
    " WHEN n.r = n.t THEN 'rolled_back' ELSE 'partial' END AS rows_status, b.completed_at"
    " FROM migration_batches AS b LEFT JOIN (SELECT batch_id::text AS batch_id, count(*) AS t,"
    " count(*) FILTER (WHERE status = 'pending') AS p,"
    " count(*) FILTER (WHERE status = 'processing') AS w,"
    " count(*) FILTER (WHERE status IN ('completed', 'verified')) AS c,"
    " count(*) FILTER (WHERE status = 'verified') AS v,"
    " count(*) FILTER (WHERE status = 'failed') AS f,"
    " count(*) FILTER (WHERE status = 'rolled_back') AS r"
    " FROM file_migrations GROUP BY 1) AS n ON n.batch_id = b.batch_id::text) AS c"
    " WHERE coalesce(total_files, 0) <> rows_total"
    " OR coalesce(completed_files, 0) <> rows_completed"
    " OR coalesce(verified_files, 0) <> rows_verified"
    " OR coalesce(failed_files, 0) <> rows_failed OR status::text IS DISTINCT FROM rows_status"
    " OR (completed_at IS NULL) = (rows_status NOT IN ('pending', 'processing'))";

#define BEYOND_REPAIR                                                                              \
    "only whoever wrote the value knows what it should be: correct it with your database's client"
#define SEE_ROLLBACK "roll one of them back: blobferry rollback --batch-id ID"

/* Files that point to no object of a completed row: which of the two it is, is asked only when there are any. */
static const char unproven[] =
    "SELECT f.id, f.r2_key FROM files AS f WHERE f.r2_key <> '' AND NOT EXISTS"
    " (SELECT 1 FROM file_migrations AS m WHERE m.file_id::text = f.id::text"
    " AND m.target_r2_key = f.r2_key AND m.status IN ('completed', 'verified'))";

static const struct check_rule rules[] = {
    {.name = "orphan_batch",
     .group = "orphans",
     .what = "migration rows whose batch is not in migration_batches",
     .remedy = "insert the batch, or remove the rows if no object is theirs",
     .query = "SELECT m.id, m.batch_id FROM file_migrations AS m WHERE NOT EXISTS"
              " (SELECT 1 FROM migration_batches AS b WHERE b.batch_id::text = m.batch_id::text)"},
    {.name = "orphan_file",
     .group = "orphans",
     .what = "migration rows whose file is not in files",
     .remedy = "they are migrated, but no pointer is set: insert the rows of files that are "
               "missing",
     .query = "SELECT m.id, m.file_id FROM file_migrations AS m WHERE m.file_id IS NOT NULL"
              " AND NOT EXISTS (SELECT 1 FROM files AS f WHERE f.id::text = m.file_id::text)"},
    {.name = "orphan_record",
     .group = "orphans",
     .what = "rows of blobferry_records whose migration row is gone",
     .remedy = "an object of theirs may be left in the store: look before you delete them",
     .own = true,
     .query = "SELECT r.record_id FROM blobferry_records AS r WHERE NOT EXISTS"
              " (SELECT 1 FROM file_migrations AS m WHERE m.id::text = r.record_id)"},
    {.name = "duplicate_batch",
     .group = "duplicates",
     .what = "batch ids that several rows of migration_batches hold",
     .remedy = "keep one row of each",
     .query = "SELECT batch_id, count(*) AS held_by FROM migration_batches GROUP BY batch_id"
              " HAVING count(*) > 1"},
    {.name = "duplicate_migration",
     .group = "duplicates",
     .what = "ids that several rows of file_migrations hold",
     .remedy = "make file_migrations.id a primary key",
     .query = "SELECT id, count(*) AS held_by FROM file_migrations GROUP BY id"
              " HAVING count(*) > 1"},
    {.name = "duplicate_file",
     .group = "duplicates",
     .what = "ids that several rows of files hold",
     .remedy = "make files.id a primary key",
     .query = "SELECT id, count(*) AS held_by FROM files GROUP BY id HAVING count(*) > 1"},
    {.name = "duplicate_key",
     .group = "duplicates",
     .what = "target keys that several rows hold which are not rolled back",
     .remedy = SEE_ROLLBACK,
     .query = "SELECT target_r2_key, count(*) AS held_by FROM file_migrations"
              " WHERE target_r2_key <> '' AND status::text IS DISTINCT FROM 'rolled_back'"
              " GROUP BY target_r2_key HAVING count(*) > 1"},
    {.name = "duplicate_migration_of_file",
     .group = "duplicates",
     .what = "files that several rows migrate which are neither failed nor rolled back",
     .remedy = SEE_ROLLBACK,
     .query = "SELECT file_id, count(*) AS held_by FROM file_migrations WHERE file_id IS NOT NULL"
              " AND status IN ('pending', 'processing', 'completed', 'verified')"
              " GROUP BY file_id HAVING count(*) > 1"},
    {.name = "counters",
     .group = "counters",
     .what = "batches whose counters or status do not follow from their rows",
     .remedy = "blobferry db check --fix",
     .query = counters},
    {.name = "batch_id_unusable",
     .group = "values",
     .what = "batches without an id, or with one of over 64 KiB",
     .remedy = BEYOND_REPAIR,
     .table = "migration_batches",
     .columns = "id, left(batch_id::text, 100) AS batch_id",
     .condition = UNUSABLE("batch_id")},
    {.name = "batch_status",
     .group = "values",
     .what = "batches of an unknown status",
     .remedy = "blobferry db check --fix",
     .table = "migration_batches",
     .columns = "batch_id, status",
     .condition = "status IS NULL OR status::text NOT IN (" BATCH_STATUSES ")"},
    {.name = "batch_time",
     .group = "values",
     .what = "batches with a time that cannot be read",
     .remedy = BEYOND_REPAIR,
     .table = "migration_batches",
     .columns = "batch_id, started_at, completed_at, created_at",
     .condition = NO_TIME("started_at") " OR " NO_TIME("completed_at") " OR " NO_TIME("created_at"),
     .variant = BATCH_TYPED},
    {.name = "batch_time",
     .group = "values",
     .what = "batches with a time that cannot be read",
     .remedy = BEYOND_REPAIR,
     .table = "migration_batches",
     .columns = "batch_id, started_at, completed_at, created_at",
     .condition =
         BAD_TIME("started_at") " OR " BAD_TIME("completed_at") " OR " BAD_TIME("created_at"),
     .variant = BATCH_TEXT},
    {.name = "migration_id_unusable",
     .group = "values",
     .what = "migration rows without an id, or with one of over 64 KiB: nothing can name them",
     .remedy = BEYOND_REPAIR,
     .table = "file_migrations",
     .columns = "left(id::text, 100) AS id, batch_id, source_path",
     .condition = UNUSABLE("id")},
    {.name = "migration_status",
     .group = "values",
     .what = "migration rows of an unknown status: no command touches them",
     .remedy = BEYOND_REPAIR,
     .table = "file_migrations",
     .columns = "id, batch_id, status",
     .condition = "status IS NULL OR status::text NOT IN (" FILE_STATUSES ")"},
    {.name = "migration_time",
     .group = "values",
     .what = "migration rows with a time that cannot be read: no range of dates matches them",
     .remedy = BEYOND_REPAIR,
     .table = "file_migrations",
     .columns = "id, started_at, completed_at, created_at",
     .condition = NO_TIME("started_at") " OR " NO_TIME("completed_at") " OR " NO_TIME("created_at"),
     .variant = MIGRATION_TYPED},
    {.name = "migration_time",
     .group = "values",
     .what = "migration rows with a time that cannot be read: no range of dates matches them",
     .remedy = BEYOND_REPAIR,
     .table = "file_migrations",
     .columns = "id, started_at, completed_at, created_at",
     .condition =
         BAD_TIME("started_at") " OR " BAD_TIME("completed_at") " OR " BAD_TIME("created_at"),
     .variant = MIGRATION_TEXT},
    {.name = "migration_checksum",
     .group = "values",
     .what = "migration rows with a checksum of no known form",
     .remedy = BEYOND_REPAIR,
     .table = "file_migrations",
     .columns = "id, original_checksum, migrated_checksum",
     .condition = BAD_SUM("original_checksum") " OR " BAD_SUM("migrated_checksum"),
     .fine = FINE_SUM("original_checksum") " AND " FINE_SUM("migrated_checksum")},
    {.name = "migration_size",
     .group = "values",
     .what = "migration rows with a size that is negative or no integer",
     .remedy = BEYOND_REPAIR,
     .table = "file_migrations",
     .columns = "id, file_size",
     .condition = "file_size::text !~ '^[0-9]+$'"},
    {.name = "migration_key",
     .group = "values",
     .what = "migration rows with a target key that no store takes",
     .remedy = "plan these files again (see plan's --key-template)",
     .table = "file_migrations",
     .columns = "id, target_r2_key",
     .condition = BAD_KEY},
    {.name = "file_id_unusable",
     .group = "values",
     .what = "files without an id, or with one of over 64 KiB",
     .remedy = BEYOND_REPAIR,
     .table = "files",
     .columns = "left(id::text, 100) AS id, filename",
     .condition = UNUSABLE("id")},
    {.name = "file_checksum",
     .group = "values",
     .what = "files with a checksum of no known form",
     .remedy = BEYOND_REPAIR,
     .table = "files",
     .columns = "id, checksum",
     .condition = BAD_SUM("checksum"),
     .fine = FINE_SUM("checksum")},
    {.name = "completed_without_checksum",
     .group = "pointers",
     .what = "completed rows without a checksum of what was sent",
     .remedy = "blobferry verify --deep",
     .table = "file_migrations",
     .columns = "id, batch_id, status",
     .condition = "status IN ('completed', 'verified') AND coalesce(migrated_checksum, '') = ''"},
    {.name = "pointer_without_record",
     .group = "pointers",
     .what = "files that point to the object of a migration which is not completed",
     .remedy = "look whether the object is there: blobferry verify; migrate or roll back that "
               "batch",
     .unless = unproven,
     .query = "SELECT f.id, f.r2_key FROM files AS f WHERE f.r2_key <> '' AND EXISTS"
              " (SELECT 1 FROM file_migrations AS m WHERE m.file_id::text = f.id::text"
              " AND m.target_r2_key = f.r2_key) AND NOT EXISTS"
              " (SELECT 1 FROM file_migrations AS m WHERE m.file_id::text = f.id::text"
              " AND m.target_r2_key = f.r2_key AND m.status IN ('completed', 'verified'))"},
    {.name = "pointer_of_another",
     .group = "pointers",
     .what = "files that point to an object which no migration row knows (the application's own?)",
     .severity = TRACKER_NOTE,
     .unless = unproven,
     .query = "SELECT f.id, f.r2_key FROM files AS f WHERE f.r2_key <> '' AND NOT EXISTS"
              " (SELECT 1 FROM file_migrations AS m WHERE m.file_id::text = f.id::text"
              " AND m.target_r2_key = f.r2_key)"},
    {.name = "record_without_pointer",
     .group = "pointers",
     .what = "completed rows whose file does not point to the object",
     .remedy = "the application has changed files.r2_key, or something else has",
     .query = "SELECT m.id, m.file_id, m.target_r2_key, f.r2_key FROM file_migrations AS m"
              " JOIN files AS f ON f.id::text = m.file_id::text WHERE m.status IN ('completed',"
              " 'verified') AND f.r2_key IS DISTINCT FROM m.target_r2_key"},
};

static bool typed(const struct postgres *p, enum postgres_name started)
{
    for (int i = 0; i < 3; i++) { /* started_at, completed_at, created_at */
        const enum postgres_kind kind =
            postgres_column(p, (enum postgres_name)((int)started + i))->kind;
        if (kind != POSTGRES_STAMP && kind != POSTGRES_STAMPTZ)
            return false;
    }
    return true;
}

void postgres_check_rules(const struct postgres *p, struct check_rules *out)
{
    out->items = rules;
    out->n = sizeof rules / sizeof *rules;
    out->skip = 1u << (typed(p, POSTGRES_B_STARTED) ? BATCH_TEXT : BATCH_TYPED);
    out->skip |= 1u << (typed(p, POSTGRES_M_STARTED) ? MIGRATION_TEXT : MIGRATION_TYPED);
}
