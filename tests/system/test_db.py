"""db check and db upgrade, looked at from outside: the SQL that is printed is run here, by another SQLite."""
import sqlite3
import unittest

import bf

FAULTS = {  # check: (statements, how many it must find)
    "orphan_batch": (["UPDATE file_migrations SET batch_id = 'gone' WHERE id = (SELECT min(id) FROM file_migrations)"], 1),
    "orphan_file": (["DELETE FROM files WHERE id IN (SELECT file_id FROM file_migrations LIMIT 2)"], 2),
    "orphan_record": (["INSERT INTO blobferry_records (record_id) VALUES ('nobody')"], 1),
    "duplicate_key": (["UPDATE file_migrations SET target_r2_key = 'one/key'"], 1),
    "duplicate_migration_of_file": (["UPDATE file_migrations SET file_id = (SELECT min(id) FROM files)"], 1),
    "counters": (["UPDATE migration_batches SET completed_files = 99"], 1),
    "batch_status": (["UPDATE migration_batches SET status = 'COMPLETED'"], 1),
    "batch_time": (["UPDATE migration_batches SET started_at = '31/01/2024'"], 1),
    "migration_id_unusable": (["INSERT INTO file_migrations (id, batch_id, status) VALUES (NULL, 'b1', 'pending'),"
                               " (x'00ff', 'b1', 'pending'), ('a' || char(0) || 'b', 'b1', 'pending')"], 3),
    "migration_status": (["UPDATE file_migrations SET status = 'Completed' WHERE id = (SELECT max(id) FROM file_migrations)"], 1),
    "migration_checksum": (["UPDATE file_migrations SET original_checksum = 'zz' || substr(migrated_checksum, 3)"], 6),
    "migration_size": (["UPDATE file_migrations SET file_size = -1 WHERE id = (SELECT max(id) FROM file_migrations)",
                        "UPDATE file_migrations SET file_size = 'many' WHERE id = (SELECT min(id) FROM file_migrations)"], 2),
    "migration_key": (["UPDATE file_migrations SET target_r2_key = 'a/../' || id"], 6),
    "file_checksum": (["UPDATE files SET checksum = 'abc'"], 6),
    "completed_without_checksum": (["UPDATE file_migrations SET migrated_checksum = ''"], 6),
    "pointer_without_record": (["UPDATE file_migrations SET status = 'pending'"], 6),
    "record_without_pointer": (["UPDATE files SET r2_key = NULL"], 6),
    "missing_index": (["DROP INDEX blobferry_ix_migrations_key", "DROP INDEX blobferry_ix_files_key"], 2),
}
TIMES = [  # as codec/timefmt reads them
    ("2024-05-01 10:11:12", True), ("2024-05-01T10:11:12Z", True), ("2024-05-01T10:11:12.123456+02:00", True),
    ("2024-05-01 10:11:12+00", True), ("2024-05-01", True), ("2024-02-29 23:59:59", True), ("2024-05-31 20:00", True),
    (1714557072, True), (1714557072123, True), ("1714557072", True), (None, True),
    ("2024-02-30 00:00:00", False), ("2023-02-29", False), ("2024-13-01 00:00:00", False), ("2024-00-10 00:00:00", False),
    ("2024-05-00 00:00:00", False), ("2024-05-01 24:30:00", False), ("2024", False), (2024, False), ("", False),
    ("31/01/2024", False), ("soon", False), (1714557072.5, False), ("2024-05-01 10:61:00", False),
]


