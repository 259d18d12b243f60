"""db copy between SQLite and PostgreSQL, db check and db upgrade there; looked at by psycopg2 and sqlite3."""
import json
import os
import signal
import sqlite3
import subprocess
import unittest

import bf
import bf_tracker
from test_db_copy import contents, fill

TABLES = ("migration_batches", "files", "file_migrations", "blobferry_records")
AWKWARD = ["", "tab\there", "line\nfeed", "back\\slash", "\\N", "\\.", "carriage\rreturn", "\x01\x7f", "'; DROP TABLE files; --",
           "\u202ertl", "\U0001f600", "\u00e9e\u0301", "x" * 70000, '"quoted"', "{a,b}", "NULL"]


class Base(bf.TestCase):
    def setUp(self):
        super().setUp()
        if not bf_tracker.POSTGRES:
            self.skipTest("no PostgreSQL (see: tests/run)")
        self.pg = bf_tracker.Postgres(self.ws)
        self.addCleanup(self.pg.close)
        self.back = self.ws.path("back.db")

    def copy(self, source, target, *args, expect=0, **given):
        return self.ws.run("db", "copy", "--from", source, "--to", target, *args, expect=expect,
                           env=self.pg.environment(), **given)

    def sqlite_to_postgres(self, *args, expect=0, **given):
        return self.copy("sqlite:" + self.ws.db, self.pg.url(), *args, expect=expect, **given)

    def postgres_to_sqlite(self, *args, expect=0, **given):
        return self.copy(self.pg.url(), "sqlite:" + self.back, *args, expect=expect, **given)

    def on_postgres(self, *args, expect=0):
        was, self.ws.tracker = self.ws.tracker, self.pg
        try:
            return self.ws.run(*args, expect=expect)
        finally:
            self.ws.tracker = was

    def pg_rows(self, sql):
        with self.pg.database() as db:
            return [tuple(r) for r in db.execute(sql).fetchall()]

    def pg_do(self, *statements):
        with self.pg.database(write=True) as db:
            for statement in statements:
                db.execute(statement)

    def pg_tables(self):
        with self.pg.database() as db:
            return self.pg.tables(db)

    def sqlite_rows(self, sql, path=None):
        db = sqlite3.connect(f"file:{path or self.ws.db}?mode=ro", uri=True)
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()

    def columns(self, table):
        return ", ".join(f'"{r[0]}"' for r in self.sqlite_rows(f"SELECT name FROM pragma_table_info('{table}')"))

    def same(self):
        for table in TABLES:
            sql = f"SELECT {self.columns(table)} FROM {table}"
            ours, theirs = self.sqlite_rows(sql), self.pg_rows(sql)
            self.assertEqual(sorted(theirs, key=repr), sorted(ours, key=repr), table)
            self.assertGreater(len(ours), 0, table)


