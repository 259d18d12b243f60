"""db copy from SQLite to SQLite: what arrives is compared by Python's sqlite3, type and bytes, never by blobferry's own digests."""
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import unittest

import bf

TABLES = ("migration_batches", "file_migrations", "files", "blobferry_records", "blobferry_runs", "blobferry_heads")
HOSTILE = ["", "'; DROP TABLE files; --", "tab\there", "line\nfeed", "back\\slash", "\\N", "nul\x00inside", "\u202ertl", "\U0001f600",
           "x" * 70000, 7, -9223372036854775808, 9223372036854775807, 0.1, -0.0, 1e308, b"", b"\x00\xff\xfe", None]


def contents(path, tables=TABLES):
    """{table: sorted rows as (type, bytes) of each column}"""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    db.text_factory = bytes
    found = {}
    for table in tables:
        columns = sorted(r[1].decode() for r in db.execute(f"PRAGMA table_info({table})"))
        quoted = ['"' + c.replace('"', '""') + '"' for c in columns]
        shown = ", ".join(f"typeof({c}), CAST({c} AS BLOB)" for c in quoted)
        found[table] = columns, sorted(db.execute(f"SELECT {shown} FROM {table}"), key=repr) if columns else []
    db.close()
    return found


def fill(path, rows, batch="b1"):
    """A table's worth of rows, straight into a database that `init` has made."""
    db = sqlite3.connect(path)
    def key(n):
        return hashlib.md5(b"%d" % n).hexdigest()
    db.execute("INSERT INTO migration_batches (id, batch_id, total_files) VALUES (?, ?, ?)", ("i" + batch, batch, rows))
    db.executemany("INSERT INTO files (id, filename, user_id, created_at) VALUES (?, ?, ?, '2024-05-01 00:00:00')",
                   ((key(n), f"file-{n}.bin", f"u{n % 50}") for n in range(rows)))
    db.executemany("INSERT INTO file_migrations (id, batch_id, file_id, source_path, target_r2_key, original_checksum,"
                   " file_size) VALUES (?, ?, ?, ?, ?, ?, ?)",
                   ((f"m{key(n)}", batch, key(n), f"/srv/files/{key(n)}", f"up/{key(n)}", key(n) * 2, n) for n in range(rows)))
    db.commit()
    db.close()


