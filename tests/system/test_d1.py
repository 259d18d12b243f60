"""D1 made by wrangler, workerd alive on it: the local file beside it, found by the glob as wrangler leaves it, and remote D1 by
Cloudflare's query endpoint, which workerd serves."""
import glob
import os
import shutil
import sqlite3
import statistics
import threading
import time
import unittest

import bf
import test_mainjob
import test_rollback
from d1_client import D1, Refused

MISSING = os.environ.get("BLOBFERRY_TEST_D1_MISSING")


class D1Workspace(bf.Workspace):
    """A workspace whose tracking database is D1; `url` says by which way."""
    url = None

    def options(self):
        options = super().options()
        options[options.index("--db") + 1] = self.url
        return options

    def run_on(self, url, *args, **how):
        kept, self.url = self.url, url
        try:
            return self.run(*args, **how)
        finally:
            self.url = kept


class D1Case(bf.TestCase):
    def setUp(self):
        if MISSING or "BLOBFERRY_TEST_D1_URL" not in os.environ:
            self.skipTest(MISSING or "no D1 (see: tests/run)")
        self.d1 = D1()
        self.d1.wipe()
        self.addCleanup(self.d1.wipe)
        self.ws = D1Workspace(self.store)
        self.ws.db = self.d1.file
        self.ws.url = "d1:" + os.path.join(os.path.dirname(self.d1.file), "*.sqlite")
        self.addCleanup(self.ws.close)


class Neighbour(threading.Thread):
    """The application: reads and writes through workerd without pause, in a table of its own and in files."""

    def __init__(self, d1):
        super().__init__(daemon=True)
        self.d1, self.ended = d1, threading.Event()
        self.written, self.refused = 0, []
        d1.rows("CREATE TABLE app_visits (n INTEGER PRIMARY KEY, seen INTEGER)")
        self.start()

    def run(self):
        while not self.ended.is_set():
            try:
                self.d1.batch(("INSERT INTO app_visits (n, seen) VALUES (CAST(? AS INTEGER),"
                               " (SELECT count(*) FROM files))", str(self.written)),
                              "UPDATE files SET filename = filename WHERE id = (SELECT min(id) FROM files)")
                self.written += 1
            except Refused as e:
                self.refused.append(str(e))

    def finish(self):
        self.ended.set()
        self.join(60)