class Copy(Base):
    def test_db_copy_there_and_back(self):
        self.ws.migrated(5)
        preview = self.sqlite_to_postgres().out
        self.assertIn("dry run", preview)
        self.assertEqual(self.pg_tables(), [])
        self.sqlite_to_postgres("--confirm")
        self.same()
        report = self.postgres_to_sqlite("--confirm", "--json").json()
        self.assertEqual([t["same"] for t in report["tables"]], [True] * 6)
        source, back = contents(self.ws.db, TABLES), contents(self.back, TABLES)
        for table in TABLES:
            self.assertEqual(back[table], source[table], table)
        # both work on
        self.ws.db = self.back
        self.ws.check()
        self.on_postgres("migrate", "--all")
        self.on_postgres("db", "check")

    def test_db_copy_awkward_texts(self):
        self.ws.migrated(1)
        with self.ws.database(write=True) as db:
            for n, text in enumerate(AWKWARD):
                db.execute("INSERT INTO files (id, filename, user_id, r2_key) VALUES (?, ?, ?, ?)",
                           (f"h{n}", text, text or "u", None if n % 2 else text))
        self.sqlite_to_postgres("--confirm")
        self.same()
        self.postgres_to_sqlite("--confirm")
        self.assertEqual(contents(self.back, ["files"]), contents(self.ws.db, ["files"]))

    def test_db_copy_what_postgres_cannot_hold(self):
        self.ws.migrated(3)
        faults = {"NUL": ("UPDATE files SET filename = 'a' || char(0) || 'b'", 3),
                  "UTF-8": ("UPDATE files SET filename = CAST(x'c328' AS TEXT)", 3),
                  "no text": ("UPDATE files SET filename = x'00ff'", 3),
                  "no time": ("UPDATE file_migrations SET started_at = '31/01/2024'", 3),
                  "no integer": ("UPDATE file_migrations SET file_size = 'many'", 3),
                  "must have a value": ("UPDATE file_migrations SET id = NULL", 3)}
        with open(self.ws.db, "rb") as f:
            sound = f.read()
        for says, (statement, count) in faults.items():
            with self.subTest(says):
                with open(self.ws.db, "wb") as f:
                    f.write(sound)
                self.ws.change(statement)
                for args in ((), ("--confirm",)):
                    result = self.sqlite_to_postgres("--json", *args, expect=1)
                    self.assertEqual(result.json()["problems"], count)
                    self.assertIn(says, result.json()["first_problems"][0])
                    self.assertEqual(self.pg_tables(), [])

    def test_db_copy_types(self):
        """Tables of the application's own: UUIDs, integers, both kinds of time, a boolean, bytes, a number."""
        self.pg_do("""CREATE TABLE migration_batches (id BIGINT PRIMARY KEY, batch_id TEXT UNIQUE NOT NULL, total_files INTEGER,
                        completed_files INTEGER, failed_files INTEGER, verified_files INTEGER, status VARCHAR(20),
                        started_at TIMESTAMP, completed_at TIMESTAMP, created_at TIMESTAMP)""",
                   """CREATE TABLE files (id UUID PRIMARY KEY, filename TEXT NOT NULL, user_id INTEGER NOT NULL, r2_key TEXT,
                        checksum TEXT, created_at TIMESTAMPTZ, public BOOLEAN, thumbnail BYTEA, price NUMERIC(10, 2),
                        ratio DOUBLE PRECISION, meta JSON)""",
                   """CREATE TABLE file_migrations (id UUID PRIMARY KEY, batch_id TEXT, file_id UUID REFERENCES files (id),
                        source_path TEXT, target_r2_key TEXT, original_checksum TEXT, migrated_checksum TEXT, file_size BIGINT,
                        status TEXT, error_message TEXT, started_at TIMESTAMPTZ, completed_at TIMESTAMPTZ,
                        created_at TIMESTAMPTZ)""",
                   "INSERT INTO migration_batches VALUES (7, 'b', 1, 0, 0, 0, 'pending', '2024-05-01 10:00:00.25', NULL, NULL)",
                   """INSERT INTO files VALUES ('0b8f2a5e-1111-4222-8333-abcdefabcdef', 'a', 42, NULL, NULL,
                        '2024-02-29 23:30:00.123456-05', true, '\\x00ff5c', 1.50, 0.1, '{"a": 1}')""",
                   """INSERT INTO file_migrations VALUES ('0b8f2a5e-1111-4222-8333-000000000001', 'b',
                        '0b8f2a5e-1111-4222-8333-abcdefabcdef', '/x', 'k', NULL, NULL, 9223372036854775807, 'pending', NULL,
                        '1999-12-31 23:59:59.999999+00', NULL, NULL)""")
        before = [self.pg_rows(f"SELECT t::text FROM {t} AS t") for t in TABLES[:3]]
        self.postgres_to_sqlite("--confirm")
        self.assertEqual(self.sqlite_rows("SELECT typeof(id), id, started_at FROM migration_batches", self.back),
                         [("integer", 7, "2024-05-01 10:00:00.25")])
        self.assertEqual(self.sqlite_rows("SELECT id, typeof(user_id), user_id, created_at, public, hex(thumbnail), price, ratio,"
                                          " meta FROM files", self.back),
                         [("0b8f2a5e-1111-4222-8333-abcdefabcdef", "integer", 42, "2024-03-01 04:30:00.123456", 1, "00FF5C",
                           "1.50", 0.1, '{"a": 1}')])
        self.assertEqual(self.sqlite_rows("SELECT file_size, started_at FROM file_migrations", self.back),
                         [(9223372036854775807, "1999-12-31 23:59:59.999999")])
        # and back into the same tables, which stay as they are declared
        self.copy("sqlite:" + self.back, self.pg.url(), "--confirm", expect=1)
        self.copy("sqlite:" + self.back, self.pg.url(), "--confirm", "--replace")
        self.assertEqual([self.pg_rows(f"SELECT t::text FROM {t} AS t") for t in TABLES[:3]], before)

    def test_db_copy_failure_leaves_postgres(self):
        self.ws.migrated(3)
        self.sqlite_to_postgres("--confirm")
        self.pg_do("UPDATE files SET filename = 'as it was'",
                   "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.filename = upper(NEW.filename);"
                   " RETURN NEW; END'",
                   "CREATE TRIGGER meddle BEFORE INSERT ON files FOR EACH ROW EXECUTE FUNCTION meddle()")
        before = [self.pg_rows(f"SELECT t::text FROM {t} AS t ORDER BY 1") for t in TABLES]
        self.assertIn("'files'", self.sqlite_to_postgres("--confirm", "--replace", expect=1).err)
        self.pg_do("DROP TRIGGER meddle ON files", "CREATE TABLE theirs (file TEXT REFERENCES files (id) ON DELETE CASCADE)",
                   "INSERT INTO theirs SELECT id FROM files")
        self.assertIn("theirs", self.sqlite_to_postgres("--confirm", "--replace", expect=1).err)
        self.assertEqual(len(self.pg_rows("SELECT * FROM theirs")), 3)
        self.pg_do("DROP TABLE theirs", "ALTER TABLE files DROP COLUMN updated_at")
        self.assertIn("updated_at", self.sqlite_to_postgres("--confirm", "--replace", expect=3).err)
        self.pg_do("ALTER TABLE files ADD COLUMN updated_at TIMESTAMPTZ")
        self.assertEqual([self.pg_rows(f"SELECT t::text FROM {t} AS t ORDER BY 1") for t in TABLES[2:]], before[2:])
        result = self.sqlite_to_postgres("--confirm", "--replace", "--json").json()
        self.same()
        with open(result["backup"], encoding="utf-8") as f:
            self.assertEqual({r["filename"] for r in json.load(f)["tables"]["files"]}, {"as it was"})
        self.on_postgres("backup", "restore", result["backup"], "--confirm", "--database-only")
        self.assertEqual(self.pg_rows("SELECT DISTINCT filename FROM files"), [("as it was",)])

    def test_db_copy_killed_to_postgres(self):
        self.ws.run("init", expect=0)
        fill(self.ws.db, 40000)
        child = self.ws.start("db", "copy", "--from", "sqlite:" + self.ws.db, "--to", self.pg.url(), "--confirm",
                              env=self.pg.environment())
        progress = "SELECT count(*) FROM pg_stat_progress_copy WHERE datname = current_database() AND tuples_processed > 1000"
        bf.wait_for(lambda: child.poll() is not None or self.pg_rows(progress)[0][0], what="rows on their way")
        child.send_signal(signal.SIGKILL)
        self.assertEqual(self.ws.finish(child).code, -signal.SIGKILL)
        self.assertEqual(self.pg_tables(), [])
        self.sqlite_to_postgres("--confirm")
        for table in TABLES[:3]:
            sql = f"SELECT {self.columns(table)} FROM {table}"
            self.assertEqual(set(self.pg_rows(sql)), set(self.sqlite_rows(sql)))

    def test_db_copy_interrupted_from_postgres(self):
        self.ws.run("init", expect=0)
        fill(self.ws.db, 40000)
        self.sqlite_to_postgres("--confirm")
        child = self.ws.start("db", "copy", "--from", self.pg.url(), "--to", "sqlite:" + self.back, "--confirm",
                              env=self.pg.environment())
        bf.wait_for(lambda: child.poll() is not None or (os.path.exists(self.back) and os.path.getsize(self.back) > 1000000),
                    what="rows in the file")
        child.send_signal(signal.SIGTERM)
        self.assertEqual(self.ws.finish(child).code, 128 + signal.SIGTERM)
        self.assertFalse(os.path.exists(self.back))
        self.postgres_to_sqlite("--confirm")
        self.assertEqual(contents(self.back, TABLES), contents(self.ws.db, TABLES))

    def test_db_copy_refuses_secrets_and_strangers(self):
        self.ws.migrated(1)
        result = self.copy("sqlite:" + self.ws.db, "postgres://u:SENTINEL@127.0.0.1:1/x", expect=2)
        self.assertNotIn("SENTINEL", result.text)
        self.copy("sqlite:" + self.ws.db, "mysql://127.0.0.1/x", expect=2)
        self.copy("sqlite:" + self.ws.db, "postgres://u@127.0.0.1:1/x", expect=3)
        self.assertIn("--to", self.ws.run("db", "copy", expect=2).err)



