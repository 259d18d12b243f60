#include "cli/cli.h"

static const char *const audit_words[] = {"list", "show", "verify", "export", "keygen", NULL};
static const char *const backup_words[] = {"create", "list", "show", "restore", "prune", NULL};
static const char *const db_words[] = {"upgrade", "check", "copy", NULL};

/* The one table of commands (git's model): main only dispatches through it. */
const struct command cli_commands[] = {
    {"init", "create the tables and folders and a commented configuration file", "[OPTIONS]",
     cmd_init_options, NULL, false, cmd_init},
    {"plan", "make a batch from a directory, CSV, JSONL or the files table",
     "--from-dir DIR | --from-csv FILE | --from-jsonl FILE | --from-table [OPTIONS]",
     cmd_plan_options, NULL, false, cmd_plan},
    {"migrate", "upload, prove and record the files of batches",
     "--batch-id ID ... | --all [OPTIONS]", cmd_migrate_options, NULL, false, cmd_migrate},
    {"verify", "check the objects against the records; completed becomes verified",
     "[--batch-id ID] [--deep] [OPTIONS]", cmd_verify_options, NULL, false, cmd_verify},
    {"rollback", "take a migration back, with proof and a backup; a dry run unless --confirm",
     "--batch-id ID [--confirm] [OPTIONS]", cmd_rollback_options, NULL, false, cmd_rollback},
    {"status", "batches, or the files of one batch or user", "[--batch-id ID] [OPTIONS]",
     cmd_status_options, NULL, false, cmd_status},
    {"analyze", "what logs and audit say: rates, volume, times, errors, alerts", "[--days N]",
     cmd_analyze_options, NULL, false, cmd_analyze},
    {"audit", "look at the audit trail, verify it, export it",
     "list | show RUN | verify | export | keygen --key FILE [OPTIONS]", cmd_audit_options,
     audit_words, true, cmd_audit},
    {"backup", "back rows up, look at backups, restore and prune them",
     "create | list | show FILE | restore FILE [--confirm] | prune --older-than AGE [--confirm]",
     cmd_backup_options, backup_words, true, cmd_backup},
    {"db", "look after the tracking data: upgrade its tables, check its rows, copy it elsewhere",
     "upgrade [--dry-run] [--indexes] | check [--fix] | copy [--from URL] --to URL [--confirm]",
     cmd_db_options, db_words, true, cmd_db},
    {"doctor",
     "settings, credentials, bucket, clock, what the endpoint honours, database, folders, uploads",
     "[--clean-uploads [--older-than AGE]] [--no-probe]", cmd_doctor_options, NULL, false,
     cmd_doctor},
    {NULL, NULL, NULL, NULL, NULL, false, NULL},
};
