/* d1_move: state moves in SQL. The first statement decides all of a batch's moves over what it sees and notes verdict and act; the
 * others do what was noted. The rules are those of sqlite_pointer.c and sqlite_apply.c.
 */
#include "track/d1.h"

#include <stdio.h>

/* j.value: one move; m, f, r: its row, its file, its record, where they are. D1 gives JSON's true and false as 1 and 0. */
#define V(name) "(j.value ->> '$." name "')"

/* P3: whatever is not as it is believed to be is refused; not even a prior value may point at what is about to go. */
static const char act_sql[] = "CASE WHEN " V(
    "pointer") " = 0 OR f.id IS NULL THEN 'none'"
               " WHEN " V(
                   "pointer") " = 1 THEN CASE"
                              "  WHEN coalesce(r.pointer_set, 0) AND f.r2_key IS " V(
                                  "key") " THEN 'again'"
                                         "  WHEN coalesce(f.r2_key, '') = coalesce(" V(
                                             "expected") ", '') THEN 'set'"
                                                         "  ELSE 'refused' END"
                                                         " WHEN coalesce(r.pointer_set, 0) AND "
                                                         "f.r2_key IS " V(
                                                             "key") " THEN CASE"
                                                                    "  WHEN " V(
                                                                        "owed") " AND "
                                                                                "r.prior_r2_key "
                                                                                "IS " V(
                                                                                    "key") " TH"
                                                                                           "EN "
                                                                                           "'em"
                                                                                           "pty"
                                                                                           "' "
                                                                                           "ELS"
                                                                                           "E "
                                                                                           "'re"
                                                                                           "sto"
                                                                                           "re'"
                                                                                           " EN"
                                                                                           "D"
                                                                                           " WH"
                                                                                           "EN "
                                                                                           "coa"
                                                                                           "les"
                                                                                           "ce("
                                                                                           "r."
                                                                                           "poi"
                                                                                           "nte"
                                                                                           "r_"
                                                                                           "set"
                                                                                           ", "
                                                                                           "0) "
                                                                                           "THE"
                                                                                           "N "
                                                                                           "CAS"
                                                                                           "E"
                                                                                           "  "
                                                                                           "WHE"
                                                                                           "N "
                                                                                           "coa"
                                                                                           "les"
                                                                                           "ce("
                                                                                           "f."
                                                                                           "r2_"
                                                                                           "key"
                                                                                           ", "
                                                                                           "'')"
                                                                                           " = "
                                                                                           "coa"
                                                                                           "les"
                                                                                           "ce("
                                                                                           "r."
                                                                                           "pri"
                                                                                           "or_"
                                                                                           "r2_"
                                                                                           "key"
                                                                                           ", "
                                                                                           "'')"
                                                                                           " TH"
                                                                                           "EN "
                                                                                           "'fo"
                                                                                           "rge"
                                                                                           "t'"
                                                                                           "  "
                                                                                           "ELS"
                                                                                           "E "
                                                                                           "'re"
                                                                                           "fus"
                                                                                           "ed'"
                                                                                           " EN"
                                                                                           "D"
                                                                                           " WH"
                                                                                           "EN "
                                                                                           "f."
                                                                                           "r2_"
                                                                                           "key"
                                                                                           " IS"
                                                                                           " NO"
                                                                                           "T"
                                                                                           " " V(
                                                                                               "ke"
                                                                                               "y") " THEN 'none'"
                                                                                                    " WHEN coalesce(r.attempts, 0) > 0 THEN CASE WHEN " V(
                                                                                                        "owed") " THEN 'refused'"
                                                                                                                "  ELSE 'none' END ELSE 'clear' END";