class Copy(bf.TestCase):
    def setUp(self):
        super().setUp()
        self.target = self.ws.path("target.db")

    def copy(self, *args, expect=0, **given):
        return self.ws.run("db", "copy", "--to", "sqlite:" + self.target, *args, expect=expect, **given)

    def same(self, head=True):
        source, target = contents(self.ws.db), contents(self.target)
        if head:  # the target has the head of the run that made it besides
            self.assertEqual(len(target["blobferry_heads"][1]), 1)
        for table in TABLES[:5]:
            self.assertEqual(target[table], source[table], table)

    def test_db_copy_preview_writes_nothing(self):
        self.ws.migrated(3)
        before = self.ws.dump(), sorted(os.listdir(self.ws.dir)), sorted(os.listdir(self.ws.logs))
        out = self.copy().out
        self.assertIn("dry run", out)
        self.assertEqual((self.ws.dump(), sorted(os.listdir(self.ws.dir)), sorted(os.listdir(self.ws.logs))), before)

    def test_db_copy(self):
        self.ws.migrated(6)
        before = self.ws.dump()
        result = self.copy("--confirm", "--json").json()
        self.same()
        self.assertEqual(self.ws.dump(), before)  # the source is only read
        with open(result["report"], encoding="utf-8") as f:
            report = json.load(f)
        self.assertEqual([t["same"] for t in report["tables"]], [True] * 6)
        self.assertTrue(report["committed"])
        self.assertEqual([e["action"] for e in self.ws.audit() if e["action"].startswith("copy_")], ["copy_intent", "copy_outcome"])
        # and it works on: nothing is to be done, and a rollback finds its rows
        self.ws.db = self.target
        self.ws.check()
        self.ws.run("db", "check", expect=0)
        self.ws.run("migrate", "--all", expect=0)
        self.ws.run("rollback", "--batch-id", "b1", "--confirm", "--force", expect=0)
        self.assertEqual(self.ws.store.keys(), set())

    def test_db_copy_hostile_values(self):
        self.ws.migrated(2)
        with self.ws.database(write=True) as db:
            db.execute("ALTER TABLE files ADD COLUMN \"odd \"\" name\"")
            for n, value in enumerate(HOSTILE):
                db.execute("INSERT INTO files (id, filename, user_id, \"odd \"\" name\") VALUES (?, 'n', ?, ?)",
                           (f"h{n}", "u" if value is None else value, value))
            db.execute("INSERT INTO files (id, filename, user_id) VALUES ('bad', CAST(x'c328' AS TEXT), 'u')")
        self.copy("--confirm")
        self.same()

    def test_db_copy_refuses_rows(self):
        self.ws.migrated(3)
        self.copy("--confirm")
        before = contents(self.target)
        self.assertIn("--replace", self.copy("--confirm", expect=1).err)
        self.copy("--replace", expect=0)  # a preview
        self.assertEqual(contents(self.target), before)
        self.ws.run("db", "copy", "--to", "sqlite:" + self.ws.db, "--confirm", "--replace", expect=2)
        self.assertEqual(contents(self.target), before)

    def test_db_copy_replaces_after_a_backup(self):
        self.ws.migrated(3)
        self.copy("--confirm")
        db = sqlite3.connect(self.target)
        db.execute("DELETE FROM file_migrations")
        db.execute("INSERT INTO files (id, filename, user_id) VALUES ('alone', 'of no migration', 'u')")
        db.execute("CREATE TABLE theirs (x)")
        db.execute("INSERT INTO theirs VALUES (7)")
        db.commit()
        result = self.copy("--confirm", "--replace", "--json").json()
        self.same()
        self.assertEqual(db.execute("SELECT * FROM theirs").fetchall(), [(7,)])  # no business of ours
        db.close()
        with open(result["backup"], encoding="utf-8") as f:
            rows = json.load(f)["tables"]
        self.assertIn("alone", [r["id"] for r in rows["files"]])
        self.ws.db = self.target
        self.ws.run("backup", "restore", result["backup"], "--confirm", "--database-only", expect=0)
        self.assertEqual(self.ws.sql("SELECT filename FROM files WHERE id = 'alone'")[0][0], "of no migration")

    def test_db_copy_failure_leaves_the_target(self):
        self.ws.migrated(3)
        self.copy("--confirm")
        db = sqlite3.connect(self.target)
        db.execute("CREATE TRIGGER meddle AFTER INSERT ON files BEGIN"
                   " UPDATE files SET filename = upper(filename) WHERE id = new.id; END")
        db.close()
        before = contents(self.target)
        self.assertIn("'files'", self.copy("--confirm", "--replace", "--no-backup", expect=1).err)
        self.assertEqual(contents(self.target), before)
        db = sqlite3.connect(self.target)
        db.execute("DROP TRIGGER meddle")
        db.execute("ALTER TABLE files DROP COLUMN checksum")
        db.close()
        self.copy("--confirm", "--replace", expect=3)

    def test_db_copy_no_space_leaves_no_file(self):
        self.ws.run("init", expect=0)
        fill(self.ws.db, 5000)
        self.copy("--confirm", expect=3, wrap=("prlimit", "--fsize=1000000"))
        self.assertEqual([n for n in os.listdir(self.ws.dir) if n.startswith("target")], [])
        self.copy("--confirm")
        self.same()

    def test_db_copy_of_nothing(self):
        self.ws.run("init", expect=0)
        self.assertIn("holds no rows", self.copy("--confirm", expect=1).err)
        self.assertFalse(os.path.exists(self.target))
        self.ws.run("db", "copy", expect=2)

    def test_db_copy_waits_for_no_worker(self):
        self.ws.migrated(3)
        self.copy("--confirm")
        db = sqlite3.connect(self.target)
        db.execute("INSERT INTO blobferry_locks VALUES ('b1', 'somebody', 'migrate', 9999999999999)")
        db.commit()
        db.close()
        before = contents(self.target)
        self.assertIn("under way", self.copy("--confirm", "--replace", expect=1).err)
        self.assertEqual(contents(self.target), before)

    def peak(self, rows):
        """Resident KiB at most while so many rows are copied."""
        name = self.ws.path(f"{rows}.db")
        self.ws.db, self.target = name, name + ".copy"
        self.ws.run("init", expect=0)
        fill(name, rows)
        child = self.ws.start("db", "copy", "--to", "sqlite:" + self.target, "--confirm")
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(child.returncode, 0)
        self.same()
        return usage.ru_maxrss

    @unittest.skipIf(bf.SANITIZER, "a sanitizer's memory is not the program's")
    def test_db_copy_memory_does_not_grow(self):
        small = self.peak(8000)
        self.assertLess(self.peak(32000), 1.2 * small)  # a million: make bench-copy

    def killed(self, *args):
        """Kill -9 once rows are on their way to the disk; the target is as it was, and the next run is as if nothing had been."""
        child = self.ws.start("db", "copy", "--to", "sqlite:" + self.target, "--confirm", *args)
        size = os.path.getsize(self.target) if os.path.exists(self.target) else 0
        bf.wait_for(lambda: child.poll() is not None or
                    (os.path.exists(self.target) and os.path.getsize(self.target) > size + 2000000), what="rows in the file")
        child.send_signal(signal.SIGKILL)
        self.assertEqual(self.ws.finish(child).code, -signal.SIGKILL)

    def test_db_copy_killed(self):
        self.ws.run("init", expect=0)
        fill(self.ws.db, 30000)
        self.killed()
        self.assertTrue(os.path.exists(self.target + "-journal"))
        db = sqlite3.connect(self.target)
        self.assertEqual(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0], 0)  # rolled back
        db.close()
        self.copy("--confirm")
        self.same()

    def test_db_copy_killed_while_it_replaces(self):
        self.ws.run("init", expect=0)
        fill(self.ws.db, 500, "old")
        self.copy("--confirm")
        before = contents(self.target)
        fill_more = sqlite3.connect(self.ws.db)
        fill_more.execute("DELETE FROM files")
        fill_more.execute("DELETE FROM file_migrations")
        fill_more.commit()
        fill_more.close()
        fill(self.ws.db, 30000, "new")
        self.killed("--replace")
        sqlite3.connect(self.target).execute("SELECT count(*) FROM files")  # whoever opens it next rolls it back
        subprocess.run(["sqlite3", self.target, "SELECT count(*) FROM files"], check=True, capture_output=True)
        self.assertEqual(contents(self.target), before)
        self.copy("--confirm", "--replace")
        self.same()
        self.ws.run("audit", "verify", expect=0)


if __name__ == "__main__":
    unittest.main()
