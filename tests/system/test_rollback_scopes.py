"""Every combination of rollback's scopes, against a selection computed here, in Python, from the rows; executed, and checked in database and
bucket by sqlite3, psycopg2 and the store's own files."""
import datetime
import itertools
import os
import shutil
import unittest

import bf

UTC = datetime.timezone.utc
DAYS = [datetime.datetime(2026, 3, d, tzinfo=UTC) for d in (1, 2, 3)]


def forms(instant):
    """One instant as databases write it: text with blank or T, fractions, Z, offsets; epoch seconds and milliseconds."""
    seconds = int(instant.timestamp())
    east = instant.astimezone(datetime.timezone(datetime.timedelta(hours=5, minutes=30)))
    return [instant.strftime("%Y-%m-%d %H:%M:%S"), instant.strftime("%Y-%m-%dT%H:%M:%SZ"),
            instant.strftime("%Y-%m-%d %H:%M:%S.250"), instant.strftime("%Y-%m-%dT%H:%M:%S+00:00"),
            east.strftime("%Y-%m-%dT%H:%M:%S+05:30"), seconds, seconds * 1000]


class Scopes:
    store = "dir"
    every = 1  # of the combinations, one in so many is tried

    def setUp(self):
        super().setUp()
        ws = self.ws
        for batch, user in itertools.product(("b1", "b2", "b_"), ("u1", "u_", "u%")):
            for n in range(4):
                ws.write(f"{batch}/{user}/{n}.bin", f"{batch} {user} {n}".encode())
        ws.run("init", expect=0)
        lost = []
        for batch in ("b1", "b2", "b_"):
            with open(ws.path(batch + ".csv"), "w", encoding="utf-8") as f:
                f.write("source_path,user_id\n")
                for user, n in itertools.product(("u1", "u_", "u%"), range(4)):
                    f.write(f"{batch}/{user}/{n}.bin,{user}\n")
            ws.run("plan", "--from-csv", ws.path(batch + ".csv"), "--batch-id", batch, expect=0)
            lost += [ws.path("files", batch, user, "3.bin") for user in ("u1", "u_", "u%")]
        for name in lost:
            os.rename(name, name + ".away")
        ws.run("migrate", "--all", expect=1)
        for name in lost:
            os.rename(name + ".away", name)
        self.spread_over_days()
        self.saved = ws.path("saved")
        os.mkdir(self.saved)
        ws.tracker.save()
        shutil.copytree(ws.path("bucket"), os.path.join(self.saved, "bucket"))

    def spread_over_days(self):
        """started_at in every form, at the first and the last instant of days and between; what no clock says as well."""
        self.instants = {}
        for i, row in enumerate(self.ws.rows()):
            day = DAYS[i % 3]
            instant = day + [datetime.timedelta(0), datetime.timedelta(hours=12),
                             datetime.timedelta(hours=23, minutes=59, seconds=59)][i % 7 % 3]
            instant, value = self.spread(i, instant)
            self.instants[row["id"]] = instant
            self.ws.change("UPDATE file_migrations SET started_at = ? WHERE id = ?", value, row["id"])

    def spread(self, i, instant):
        """The instant that row i gets, if any, and its form in the database."""
        odd = ["31/01/2024", "2026-02-30 00:00:00", "yesterday", None]
        if i % 9 == 4:
            return None, odd[i // 9 % 4]
        return instant, forms(instant)[i % 7]

    def expected(self, batch, user, start, end, failed_only):
        chosen = set()
        for row in self.ws.rows():
            wanted = ("failed",) if failed_only else ("completed", "verified")
            instant = self.instants[row["id"]]
            if row["status"] not in wanted or (batch and row["batch_id"] != batch) or (user and row["user_id"] != user):
                continue
            if (start or end) and instant is None:
                continue
            if start and instant < start or end and instant >= end + datetime.timedelta(days=1):
                continue
            chosen.add(row["id"])
        return chosen

    def restore(self):
        ws = self.ws
        ws.tracker.restore()
        shutil.rmtree(ws.path("bucket"))
        shutil.copytree(os.path.join(self.saved, "bucket"), ws.path("bucket"))

    def one(self, batch, user, start, end, failed_only):
        ws = self.ws
        args = ["rollback"]
        for flag, value in (("--batch-id", batch), ("--user-id", user), ("--start-date", start and f"{start:%Y-%m-%d}"),
                            ("--end-date", end and f"{end:%Y-%m-%d}")):
            if value:
                args += [flag, value]
        if failed_only:
            args.append("--failed-only")
        want = self.expected(batch, user, start, end, failed_only)
        before = {r["id"]: r for r in ws.rows()}
        preview = ws.run(*args, "--json", expect=0 if want else 1)
        if want:
            self.assertEqual(preview.json()["preview"]["files"], len(want))
        ws.run(*args, "--confirm", "--force", expect=0 if want else 1)
        after = {r["id"]: r for r in ws.rows()}
        self.assertEqual({i for i in after if after[i]["status"] == "rolled_back"}, want)
        self.assertEqual({i: r["status"] for i, r in after.items() if i not in want},
                         {i: r["status"] for i, r in before.items() if i not in want})
        kept = {r["target_r2_key"] for i, r in after.items() if r["status"] == "completed"}
        self.assertEqual(ws.store.keys(), kept)
        self.assertEqual({r["r2_key"] for r in after.values()} - {None}, kept)

    def test_rollback_scopes_every_combination(self):
        count = 0
        for batch, user, start, end, failed in itertools.product((None, "b1", "b_"), (None, "u1", "u_"), (None, DAYS[1]),
                                                                 (None, DAYS[1], DAYS[2]), (False, True)):
            if not (batch or user or start or end or failed):
                continue
            count += 1
            if count % self.every:
                continue
            with self.subTest(batch=batch, user=user, start=start, end=end, failed=failed):
                self.one(batch, user, start, end, failed)
            self.restore()
        self.assertEqual(count, 3 * 3 * 2 * 3 * 2 - 1)

    def test_rollback_scopes_full(self):
        ws = self.ws
        ws.run("rollback", "--full-rollback", "--confirm", "--force", expect=0)
        self.assertEqual(ws.store.keys(), set())
        self.assertEqual(ws.statuses(), {"rolled_back": 27, "failed": 9})
        ws.check()


class SqliteScopes(Scopes, bf.TestCase):
    pass


class PostgresScopes(Scopes, bf.TestCase):
    """Times are times there: nothing but infinity cannot be read."""
    tracker = "postgres"
    every = 12

    def spread(self, i, instant):
        if i % 9 == 4:
            return None, ["infinity", None][i // 9 % 2]
        return instant, f"{instant:%Y-%m-%d %H:%M:%S}+00"


class Dense(bf.TestCase):
    store = "s3"

    def test_rollback_dense_selection_costs_few_requests(self):
        """At most one request for a hundred files (DESIGN section 5; docs/decisions/0007)."""
        ws = self.ws
        ws.profile = "ceph"
        ws.make_files(2000, smallest=10, largest=40)
        ws.freeze()
        ws.run("init", expect=0)
        ws.plan()
        ws.run("migrate", "--batch-id", "b1", expect=0, limit=120)
        proxy = self.proxy()
        ws.run("rollback", "--batch-id", "b1", "--confirm", "--force", expect=0, limit=120)
        self.assertEqual(ws.store.keys(), set())
        self.assertEqual(proxy.count("HEAD"), 0)
        self.assertLessEqual(proxy.count("GET") + proxy.count("POST") + proxy.count("DELETE") + proxy.count("PUT"), 20)
        ws.check()


class Rounds(bf.TestCase):
    store = "dir"

    def test_rollback_fifty_rounds_end_clean(self):
        ws = self.ws
        ws.make_files(8)
        ws.freeze()
        ws.run("init", expect=0)
        ws.plan()
        ws.run("migrate", "--batch-id", "b1", expect=0)
        for _ in range(50):
            ws.run("rollback", "--batch-id", "b1", "--confirm", "--force", "--no-backup", expect=0)
            self.assertEqual(ws.store.keys(), set())
            ws.run("migrate", "--batch-id", "b1", "--again", expect=0)
        ws.check()
        self.assertEqual(ws.statuses(), {"completed": 8})
        ws.run("audit", "verify", expect=0)


if __name__ == "__main__":
    unittest.main()