static const char note_sql[] =
    "INSERT INTO blobferry_work (request, n, at_ms, id, batch_id, was, became, act, doc, "
    "verdict)"
    " SELECT ?1, n, %lld, id, batch_id, was, became, act, doc,"
    " CASE WHEN NOT mine THEN 'lost' WHEN act = 'refused' THEN 'changed' ELSE 'applied' END"
    " FROM (SELECT j.key AS n, m.id AS id, " V("batch") " AS batch_id, " V("from") " AS was, " V(
        "to") " AS became, %s AS act, j.value AS doc, m.id IS NOT NULL "
              "AND (" V(
                  "owner") " IS NULL OR coalesce(r.lease_owner, "
                           "'') = " V(
                               "owner") ") AS mine"
                                        " FROM "
                                        "json_each(?2) AS j "
                                        "LEFT JOIN "
                                        "file_migrations AS "
                                        "m ON m.id = " V(
                                            "i"
                                            "d") " AND m.status = " V("from") " COLLATE BINARY AND "
                                                                              "(" V(
                                                                                  "batch") " IS "
                                                                                           "NULL"
                                                                                           " OR "
                                                                                           "CAST("
                                                                                           "m."
                                                                                           "batch"
                                                                                           "_"
                                                                                           "id "
                                                                                           "AS "
                                                                                           "TEXT)"
                                                                                           " "
                                                                                           "= " V(
                                                                                               "b"
                                                                                               "a"
                                                                                               "t"
                                                                                               "c"
                                                                                               "h") ")"
                                                                                                    " LEFT JOIN blobferry_records AS r ON r.record_id = " V(
                                                                                                        "id") " LEFT JOIN files AS f ON f.id = " V("file") ")"
                                                                                                                                                           " WHERE NOT EXISTS (SELECT 1 FROM blobferry_work WHERE request = ?1)";

void d1_move_note(const struct d1_work *w, struct d1_batch *b, const char *doc)
{
    struct buf sql;

    buf_init(&sql, 65536);
    buf_printf(&sql, note_sql, (long long)clock_wall_ms(), act_sql);
    d1_batch_add(b, buf_cstr(&sql), D1_TEXTS(w->id, doc));
    buf_release(&sql);
}

#define D(name) "(w.doc ->> '$." name "')"
#define NOTED   " WHERE w.request = ?1 AND w.done = 0 AND w.verdict = 'applied'"

static const char
    move_rows[] =
        "UPDATE file_migrations AS t SET status = w.became, error_message = " D(
            "message") ","
                       " migrated_checksum = coalesce(CASE WHEN " D("tells") " THEN " D(
                           "checksum") " END,"
                                       "  t.migrated_checksum),"
                                       " file_size = coalesce(t.file_size, CASE WHEN " D("tells") " AND " D(
                                           "size") " >= 0 THEN " D("size") " END),"
                                                                           " completed_at = CASE "
                                                                           "WHEN w.became IN "
                                                                           "('completed', "
                                                                           "'failed') THEN " D(
                                                                               "now") "  WHEN "
                                                                                      "w.became = "
                                                                                      "'pending' "
                                                                                      "THEN NULL "
                                                                                      "ELSE "
                                                                                      "t.completed_"
                                                                                      "at END"
                                                                                      " FROM "
                                                                                      "blobferry_"
                                                                                      "work AS "
                                                                                      "w" NOTED
                                                                                      " AND t.id = "
                                                                                      "w.id";

static const char make_records[] = "INSERT INTO blobferry_records (record_id) SELECT " D(
    "id") " FROM blobferry_work AS w" NOTED " ON CONFLICT (record_id) DO NOTHING";

/* Leaving processing ends lease and upload; the rest replaces what is stored only where the move says something. What files holds
 * now is kept, type and all, before the pointer is set. */
#define TOLD(column, name)                                                                         \
    " " column " = coalesce(CASE WHEN " D("tells") " THEN " D(name) " END, t." column "),"
#define SEEN(column, name)                                                                         \
    " " column " = coalesce(CASE WHEN " D("tells") " THEN " D(name) " END, t." column "),"
#define UNLESS_SET(column, value)                                                                  \
    " " column " = CASE w.act WHEN 'set' THEN " value " ELSE t." column " END"