FAULTS = {  # check: (statement, how many it must find)
    "orphan_batch": ("UPDATE file_migrations SET batch_id = 'gone' WHERE id = (SELECT min(id) FROM file_migrations)", 1),
    "orphan_file": ("DELETE FROM files WHERE id IN (SELECT file_id FROM file_migrations LIMIT 2)", 2),
    "orphan_record": ("INSERT INTO blobferry_records (record_id) VALUES ('nobody')", 1),
    "duplicate_key": ("UPDATE file_migrations SET target_r2_key = 'one/key'", 1),
    "duplicate_migration_of_file": ("UPDATE file_migrations SET file_id = (SELECT min(id) FROM files)", 1),
    "counters": ("UPDATE migration_batches SET completed_files = 99", 1),
    "batch_status": ("UPDATE migration_batches SET status = 'COMPLETED'", 1),
    "migration_status": ("UPDATE file_migrations SET status = 'Completed' WHERE id = (SELECT max(id) FROM file_migrations)", 1),
    "migration_time": ("UPDATE file_migrations SET started_at = 'infinity'", 6),
    "migration_checksum": ("UPDATE file_migrations SET original_checksum = 'zz' || substr(migrated_checksum, 3)", 6),
    "migration_size": ("UPDATE file_migrations SET file_size = -1", 6),
    "migration_key": ("UPDATE file_migrations SET target_r2_key = 'a/../' || id", 6),
    "file_checksum": ("UPDATE files SET checksum = 'abc'", 6),
    "completed_without_checksum": ("UPDATE file_migrations SET migrated_checksum = ''", 6),
    "pointer_without_record": ("UPDATE file_migrations SET status = 'pending'", 6),
    "record_without_pointer": ("UPDATE files SET r2_key = NULL", 6),
    "missing_index": ("DROP INDEX blobferry_ix_migrations_key", 1),
}
KEYS = [("a/b", True), ("a//b", False), ("/a", False), ("a/", False), ("./a", False), ("a/..", False), ("a..b/...", True), ("", False),
        ("x" * 1024, True), ("x" * 1025, False), ("tab\there", False), ("\x7f", False), ("\u0085", False), ("\ufffe", False),
        ("\u00e9/\U0001f600", True), ("a b+%2F", True)]
