/* postgres_ddl: the tables. The contract's three are made only where they are missing and never altered; ours are versioned:
 * a change of ours is a new entry in postgres_ddl_own, never an edit of an old one. */
#include "track/postgres.h"

const struct postgres_ddl_table postgres_ddl_contract[POSTGRES_DDL_TABLES] = {
    {
        .name = "migration_batches",
        .columns = "id batch_id total_files completed_files failed_files verified_files status "
                   "started_at completed_at created_at",
        .create = "CREATE TABLE migration_batches ("
                  " id TEXT PRIMARY KEY,"
                  " batch_id TEXT UNIQUE NOT NULL,"
                  " total_files INTEGER NOT NULL DEFAULT 0,"
                  " completed_files INTEGER DEFAULT 0,"
                  " failed_files INTEGER DEFAULT 0,"
                  " verified_files INTEGER DEFAULT 0,"
                  " status TEXT DEFAULT 'pending',"
                  " started_at TIMESTAMPTZ,"
                  " completed_at TIMESTAMPTZ,"
                  " created_at TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP"
                  ") WITH (fillfactor = 50)",
        .indexes = "",
    },
    {
        .name = "file_migrations",
        .columns = "id batch_id file_id source_path target_r2_key original_checksum "
                   "migrated_checksum file_size status error_message started_at completed_at "
                   "created_at",
        .create = "CREATE TABLE file_migrations ("
                  " id TEXT PRIMARY KEY,"
                  " batch_id TEXT NOT NULL,"
                  " file_id TEXT,"
                  " source_path TEXT,"
                  " target_r2_key TEXT,"
                  " original_checksum TEXT,"
                  " migrated_checksum TEXT,"
                  " file_size BIGINT,"
                  " status TEXT DEFAULT 'pending',"
                  " error_message TEXT,"
                  " started_at TIMESTAMPTZ,"
                  " completed_at TIMESTAMPTZ,"
                  " created_at TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP)",
        /* Claims follow (batch, status, id) and, for all batches, (status, id) of what is still to be done; pages follow
         * (batch, id). */
        .indexes = "CREATE INDEX IF NOT EXISTS blobferry_ix_migrations_batch_status"
                   " ON file_migrations (batch_id, status, id);"
                   "CREATE INDEX IF NOT EXISTS blobferry_ix_migrations_batch"
                   " ON file_migrations (batch_id, id);"
                   "CREATE INDEX IF NOT EXISTS blobferry_ix_migrations_status"
                   " ON file_migrations (status, id)"
                   " WHERE status IN ('pending', 'processing', 'failed', 'rolled_back');"
                   "CREATE INDEX IF NOT EXISTS blobferry_ix_migrations_key"
                   " ON file_migrations (target_r2_key);"
                   "CREATE INDEX IF NOT EXISTS blobferry_ix_migrations_file"
                   " ON file_migrations (file_id);",
    },
    {
        .name = "files",
        .columns = "id filename user_id r2_key checksum;created_at updated_at",
        .create = "CREATE TABLE files ("
                  " id TEXT PRIMARY KEY,"
                  " filename TEXT NOT NULL,"
                  " user_id TEXT NOT NULL,"
                  " r2_key TEXT,"
                  " checksum TEXT,"
                  " created_at TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP,"
                  " updated_at TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP)",
        .indexes = "CREATE INDEX IF NOT EXISTS blobferry_ix_files_key ON files (r2_key);",
    },
};

/* record_id is file_migrations.id as text, whatever its type. Flags are 0 and 1 as on SQLite, so that rows can be copied from one
 * to the other; times are milliseconds since 1970. */
static const char version_1[] =
    "CREATE TABLE %blobferry_records ("
    " record_id TEXT PRIMARY KEY,"
    " key_digest TEXT,"
    " content_type TEXT,"
    " etag TEXT,"
    " version_id TEXT,"
    " object_owner TEXT,"
    " pre_existed INTEGER NOT NULL DEFAULT 0,"
    " pointer_set INTEGER NOT NULL DEFAULT 0,"
    " prior_r2_key TEXT,"
    " prior_checksum TEXT,"
    " upload_id TEXT,"
    " part_size BIGINT NOT NULL DEFAULT 0,"
    " attempts BIGINT NOT NULL DEFAULT 0,"
    " error_class TEXT,"
    " lease_owner TEXT,"
    " lease_until BIGINT NOT NULL DEFAULT 0,"
    " delete_owed INTEGER NOT NULL DEFAULT 0,"
    " source_device BIGINT,"
    " source_inode BIGINT,"
    " source_size BIGINT,"
    " source_mtime_ns BIGINT,"
    " source_ctime_ns BIGINT"
    ") WITH (fillfactor = 85);"
    "CREATE INDEX blobferry_ix_records_digest ON %blobferry_records (key_digest);"
    "CREATE INDEX blobferry_ix_records_lease ON %blobferry_records (lease_owner)"
    " WHERE lease_owner IS NOT NULL;"
    "CREATE INDEX blobferry_ix_records_owed ON %blobferry_records (record_id)"
    " WHERE delete_owed = 1;"
    "CREATE INDEX blobferry_ix_records_upload ON %blobferry_records (record_id)"
    " WHERE upload_id IS NOT NULL;"

    "CREATE TABLE %blobferry_runs ("
    " id TEXT PRIMARY KEY,"
    " command TEXT,"
    " owner TEXT,"
    " started_ms BIGINT NOT NULL,"
    " ended_ms BIGINT,"
    " exit_code INTEGER,"
    " summary TEXT);"

    "CREATE TABLE %blobferry_heads ("
    " log_id TEXT PRIMARY KEY,"
    " run_id TEXT,"
    " seq BIGINT NOT NULL,"
    " hash TEXT NOT NULL"
    ") WITH (fillfactor = 50);"

    "CREATE TABLE %blobferry_locks ("
    " batch_id TEXT NOT NULL,"
    " owner TEXT NOT NULL,"
    " mode TEXT NOT NULL,"
    " lease_until BIGINT NOT NULL,"
    " PRIMARY KEY (batch_id, owner)"
    ") WITH (fillfactor = 50);"

    "CREATE TABLE %blobferry_schema (version INTEGER NOT NULL);"
    "INSERT INTO %blobferry_schema (version) VALUES (1);";

/* A claim and a result each make a new version of a row of blobferry_records. Where no index has a column that they change, and the page
 * has room, the new version needs no index entries (HOT) and the old one is pruned with no VACUUM. Who holds which rows is found from
 * file_migrations by status. */
static const char version_2[] = "DROP INDEX IF EXISTS %blobferry_ix_records_lease;"
                                "ALTER TABLE %blobferry_records SET (fillfactor = 35);"
                                "UPDATE %blobferry_schema SET version = 2;";

const char *const postgres_ddl_own[POSTGRES_OWN_VERSION] = {version_1, version_2};