class LockWatch(threading.Thread):
    """How long the file cannot be written for others: tries to begin a transaction, without waiting, over and over."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.ended, self.spans = path, threading.Event(), []
        self.start()

    def run(self):
        db = sqlite3.connect(self.path, timeout=0, isolation_level=None)
        since = None
        while not self.ended.is_set():
            try:
                db.execute("BEGIN IMMEDIATE")
                db.execute("ROLLBACK")
                if since is not None:
                    self.spans.append(time.monotonic() - since)
                since = None
            except sqlite3.OperationalError:
                since = since or time.monotonic()
            time.sleep(0.0003)
        db.close()

    def finish(self):
        self.ended.set()
        self.join(60)
        return self.spans


class LocalFile(D1Case):
    def mode(self):
        with open(self.d1.file, "rb") as f:
            return f.read(20)[18:20]

    def seen_by_workerd(self):
        return {r["status"]: r["n"] for r in self.d1.rows(
            "SELECT status, count(*) AS n FROM file_migrations GROUP BY status")}

    def make_tables(self):
        """init needs no table to find the file by; d1: does."""
        self.ws.run_on("sqlite:" + self.d1.file, "init", expect=0)

    def test_d1_local_whole_way_beside_a_living_workerd(self):
        ws = self.ws
        names = ws.make_files(120)
        ws.freeze()
        self.make_tables()
        neighbour = Neighbour(self.d1)
        self.addCleanup(neighbour.finish)
        bf.wait_for(lambda: neighbour.written > 0, what="the first write of the application")
        ws.plan()
        ws.run("migrate", "--batch-id", "b1", expect=0)
        ws.check()
        self.assertEqual(self.seen_by_workerd(), {"completed": len(names)})
        ws.run("verify", "--batch-id", "b1", "--deep", expect=0)
        self.assertEqual(self.seen_by_workerd(), {"verified": len(names)})
        self.assertIn("b1", ws.run("status", expect=0).out)
        before = neighbour.written
        ws.run("rollback", "--batch-id", "b1", "--confirm", "--force", expect=0)
        bf.wait_for(lambda: neighbour.written > before, what="a write after the rollback")
        neighbour.finish()
        ws.check()
        self.assertEqual(self.seen_by_workerd(), {"rolled_back": len(names)})
        self.assertEqual(ws.store.keys(), set())
        # workerd waits for no lock: what falls into one of our transactions is refused there and then, and nothing else is.
        self.assertEqual([r for r in neighbour.refused if "SQLITE_BUSY" not in r], [])
        print(f"# {neighbour.written} writes of the application, {len(neighbour.refused)} refused", flush=True)
        self.assertLess(len(neighbour.refused), neighbour.written)
        self.assertEqual(self.d1.rows("SELECT count(*) AS n FROM app_visits")[0]["n"], neighbour.written)
        self.assertEqual(self.mode(), b"\2\2", "the file is not in WAL mode any more")
        self.assertTrue(os.path.exists(self.d1.file + "-wal"))
        with ws.database() as db:
            self.assertEqual(db.execute("PRAGMA integrity_check").fetchone()[0], "ok")

    def test_d1_local_write_transactions_are_short(self):
        ws = self.ws
        ws.make_files(400, largest=200)
        self.make_tables()
        ws.plan()
        watch = LockWatch(self.d1.file)
        ws.run("migrate", "--batch-id", "b1", expect=0)
        spans = watch.finish()
        self.assertTrue(spans, "no write transaction was seen")
        print(f"# {len(spans)} write transactions seen, median {statistics.median(spans) * 1000:.1f} ms,"
              f" longest {max(spans) * 1000:.1f} ms", flush=True)
        # Of those long enough to be seen at all; a loaded machine stops some of them for a while.
        self.assertLess(sorted(spans)[len(spans) // 4], 0.005 * bf.SLOW)

    def test_d1_local_readers_leave_the_file_as_it_is(self):
        self.make_tables()
        self.ws.make_files(3)
        self.ws.plan()
        before = self.ws.dump()
        for command in (["status"], ["status", "--batch-id", "b1"], ["rollback", "--batch-id", "b1"]):
            self.ws.run(*command)
        self.assertEqual(self.ws.dump(), before)
        self.assertEqual(self.d1.rows("SELECT count(*) AS n FROM file_migrations")[0]["n"], 3)

    def test_d1_local_backup_is_of_one_moment(self):
        ws = self.ws
        self.make_tables()
        ws.make_files(30)
        ws.plan()
        ws.run("migrate", "--batch-id", "b1", expect=0)
        neighbour = Neighbour(self.d1)
        self.addCleanup(neighbour.finish)
        ws.run("backup", "create", expect=0)
        neighbour.finish()
        self.assertEqual([r for r in neighbour.refused if "SQLITE_BUSY" not in r], [])
        self.assertEqual(len(glob.glob(os.path.join(ws.backups, "*.json"))), 1)

    def test_d1_local_none_and_several_are_listed(self):
        none = self.ws.run_on("d1:" + self.ws.path("nothing", "*.sqlite"), "status", expect=2)
        self.assertIn("nothing", none.err)
        bare = self.ws.run("status", expect=2)  # wrangler's files, without our tables
        self.assertIn(os.path.basename(self.d1.file), bare.err)
        self.assertIn("metadata.sqlite", bare.err)
        self.make_tables()
        folder = self.ws.path("two")
        os.mkdir(folder)
        with sqlite3.connect(self.d1.file) as source:
            for name in ("one.sqlite", "other.sqlite"):
                with sqlite3.connect(os.path.join(folder, name)) as copy:
                    source.backup(copy)
        shutil.copy(os.path.join(os.path.dirname(self.d1.file), "metadata.sqlite"), folder)
        several = self.ws.run_on(f"d1:{folder}/*.sqlite", "status", expect=2)
        for name in ("one.sqlite", "other.sqlite"):
            self.assertIn(name, several.err)
        self.ws.run_on(f"d1:{folder}/[mo]?[et]*.sqlite", "status", expect=0)  # metadata.sqlite and other.sqlite


class RemoteMainJob(test_mainjob.MainJob, bf.TestCase):
    store = "dir"
    tracker = "d1"


class RemoteRollback(test_rollback.Rollback, bf.TestCase):
    store = "dir"
    tracker = "d1"
    test_rollback_ten_rounds_end_clean = None  # a request takes its time: one round is in each of the others


class Remote(bf.TestCase):
    tracker = "d1"

    def setUp(self):
        super().setUp()
        self.d1 = self.ws.tracker.d1

    def planned(self, count=20):
        self.ws.make_files(count)
        self.ws.freeze()
        self.ws.run("init", expect=0)
        self.ws.plan()

    def test_d1_remote_answers_that_are_lost_are_asked_for_again(self):
        self.planned()
        self.d1.fault(status=502, after=True, times=3)  # done, and the answer lost: three requests on end
        self.ws.run("migrate", "--batch-id", "b1", expect=0)
        for _ in range(4):
            self.d1.fault(status=500, after=True)
            self.ws.run("verify", "--batch-id", "b1", expect=0)
        self.ws.check()
        self.assertEqual(self.ws.statuses(), {"verified": 20})
        self.assertEqual({r[0] for r in self.ws.sql("SELECT attempts FROM blobferry_records")}, {1})

    def test_d1_remote_rate_limit_is_waited_for(self):
        self.planned(3)
        self.d1.fault(status=429, retry_after="1", times=2)
        result = self.ws.run("status", expect=0)
        self.assertGreaterEqual(result.seconds, 2)

    def test_d1_remote_refusals_say_what_to_do(self):
        self.planned(1)
        wrong = self.ws.run("status", env={"CLOUDFLARE_API_TOKEN": "SENTINELwrongtoken"}, expect=3)
        self.assertIn("CLOUDFLARE_API_TOKEN", wrong.err)
        self.assertNotIn("SENTINEL", wrong.text)
        none = self.ws.run("status", env={"CLOUDFLARE_API_TOKEN": None}, expect=2)
        self.assertIn("CLOUDFLARE_API_TOKEN", none.err)
        url = self.ws.tracker.url()
        for bad, code in ((url + "x", 3), ("d1://account", 2), ("d1://a/b/c", 2), ("d1://a/../b", 2)):
            self.ws.tracker.url = lambda bad=bad: bad
            self.assertIn("d1", self.ws.run("status", expect=code).err)

    def test_d1_remote_missing_table_is_named(self):
        self.planned(1)
        self.d1.rows("DROP TABLE files")
        self.assertIn("files", self.ws.run("status", expect=3).err)

    def test_d1_remote_rerun_changes_no_row(self):
        self.planned()
        self.ws.run("migrate", "--batch-id", "b1", expect=0)
        self.ws.run("migrate", "--batch-id", "b1")
        rows = self.ws.sql("SELECT * FROM file_migrations ORDER BY id"), self.ws.sql("SELECT * FROM files ORDER BY id")
        self.ws.run("migrate", "--batch-id", "b1")
        self.assertEqual((self.ws.sql("SELECT * FROM file_migrations ORDER BY id"),
                          self.ws.sql("SELECT * FROM files ORDER BY id")), rows)


if __name__ == "__main__":
    unittest.main()
