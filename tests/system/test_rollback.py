"""rollback: exactly as far as asked, and only what is provably ours (P3, P4, P5)."""
import glob
import json
import os
import unittest

import bf

CONFIRMED = ("--confirm", "--force")


class Rollback:
    def refused_one(self, key, reason, *args):
        """One file of five is refused: kept, counted, audited; the others go."""
        ws = self.ws
        result = ws.run("--json", "rollback", "--batch-id", "b1", *args, *CONFIRMED, expect=1)
        outcome = result.json()["result"]
        self.assertEqual((outcome["database_rollbacks"], outcome["refused"]), (4, 1), result)
        self.assertEqual(ws.statuses(), {"completed": 1, "rolled_back": 4})
        self.assertIsNotNone(ws.store.get(key))
        self.assertEqual(ws.row(key)["r2_key"], key)
        self.assertTrue(any(reason in json.dumps(e) for e in ws.audit() if e.get("file_id") == ws.row(key)["file_id"]),
                        f"no audit line tells '{reason}'")
        self.assertEqual(ws.store.keys() & {r["target_r2_key"] for r in ws.rows() if r["status"] == "rolled_back"}, set())
        return outcome

    def test_rollback_refuses_when_the_original_is_missing(self):
        ws = self.ws
        ws.migrated(5, smallest=10)
        os.rename(ws.path("files/d1/file-00001.bin"), ws.path("aside"))
        self.refused_one("d1/file-00001.bin", "missing")
        ws.run("rollback", "--batch-id", "b1", "--allow-missing-source", *CONFIRMED, expect=0)
        self.assertEqual(ws.store.keys(), set())

    def test_rollback_refuses_when_the_original_was_altered(self):
        ws = self.ws
        names = ws.migrated(5, smallest=10)
        ws.write(names[1], b"!" * len(ws.source(names[1])))
        self.refused_one(names[1], "altered")

    def test_rollback_refuses_an_object_that_somebody_replaced(self):
        ws = self.ws
        names = ws.migrated(5, smallest=10)
        ws.store.put(names[1], b"somebody else's")
        self.refused_one(names[1], "not_ours")
        self.assertEqual(ws.store.get(names[1]), b"somebody else's")

    def test_rollback_refuses_a_pointer_that_the_application_changed(self):
        ws = self.ws
        names = ws.migrated(5, smallest=10)
        ws.store.put("app/own", b"own")
        ws.change("UPDATE files SET r2_key = 'app/own' WHERE id = ?", ws.row(names[1])["file_id"])
        ws.run("rollback", "--batch-id", "b1", *CONFIRMED, expect=1)
        self.assertEqual(ws.row(names[1])["r2_key"], "app/own")
        self.assertEqual(ws.store.get(names[1]), ws.source(names[1]))
        self.assertEqual(ws.store.get("app/own"), b"own")
        self.assertEqual(ws.statuses()["rolled_back"], 4)

    def test_rollback_never_deletes_what_was_there_before(self):
        """P5: same bytes under the key already: the row completes, the object stays for ever."""
        ws = self.ws
        names = ws.make_files(5, smallest=10)
        ws.freeze()
        ws.store.put(names[2], ws.source(names[2]))
        ws.run("init", expect=0)
        ws.plan()
        ws.run("migrate", "--batch-id", "b1", expect=0)
        ws.check()
        ws.run("rollback", "--batch-id", "b1", *CONFIRMED, expect=0)
        self.assertEqual(ws.store.keys(), {names[2]})
        self.assertEqual(ws.statuses(), {"rolled_back": 5})
        ws.check()

    def test_rollback_never_overwritten_what_was_there_before(self):
        """P5: other bytes under the key: the file fails, the object stays as it is."""
        ws = self.ws
        names = ws.make_files(5, smallest=10)
        ws.freeze()
        ws.store.put(names[2], b"precious")
        ws.run("init", expect=0)
        ws.plan()
        ws.run("migrate", "--batch-id", "b1", expect=1)
        self.assertEqual(ws.store.get(names[2]), b"precious")
        self.assertEqual(ws.statuses(), {"completed": 4, "failed": 1})
        ws.run("rollback", "--batch-id", "b1", *CONFIRMED)
        self.assertEqual(ws.store.keys(), {names[2]})
        self.assertEqual(ws.store.get(names[2]), b"precious")

    def test_rollback_restores_the_prior_values(self):
        ws = self.ws
        names = ws.make_files(2)
        ws.run("init", expect=0)
        ws.plan()
        ws.change("UPDATE files SET r2_key = '', checksum = 'legacy' WHERE id = ?", ws.row(names[0])["file_id"])
        ws.run("migrate", "--batch-id", "b1", expect=0)
        self.assertEqual(ws.row(names[0])["r2_key"], names[0])
        ws.run("rollback", "--batch-id", "b1", *CONFIRMED, expect=0)
        self.assertEqual([(r["r2_key"], r["checksum"]) for r in ws.rows()], [("", "legacy"), (None, None)])

    def test_rollback_a_pointer_of_the_application_is_never_replaced(self):
        ws = self.ws
        names = ws.make_files(2)
        ws.run("init", expect=0)
        ws.plan()
        ws.store.put("old/place", b"old")
        ws.change("UPDATE files SET r2_key = 'old/place', checksum = 'abc' WHERE id = ?", ws.row(names[0])["file_id"])
        result = ws.run("migrate", "--batch-id", "b1", expect=1)
        self.assertIn("old/place", result.err)
        ws.run("rollback", "--batch-id", "b1", *CONFIRMED)
        row = ws.row(names[0])
        self.assertEqual((row["r2_key"], row["checksum"]), ("old/place", "abc"))
        self.assertEqual(ws.store.keys(), {"old/place"})

    def test_rollback_object_already_absent(self):
        ws = self.ws
        names = ws.migrated(5)
        ws.store.delete(names[3])
        outcome = ws.run("--json", "rollback", "--batch-id", "b1", *CONFIRMED, expect=0).json()["result"]
        self.assertEqual(outcome["already_absent"], 1)
        self.assertEqual(ws.statuses(), {"rolled_back": 5})
        self.assertEqual(ws.store.keys(), set())

    def test_rollback_by_user_is_exact(self):
        ws = self.ws
        for user in ("user1", "user_", "user%"):
            ws.write(f"{user}/f", user.encode())
        ws.run("init", expect=0)
        for user in ("user1", "user_", "user%"):
            ws.run("plan", "--from-dir", ws.path("files", user), "--batch-id", f"b-{user}", "--user-id", user,
                   "--key-template", "{user_id}/{path}", expect=0)
        ws.run("migrate", "--all", expect=0)
        for user in ("user_", "user%"):
            ws.run("rollback", "--user-id", user, *CONFIRMED, expect=0)
        self.assertEqual(ws.store.keys(), {"user1/f"})
        ws.check()

    def test_rollback_failed_only_touches_no_completed_row(self):
        ws = self.ws
        names = ws.make_files(5, smallest=10)
        ws.store.put(names[0], b"in the way")
        ws.run("init", expect=0)
        ws.plan()
        ws.run("migrate", "--batch-id", "b1", expect=1)
        ws.run("rollback", "--batch-id", "b1", "--failed-only", *CONFIRMED, expect=0)
        self.assertEqual(ws.statuses(), {"completed": 4, "rolled_back": 1})
        self.assertEqual(ws.store.get(names[0]), b"in the way")
        self.assertEqual(len(ws.store.keys()), 5)

    def test_rollback_dates_are_whole_utc_days(self):
        ws = self.ws
        names = ws.migrated(5)
        for name, started in zip(names, ("2024-01-31 23:59:59", "2024-02-01 00:00:00", "2024-02-29T23:59:59.999Z",
                                         "2024-03-01 00:00:00", "2024-03-01T01:30:00+02:00")):
            ws.change("UPDATE file_migrations SET started_at = ? WHERE id = ?", started, ws.row(name)["id"])
        ws.run("rollback", "--start-date", "2024-02-01", "--end-date", "2024-02-29", *CONFIRMED, expect=0)
        self.assertEqual({n for n in names if ws.row(n)["status"] == "rolled_back"}, {names[1], names[2], names[4]})
        ws.run("rollback", "--start-date", "2024-03-01", *CONFIRMED, expect=0)
        self.assertEqual({n for n in names if ws.row(n)["status"] == "completed"}, {names[0]})

    def test_rollback_database_only_keeps_objects(self):
        ws = self.ws
        names = ws.migrated(3)
        ws.run("rollback", "--batch-id", "b1", "--database-only", *CONFIRMED, expect=0)
        self.assertEqual(ws.statuses(), {"rolled_back": 3})
        self.assertEqual(ws.store.keys(), set(names))
        self.assertEqual(ws.sql("SELECT count(*) FROM files WHERE r2_key IS NOT NULL")[0][0], 0)

    def test_rollback_limit_and_plan_hash(self):
        ws = self.ws
        ws.migrated(6)
        plan = ws.run("--json", "rollback", "--batch-id", "b1", "--limit", "2", expect=0).json()["preview"]["plan"]
        ws.run("rollback", "--batch-id", "b1", "--limit", "2", "--yes-plan", "0" * 64, *CONFIRMED, expect=1)
        self.assertEqual(ws.statuses(), {"completed": 6})
        ws.run("rollback", "--batch-id", "b1", "--limit", "2", "--yes-plan", plan, *CONFIRMED, expect=0)
        self.assertEqual(ws.statuses(), {"completed": 4, "rolled_back": 2})
        ws.check()

    def test_rollback_backup_holds_the_rows(self):
        ws = self.ws
        ws.migrated(3)
        rows = {r["id"]: r["status"] for r in ws.rows()}
        ws.run("rollback", "--batch-id", "b1", *CONFIRMED, expect=0)
        path, = glob.glob(ws.backups + "/migration_backup_*.json")
        with open(path, "rb") as f:
            data = f.read()
        document = json.loads(data)
        self.assertEqual(document["sha256"], bf.sha256(data[:data.rindex(b',"sha256"')]))
        self.assertEqual({r["id"]: r["status"] for r in document["tables"]["file_migrations"]}, rows)
        self.assertEqual(len(document["tables"]["files"]), 3)

    def test_rollback_no_backup_is_audited(self):
        ws = self.ws
        ws.migrated(2)
        ws.run("rollback", "--batch-id", "b1", "--no-backup", *CONFIRMED, expect=0)
        self.assertEqual(glob.glob(ws.backups + "/*.json"), [])
        self.assertTrue(any("no" in json.dumps(e) and "backup" in json.dumps(e) for e in ws.audit()))

    def test_rollback_shared_object_is_kept_until_the_last(self):
        ws = self.ws
        ws.write("one", b"same")
        ws.run("init", expect=0)
        ws.plan()
        ws.run("migrate", "--batch-id", "b1", expect=0)
        ws.change("INSERT INTO files (id, filename, user_id, r2_key) VALUES ('app', 'x', 'u9', 'one')")
        ws.run("rollback", "--batch-id", "b1", *CONFIRMED)
        self.assertEqual(ws.store.get("one"), b"same")  # the application still points at it

    def test_rollback_ten_rounds_end_clean(self):
        ws = self.ws
        ws.migrated(4)
        for _ in range(10):
            ws.run("rollback", "--batch-id", "b1", *CONFIRMED, expect=0)
            self.assertEqual(ws.store.keys(), set())
            ws.run("migrate", "--batch-id", "b1", "--again", expect=0)
            self.assertEqual(ws.statuses(), {"completed": 4})
        ws.check()
        ws.run("audit", "verify", expect=0)