class Check(bf.TestCase):
    def check(self, expect, *args):
        return {c["name"]: c for c in self.ws.run("db", "check", "--json", *args, expect=expect).json()["checks"]}

    def test_db_check_clean(self):
        self.ws.migrated(6)
        before = self.ws.dump()
        text = self.ws.run("db", "check", expect=0).text
        self.assertIn("clean", text)
        found = self.check(0)
        self.assertEqual({c["count"] for c in found.values()}, {0})
        self.assertEqual(self.ws.dump(), before)

    def test_db_check_every_fault(self):
        self.ws.migrated(6)
        with open(self.ws.db, "rb") as f:
            sound = f.read()
        for name, (statements, count) in FAULTS.items():
            with self.subTest(name):
                with open(self.ws.db, "wb") as f:
                    f.write(sound)
                for statement in statements:
                    self.ws.change(statement)
                found = self.check(1)[name]
                self.assertEqual(found["count"], count)
                self.assertEqual(len(found["examples"]), min(count, 5))
                if name != "missing_index":  # it runs as it stands, elsewhere, and says the same
                    self.assertEqual(len(self.ws.sql(found["sql"])), count)
                self.assertIn(found["sql"], self.ws.run("db", "check", expect=1).out)

    def test_db_check_notes_are_no_fault(self):
        self.ws.migrated(3)
        self.ws.change("INSERT INTO files (id, filename, user_id, r2_key) VALUES ('own', 'x', 'u', 'app/own')")
        found = self.check(0)["pointer_of_another"]
        self.assertEqual((found["count"], found["severity"]), (1, "note"))

    def test_db_check_times(self):
        self.ws.migrated(2)
        # a bare three-table database of another tool, with no affinity that would turn texts into numbers
        with self.ws.database(write=True) as db:
            db.execute("DELETE FROM file_migrations")
            db.execute("ALTER TABLE file_migrations RENAME COLUMN created_at TO old")
            db.execute("ALTER TABLE file_migrations ADD COLUMN created_at")
            db.executemany("INSERT INTO file_migrations (id, batch_id, status, created_at) VALUES (?, 'b1', 'pending', ?)",
                           [(f"r{n}", value) for n, (value, _) in enumerate(TIMES)])
        sql = self.check(1)["migration_time"]["sql"]
        bad = {r["id"] for r in self.ws.sql(sql)}
        self.assertEqual(bad, {f"r{n}" for n, (_, good) in enumerate(TIMES) if not good})

    def test_db_check_empty_is_no_success(self):
        self.ws.run("init", expect=0)
        self.assertIn("nothing was checked", self.ws.run("db", "check", expect=1).err)

    def test_db_check_fix(self):
        self.ws.migrated(4)
        self.ws.change("UPDATE migration_batches SET completed_files = 0, total_files = 7, status = 'failed'")
        self.assertGreater(self.check(1)["counters"]["count"], 0)
        self.ws.run("db", "check", "--fix", expect=0)
        self.ws.check_counters()
        self.assertEqual([e["action"] for e in self.ws.audit() if e["action"].startswith("counters")],
                         ["counters_intent", "counters_outcome"])
        before = self.ws.dump()
        self.ws.run("db", "check", "--fix", expect=0)  # nothing differs any more: nothing is written
        self.assertEqual(self.ws.dump(), before)
        self.ws.run("audit", "verify", expect=0)

    def test_db_check_fix_leaves_the_rest(self):
        self.ws.migrated(4)
        self.ws.change("UPDATE files SET r2_key = NULL")
        self.ws.change("UPDATE migration_batches SET total_files = 0")
        self.assertEqual(self.check(1, "--fix")["record_without_pointer"]["count"], 4)
        self.ws.check_counters()
        self.assertEqual(self.ws.sql("SELECT count(*) FROM files WHERE r2_key IS NOT NULL")[0][0], 0)


class Upgrade(bf.TestCase):
    def bare(self):
        """The application's own three tables, without an index of ours."""
        db = sqlite3.connect(self.ws.db)
        db.executescript("""
            CREATE TABLE migration_batches (id TEXT PRIMARY KEY, batch_id TEXT UNIQUE NOT NULL, total_files INTEGER,
              completed_files INTEGER, failed_files INTEGER, verified_files INTEGER, status TEXT, started_at DATETIME,
              completed_at DATETIME, created_at DATETIME);
            CREATE TABLE file_migrations (id TEXT PRIMARY KEY, batch_id TEXT, file_id TEXT, source_path TEXT,
              target_r2_key TEXT, original_checksum TEXT, migrated_checksum TEXT, file_size INTEGER, status TEXT,
              error_message TEXT, started_at DATETIME, completed_at DATETIME, created_at DATETIME);
            CREATE TABLE files (id TEXT PRIMARY KEY, filename TEXT, user_id TEXT, r2_key TEXT, checksum TEXT);
            INSERT INTO files VALUES ('1', 'a', 'u', NULL, NULL);
            CREATE INDEX mine ON file_migrations (batch_id, status, id, created_at);""")
        db.close()

    def schema(self):
        return {(r["type"], r["name"]): r["sql"] for r in self.ws.sql("SELECT * FROM sqlite_master")}

    def test_db_upgrade(self):
        self.bare()
        before = self.schema()
        steps = self.ws.run("db", "upgrade", "--dry-run", "--json", expect=0).json()["steps"]
        self.assertEqual(self.schema(), before)
        self.assertEqual([s["kind"] for s in steps], ["tables"] + ["index"] * 5)  # 'mine' and UNIQUE serve as well
        self.assertFalse(any(s["done"] for s in steps))
        done = self.ws.run("db", "upgrade", "--json", expect=0).json()
        self.assertEqual((done["done"], done["missing"]), (1, 5))
        after = self.schema()
        self.assertEqual({k: after[k] for k in before}, before)
        self.assertIn(("table", "blobferry_records"), after)
        self.assertEqual([k for k in after if k[1].startswith("blobferry_ix_migrations")], [])
        self.ws.run("db", "upgrade", "--indexes", expect=0)
        self.assertEqual({k: self.schema()[k] for k in before}, before)
        self.assertEqual(len([k for k in self.schema() if k[1].startswith("blobferry_ix_migrations")]), 4)
        state = self.ws.dump()
        again = self.ws.run("db", "upgrade", "--indexes", "--json", expect=0).json()
        self.assertEqual((again["done"], again["missing"], again["steps"]), (0, 0, []))
        self.assertEqual(self.ws.dump(), state)
        self.ws.run("audit", "verify", expect=0)

    def test_db_upgrade_of_nothing(self):
        self.ws.run("db", "upgrade", expect=3)
        self.ws.run("db", expect=2)
        self.ws.run("db", "upgrade", "--fix", expect=2)


if __name__ == "__main__":
    unittest.main()