TIMES = [("2024-05-01 10:11:12", True), ("2024-05-01T10:11:12Z", True), ("2024-05-01T10:11:12.123456+02:00", True),
         ("2024-05-01", True), ("1714557072", True), ("1714557072123", True), (None, True), ("2024-13-01", False),
         ("2024", False), ("", False), ("31/01/2024", False), ("soon", False), ("2024-05-01 24:30:00", False)]


class Check(bf.TestCase):
    tracker = "postgres"

    def check(self, expect, *args):
        return {c["name"]: c for c in self.ws.run("db", "check", "--json", *args, expect=expect).json()["checks"]}

    def change(self, statement, values=()):
        with self.ws.database(write=True) as db:
            db.execute(statement, values)

    def psql(self, sql):
        """As a user would: the line that was printed, pasted into psql."""
        done = subprocess.run(["psql", "-XAt", self.ws.tracker.url(), "-c", sql], capture_output=True, text=True, check=False,
                              env={**os.environ, "PGPASSWORD": self.ws.tracker.password})
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.strip("\n").split("\n") if done.stdout else []

    def test_db_check_every_fault(self):
        self.ws.migrated(6)
        self.assertEqual({c["count"] for c in self.check(0).values()}, {0})
        with self.ws.database(write=True) as db:
            for table in TABLES:
                db.execute(f"CREATE TABLE sound_{table} AS TABLE {table}")
        for name, (statement, count) in FAULTS.items():
            with self.subTest(name):
                with self.ws.database(write=True) as db:
                    for table in TABLES:
                        db.execute(f"DELETE FROM {table}")
                        db.execute(f"INSERT INTO {table} TABLE sound_{table}")
                    db.execute(statement)
                found = self.check(1)[name]
                self.assertEqual(found["count"], count)
                self.assertEqual(len(found["examples"]), min(count, 5))
                if name != "missing_index":
                    self.assertEqual(len(self.psql(found["sql"])), count)

    def test_db_check_keys_and_times(self):
        self.ws.migrated(1)
        self.change("ALTER TABLE file_migrations ALTER COLUMN created_at DROP DEFAULT")
        self.change("ALTER TABLE file_migrations ALTER COLUMN created_at TYPE text")
        self.change("DELETE FROM file_migrations")
        for n, (key, _) in enumerate(KEYS):
            self.change("INSERT INTO file_migrations (id, batch_id, target_r2_key) VALUES (?, 'b1', ?)", (f"k{n}", key))
        for n, (time, _) in enumerate(TIMES):
            self.change("INSERT INTO file_migrations (id, batch_id, created_at) VALUES (?, 'b1', ?)", (f"t{n}", time))
        found = self.check(1)
        for name, cases, letter in (("migration_key", KEYS, "k"), ("migration_time", TIMES, "t")):
            bad = {line.split("|")[0] for line in self.psql(found[name]["sql"]) if line[0] in "kt" and line[1:2].isdigit()}
            self.assertEqual(bad, {f"{letter}{n}" for n, (_, good) in enumerate(cases) if not good}, name)

    def test_db_check_fix_and_upgrade(self):
        self.ws.migrated(4)
        self.change("UPDATE migration_batches SET completed_files = 0, total_files = 7, status = 'failed'")
        self.check(0, "--fix")
        self.ws.check_counters()
        for name in ("key", "status"):
            self.change("DROP INDEX blobferry_ix_migrations_" + name)
        missing = self.ws.run("db", "upgrade", "--dry-run", "--json", expect=0).json()
        self.assertEqual((missing["done"], missing["missing"]), (0, 2))
        self.assertEqual(self.ws.run("db", "upgrade", "--indexes", "--json", expect=0).json()["done"], 2)
        again = self.ws.run("db", "upgrade", "--indexes", "--json", expect=0).json()
        self.assertEqual((again["done"], again["missing"]), (0, 0))
        self.check(0)
        self.ws.run("audit", "verify", expect=0)

    def as_version_1(self):
        for statement in ("CREATE INDEX blobferry_ix_records_lease ON blobferry_records (lease_owner) WHERE lease_owner IS NOT NULL",
                          "ALTER TABLE blobferry_records SET (fillfactor = 85)", "UPDATE blobferry_schema SET version = 1"):
            self.change(statement)

    def test_db_upgrade_from_version_1(self):
        version = "SELECT version, to_regclass('blobferry_ix_records_lease') IS NULL FROM blobferry_schema"
        self.ws.migrated(4)
        self.as_version_1()
        before = self.psql("SELECT * FROM blobferry_records ORDER BY record_id")
        shown = self.ws.run("db", "upgrade", "--dry-run", "--json", expect=0).json()
        self.assertEqual([(s["kind"], s.get("version"), s["done"]) for s in shown["steps"]], [("tables", 2, False)])
        self.check(0)
        self.assertEqual(self.psql(version), ["1|f"])
        done = self.ws.run("db", "upgrade", "--json", expect=0).json()
        self.assertEqual([(s["version"], s["done"]) for s in done["steps"]], [(2, True)])
        self.assertEqual(self.psql(version), ["2|t"])
        self.assertEqual(self.ws.run("db", "upgrade", "--json", expect=0).json()["steps"], [])
        self.as_version_1()
        self.ws.run("verify", "--batch-id", "b1", expect=0)  # the first command that writes
        self.assertEqual(self.psql(version), ["2|t"])
        self.assertEqual([r.split("|")[:5] for r in self.psql("SELECT * FROM blobferry_records ORDER BY record_id")],
                         [r.split("|")[:5] for r in before])
        self.ws.run("audit", "verify", expect=0)


if __name__ == "__main__":
    unittest.main()