class DirRollback(Rollback, bf.TestCase):
    store = "dir"


class PostgresRollback(Rollback, bf.TestCase):
    store = "dir"
    tracker = "postgres"


class S3Rollback(Rollback, bf.TestCase):
    store = "s3"

    def test_rollback_dry_run_sends_no_write(self):
        ws = self.ws
        ws.migrated(5)
        proxy = self.proxy()
        dump = ws.dump()
        for args in ((), ("--dry-run",), ("--prove",)):
            ws.run("rollback", "--batch-id", "b1", *args, expect=0)
        self.assertEqual(proxy.writes(), [])
        self.assertEqual(ws.dump(), dump)

    def test_rollback_delete_answer_lost(self):
        ws = self.ws
        ws.migrated(20)
        self.proxy(bf.Fault("drop_answer", op="DeleteObjects", times=1), bf.Fault("drop_answer", op="DeleteObject", times=3))
        ws.run("rollback", "--batch-id", "b1", *CONFIRMED, expect=0)
        ws.check()
        self.assertEqual(ws.store.keys(), set())

    def test_rollback_store_down_owes_deletes_that_the_next_run_pays(self):
        ws = self.ws
        ws.migrated(10)
        ws.profile = "ceph"  # no probe: its own objects could not be deleted either
        proxy = self.proxy(*(bf.Fault("status", 503, op=op, times=0, code="ServiceUnavailable") for op in ("DeleteObject", "DeleteObjects")))
        result = ws.run("rollback", "--batch-id", "b1", *CONFIRMED, limit=120)
        self.assertIn(result.code, (1, 4))
        ws.check()
        proxy.faults.clear()
        ws.run("rollback", "--batch-id", "b1", *CONFIRMED, expect=0)
        self.assertEqual(ws.store.keys(), set())
        self.assertEqual(ws.statuses(), {"rolled_back": 10})
        self.assertEqual(ws.run("--json", "status", "--batch-id", "b1").json()["deletes_owed"], 0)


if __name__ == "__main__":
    unittest.main()