static const char store_records[] = "UPDATE blobferry_records AS t SET error_class = " D(
    "class") "," TOLD("etag", "etag") TOLD("version_id", "version")
    TOLD("object_owner", "object_owner") SEEN("source_device", "device") SEEN(
        "source_inode", "inode") SEEN("source_size", "ssize") SEEN("source_mtime_ns", "mtime")
        SEEN("source_ctime_ns", "ctime") " pre_existed = CASE WHEN w.became = 'completed' THEN " D(
            "pre") " ELSE t.pre_existed END,"
                   " delete_owed = CASE WHEN w.became = 'rolled_back' THEN " D(
                       "owed") " ELSE t.delete_owed END,"
                               " lease_owner = NULL, lease_until = 0,"
                               " upload_id = CASE WHEN w.was = 'processing' THEN NULL ELSE "
                               "t.upload_id END,"
                               " part_size = CASE WHEN w.was = 'processing' THEN 0 ELSE "
                               "t.part_size END," UNLESS_SET("pointer_set", "1") "," UNLESS_SET(
                                   "prior_r2_key",
                                   "f.r2_key") "," UNLESS_SET("prior_checksum",
                                                              "f.checksum") " FROM blobferry_work "
                                                                            "AS w LEFT JOIN files "
                                                                            "AS f ON f.id = " D("fi"
                                                                                                "l"
                                                                                                "e")
                                                                                NOTED
    " AND t.record_id = " D("id");

/* To be migrated anew: nothing of the object that was taken back may be believed of the next one. */
static const char begin_anew[] =
    "UPDATE blobferry_records AS t SET etag = NULL, version_id = NULL, object_owner = NULL,"
    " pre_existed = 0, pointer_set = 0, prior_r2_key = NULL, prior_checksum = NULL"
    " FROM blobferry_work AS w" NOTED " AND w.was = 'rolled_back' AND t.record_id = " D("id");

static const char move_pointers[] =
    "UPDATE files AS t SET"
    " r2_key = CASE w.act WHEN 'restore' THEN r.prior_r2_key WHEN 'empty' THEN NULL"
    "  WHEN 'clear' THEN NULL ELSE " D(
        "key") " END,"
               " checksum = CASE w.act WHEN 'restore' THEN r.prior_checksum WHEN 'empty' THEN"
               "  r.prior_checksum WHEN 'clear' THEN CASE WHEN t.checksum IS m.migrated_checksum "
               "THEN NULL"
               "  ELSE t.checksum END ELSE coalesce(" D(
                   "checksum") ", t.checksum) END%s"
                               " FROM blobferry_work AS w JOIN blobferry_records AS r ON "
                               "r.record_id = " D(
                                   "id") " JOIN file_migrations AS m ON m.id = w.id" NOTED
                                         " AND w.act IN ('set', 'again', 'restore', 'empty', "
                                         "'clear') AND t.id = " D("file");

/* P3, P6: a half-done move must not be committed. A path that is none stops the batch, and with it
 * all that was done; the error repeats the path, and so names the file. */
static const char must_have_moved[] =
    "SELECT CASE WHEN count(*) > 0 THEN json_extract('{}', 'file ' || min(f.id)) END"
    " FROM blobferry_work AS w JOIN files AS f ON f.id = " D(
        "file") " JOIN blobferry_records AS r ON r.record_id = " D("id") NOTED
    " AND CASE w.act WHEN 'set' THEN f.r2_key IS NOT " D(
        "key") " WHEN 'again' THEN"
               " f.r2_key IS NOT " D("key") " WHEN 'restore' THEN f.r2_key IS NOT r.prior_r2_key"
                                            " WHEN 'empty' THEN f.r2_key IS NOT NULL WHEN 'clear' "
                                            "THEN f.r2_key IS NOT NULL ELSE 0 END";

static const char forget_prior[] =
    "UPDATE blobferry_records AS t SET pointer_set = 0, prior_r2_key = NULL, prior_checksum = NULL"
    " FROM blobferry_work AS w" NOTED " AND w.act IN ('restore', 'empty', 'clear', 'forget')"
    " AND t.record_id = " D("id");

void d1_move_write(const struct d1_work *w, struct d1_batch *b, bool dated)
{
    struct buf sql;

    buf_init(&sql, 16384);
    buf_printf(&sql, move_pointers, dated ? ", updated_at = " D("now") : "");
    d1_batch_add(b, move_rows, D1_TEXTS(w->id));
    d1_batch_add(b, make_records, D1_TEXTS(w->id));
    d1_batch_add(b, store_records, D1_TEXTS(w->id));
    d1_batch_add(b, begin_anew, D1_TEXTS(w->id));
    d1_batch_add(b, buf_cstr(&sql), D1_TEXTS(w->id));
    d1_batch_add(b, must_have_moved, D1_TEXTS(w->id));
    d1_batch_add(b, forget_prior, D1_TEXTS(w->id));
    buf_release(&sql);
}
