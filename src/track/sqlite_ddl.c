/* sqlite_ddl: the tables. The contract's three are made only where they are missing and never altered; ours are versioned:
 * a change of ours is a new entry in sqlite_ddl_own, never an edit of an old one. */
#include "track/sqlite.h"

const struct sqlite_ddl_table sqlite_ddl_contract[SQLITE_DDL_TABLES] = {
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
                  " started_at DATETIME,"
                  " completed_at DATETIME,"
                  " created_at DATETIME DEFAULT CURRENT_TIMESTAMP)",
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
                  " file_size INTEGER,"
                  " status TEXT DEFAULT 'pending',"
                  " error_message TEXT,"
                  " started_at DATETIME,"
                  " completed_at DATETIME,"
                  " created_at DATETIME DEFAULT CURRENT_TIMESTAMP)",
        /* Claims follow (batch, status, id) and, for all batches, (status, id); pages follow (batch, id). */
        .indexes = "CREATE INDEX IF NOT EXISTS blobferry_ix_migrations_batch_status"
                   " ON file_migrations (batch_id, status, id);"
                   "CREATE INDEX IF NOT EXISTS blobferry_ix_migrations_batch"
                   " ON file_migrations (batch_id, id);"
                   "CREATE INDEX IF NOT EXISTS blobferry_ix_migrations_status"
                   " ON file_migrations (status, id);"
                   "CREATE INDEX IF NOT EXISTS blobferry_ix_migrations_key"
                   " ON file_migrations (target_r2_key);"
                   "CREATE INDEX IF NOT EXISTS blobferry_ix_migrations_file"
                   " ON file_migrations (file_id);",
    },
    {
        .name = "files",
        /* created_at and updated_at are filled where they are, but not needed. */
        .columns = "id filename user_id r2_key checksum",
        .create = "CREATE TABLE files ("
                  " id TEXT PRIMARY KEY,"
                  " filename TEXT NOT NULL,"
                  " user_id TEXT NOT NULL,"
                  " r2_key TEXT,"
                  " checksum TEXT,"
                  " created_at DATETIME DEFAULT CURRENT_TIMESTAMP,"
                  " updated_at DATETIME DEFAULT CURRENT_TIMESTAMP)",
        .indexes = "CREATE INDEX IF NOT EXISTS blobferry_ix_files_key ON files (r2_key);",
    },
};

/* record_id is file_migrations.id as text, also where the application counts with integers. The prior values keep
 * whatever type the application had stored (no affinity). Times are milliseconds since 1970. */
static const char version_1[] =
    "CREATE TABLE blobferry_records ("
    " record_id TEXT PRIMARY KEY NOT NULL,"
    " key_digest TEXT,"
    " content_type TEXT,"
    " etag TEXT,"
    " version_id TEXT,"
    " object_owner TEXT,"
    " pre_existed INTEGER NOT NULL DEFAULT 0,"
    " pointer_set INTEGER NOT NULL DEFAULT 0,"
    " prior_r2_key,"
    " prior_checksum,"
    " upload_id TEXT,"
    " part_size INTEGER NOT NULL DEFAULT 0,"
    " attempts INTEGER NOT NULL DEFAULT 0,"
    " error_class TEXT,"
    " lease_owner TEXT,"
    " lease_until INTEGER NOT NULL DEFAULT 0,"
    " delete_owed INTEGER NOT NULL DEFAULT 0,"
    " source_device INTEGER,"
    " source_inode INTEGER,"
    " source_size INTEGER,"
    " source_mtime_ns INTEGER,"
    " source_ctime_ns INTEGER"
    ") WITHOUT ROWID;"
    "CREATE INDEX blobferry_ix_records_digest ON blobferry_records (key_digest);"
    "CREATE INDEX blobferry_ix_records_lease ON blobferry_records (lease_owner)"
    " WHERE lease_owner IS NOT NULL;"
    "CREATE INDEX blobferry_ix_records_owed ON blobferry_records (delete_owed)"
    " WHERE delete_owed = 1;"
    "CREATE INDEX blobferry_ix_records_upload ON blobferry_records (upload_id)"
    " WHERE upload_id IS NOT NULL;"

    "CREATE TABLE blobferry_runs ("
    " id TEXT PRIMARY KEY NOT NULL,"
    " command TEXT,"
    " owner TEXT,"
    " started_ms INTEGER NOT NULL,"
    " ended_ms INTEGER,"
    " exit_code INTEGER,"
    " summary TEXT"
    ") WITHOUT ROWID;"

    "CREATE TABLE blobferry_heads ("
    " log_id TEXT PRIMARY KEY NOT NULL,"
    " run_id TEXT,"
    " seq INTEGER NOT NULL,"
    " hash TEXT NOT NULL"
    ") WITHOUT ROWID;"

    "CREATE TABLE blobferry_locks ("
    " batch_id TEXT NOT NULL,"
    " owner TEXT NOT NULL,"
    " mode TEXT NOT NULL,"
    " lease_until INTEGER NOT NULL,"
    " PRIMARY KEY (batch_id, owner)"
    ") WITHOUT ROWID;"

    "CREATE TABLE blobferry_schema (version INTEGER NOT NULL);"
    "INSERT INTO blobferry_schema (version) VALUES (1);";

const char *const sqlite_ddl_own[SQLITE_OWN_VERSION] = {version_1};
