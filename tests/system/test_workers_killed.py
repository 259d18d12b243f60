"""Many workers on one batch, and one of them is killed (-9) again and again while a new one takes its place: each file is PUT exactly
once after it is on record, and all are complete. Counted at the server; the database is watched from outside all the while.

BLOBFERRY_TEST_WORKERS=full (make workers): 16 workers, 5,000 files, a kill every second.
"""
import os
import random
import re
import signal
import sqlite3
import subprocess
import threading
import time
import unittest
import urllib.parse

import bf

FULL = os.environ.get("BLOBFERRY_TEST_WORKERS") == "full"
WORKERS, FILES, KILL_EVERY = (16, 5000, 1.0) if FULL else (6, 600, 0.2)
KILLS = 1 << 30 if FULL else 6  # then the others are left in peace
LIMIT = 600 if FULL else 120  # seconds
POSTGRES = os.environ.get("BLOBFERRY_TEST_POSTGRES")


class Sqlite:
    def __init__(self, ws):
        self.path, self.url = ws.db, "sqlite:" + ws.db

    def rows(self, statement):
        db = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=20)
        try:
            return db.execute(statement).fetchall()
        finally:
            db.close()

    def close(self):
        pass


class Postgres:
    """A database of its own on the test server, asked by psql."""

    def __init__(self, ws):
        name = f"workers_{os.getpid()}_{random.randrange(1 << 30)}"
        self.name = name
        self.psql(POSTGRES, f"CREATE DATABASE {name}")
        self.full = re.sub(r"^(postgres(?:ql)?://[^/?]*)(/[^?]*)?", rf"\1/{name}", POSTGRES)
        parts = urllib.parse.urlsplit(self.full)
        # a password is never taken from the command line
        self.url = self.full.replace(f":{parts.password}@", "@")
        ws.store_environment = ws.store.environment
        ws.store.environment = lambda: {**ws.store_environment(), "POSTGRES_PASSWORD": urllib.parse.unquote(parts.password)}

    @staticmethod
    def psql(url, statement):
        done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", statement, url],
                              stdout=subprocess.PIPE, text=True, check=True)
        return [tuple(line.split("\t")) for line in done.stdout.splitlines()]

    def rows(self, statement):
        return [tuple(int(v) if v.isdigit() else v for v in row) for row in self.psql(self.full, statement)]

    def close(self):
        self.psql(POSTGRES, f"DROP DATABASE {self.name} WITH (FORCE)")


class Watcher(threading.Thread):
    """Notes when each key was first seen completed, by a reader of its own."""

    def __init__(self, database):
        super().__init__(daemon=True)
        self.database, self.seen, self.stopping, self.fault = database, {}, threading.Event(), None

    def run(self):
        try:
            while not self.stopping.wait(0.05):
                self.look()
        except Exception as e:  # told by the test: a watcher that died has seen nothing
            self.fault = e

    def look(self):
        found = self.database.rows("SELECT target_r2_key FROM file_migrations WHERE status = 'completed'")
        now = time.time()
        for key, in found:
            self.seen.setdefault(key, now)


class WorkersKilled(bf.TestCase):
    store = "s3"

    def test_workers_killed_again_and_again_on_sqlite(self):
        self.herd(Sqlite(self.ws))

    def test_workers_killed_again_and_again_on_postgres(self):
        self.assertTrue(POSTGRES, "no PostgreSQL server (see: tests/run)")
        database = Postgres(self.ws)
        self.addCleanup(database.close)
        self.herd(database)

    def herd(self, database):
        ws = self.ws
        ws.profile = "ceph"
        options = ws.options
        ws.options = lambda: [database.url if word == "sqlite:" + ws.db else word for word in options()]
        ws.make_files(FILES, largest=2000)
        ws.freeze()
        ws.run("init", expect=0)
        ws.plan()
        proxy = self.proxy()
        watcher = Watcher(database)
        watcher.start()
        results, kills = self.run_herd()
        ws.finish(ws.start("migrate", "--batch-id", "b1"))  # whatever the last one killed had left
        watcher.stopping.set()
        watcher.join()
        self.assertIsNone(watcher.fault)
        print(f"# {kills} kills, {len(results)} ended by themselves, "
              f"{proxy.count('PUT', path='/file-')} PUTs of {FILES} files", flush=True)
        self.assertGreaterEqual(kills, 3)
        self.check_all(database, results, proxy, watcher, kills)

    def run_herd(self):
        """Until all workers have ended by themselves; a dead one is replaced while others still run."""
        ws, kills, results = self.ws, 0, []
        herd = [ws.start("migrate", "--batch-id", "b1") for _ in range(WORKERS)]
        next_kill = time.monotonic() + KILL_EVERY
        rng, end = random.Random(4), time.monotonic() + LIMIT * bf.SLOW
        while herd:
            self.assertLess(time.monotonic(), end, f"the herd does not end: {len(herd)} still run")
            for child in [c for c in herd if c.poll() is not None]:
                herd.remove(child)
                results.append(ws.finish(child))
            if herd and kills < KILLS and time.monotonic() >= next_kill:
                victim = rng.choice(herd)
                victim.send_signal(signal.SIGKILL)
                ws.finish(victim)
                herd.remove(victim)
                kills += 1
                if not results:  # work was left a moment ago
                    herd.append(ws.start("migrate", "--batch-id", "b1"))
                next_kill += KILL_EVERY
            time.sleep(0.02)
        return results, kills

    def check_all(self, database, results, proxy, watcher, kills):
        for result in results:
            self.assertEqual(result.code, 0, str(result))
        statuses = dict(database.rows("SELECT status, count(*) FROM file_migrations GROUP BY status"))
        self.assertEqual(statuses, {"completed": FILES})
        self.assertEqual(database.rows("SELECT status, total_files, completed_files, failed_files FROM migration_batches"),
                         [("completed", FILES, FILES, 0)])
        puts = [r for r in proxy.select("PUT", path="/file-")]
        late = [r.path for r in puts if r.time > watcher.seen.get(r.path.split("/", 2)[2], float("inf"))]
        self.assertEqual(late, [], "PUT again after they were on record")
        stored = [r.path for r in puts if 200 <= r.status < 300]
        twice = len(stored) - len(set(stored))
        self.assertEqual(len(set(stored)), FILES)
        # What a victim had sent and not recorded is sent again at most, never more than it held.
        self.assertLessEqual(twice, kills * 16)
        keys = self.ws.store.keys()
        self.assertEqual(len(keys), FILES)
        for key, checksum, source in database.rows(
                "SELECT target_r2_key, migrated_checksum, source_path FROM file_migrations"):
            self.assertIn(key, keys)
            self.assertEqual(bf.sha256(self.ws.source(source)), checksum)
        for key, source in database.rows("SELECT target_r2_key, source_path FROM file_migrations")[::25]:
            self.assertEqual(self.ws.store.get(key), self.ws.source(source))
        self.assertEqual(self.ws.snapshot(), self.ws.before)
        self.ws.run("audit", "verify", expect=0)


if __name__ == "__main__":
    unittest.main()
