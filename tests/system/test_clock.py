"""The clock jumps (FAILURES A8): far ahead, behind, over a change of summer time, in any zone; stamps are UTC, nothing is lost or told twice."""
import glob
import os
import unittest

import bf

PRELOAD = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)


class Clock(bf.TestCase):
    def setUp(self):
        if bf.SANITIZER:
            self.skipTest("libfaketime and the sanitizer do not go together")
        if PRELOAD is None:
            self.skipTest("no libfaketime (see: make deps)")
        super().setUp()

    def at(self, when, *args, zone="UTC", expect=0):
        env = {"LD_PRELOAD": PRELOAD, "FAKETIME": when, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1", "TZ": zone}
        return self.ws.run(*args, env=env, expect=expect)

    def whole(self):
        document = self.ws.run("--json", "audit", "verify", expect=0).json()
        self.assertEqual(document["in_doubt"], 0)
        for entry in self.ws.audit():
            self.assertGreaterEqual(entry.get("duration_ms", 0), 0, entry)

    def story(self, plan, migrate, verify, back, zone="UTC"):
        ws = self.ws
        ws.make_files(5)
        ws.freeze()
        self.at(plan, "init", zone=zone)
        self.at(plan, "plan", "--from-dir", ws.sources, "--batch-id", "b1", "--user-id", "u1", zone=zone)
        self.at(migrate, "migrate", "--batch-id", "b1", zone=zone)
        self.assertEqual(ws.statuses(), {"completed": 5})
        self.at(verify, "verify", "--batch-id", "b1", zone=zone)
        self.assertEqual(ws.statuses(), {"verified": 5})
        self.at(back, "rollback", "--batch-id", "b1", "--confirm", "--force", zone=zone)
        self.assertEqual(ws.statuses(), {"rolled_back": 5})
        self.assertEqual(ws.store.keys(), set())
        self.whole()

    def test_clock_in_2038_and_after(self):
        self.story("2038-01-19 03:14:06", "2038-01-19 03:14:08", "2039-01-01 00:00:00", "2106-02-07 06:28:17")
        self.assertEqual({r["completed_at"][:10] for r in self.ws.rows()}, {"2038-01-19"})

    def test_clock_that_goes_back_between_commands(self):
        self.story("2026-11-21 12:00:00", "2026-11-20 12:00:00", "2025-01-01 00:00:00", "2024-02-29 23:59:59")

    def test_clock_at_the_end_of_summer_time(self):
        """The hour that comes twice, in a zone that has one; stamps are UTC all the same."""
        self.story("2026-11-01 01:59:50", "2026-11-01 01:59:58", "2026-11-01 02:30:00", "2026-11-01 03:00:00",
                   zone="America/New_York")
        self.assertEqual({r["started_at"][:13] for r in self.ws.rows()}, {"2026-11-01 05"})

    def test_clock_day_of_a_date_range_is_a_day_in_utc(self):
        ws = self.ws
        ws.make_files(2)
        self.at("2026-03-01 00:30:00", "init")
        self.at("2026-03-01 00:30:00", "plan", "--from-dir", ws.sources, "--batch-id", "b1", "--user-id", "u1")
        # half past twelve at night of the second in Kiritimati is still the morning of the first in UTC
        self.at("2026-03-02 00:30:00", "migrate", "--batch-id", "b1", zone="Pacific/Kiritimati")
        self.assertEqual({r["started_at"] for r in ws.rows()}, {"2026-03-01 10:30:00"})
        ws.run("rollback", "--start-date", "2026-03-02", "--end-date", "2026-03-02", expect=1)
        self.assertIn("would roll back 2 files",
                      ws.run("rollback", "--start-date", "2026-03-01", "--end-date", "2026-03-01", expect=0).out)

    def test_clock_stands_still_and_no_file_is_written_over(self):
        """Several runs within one second: logs, backups and reports keep names of their own."""
        ws = self.ws
        ws.make_files(2)
        for args in (("init",), ("plan", "--from-dir", ws.sources, "--batch-id", "b1", "--user-id", "u1")):
            self.at("@2026-05-05 05:05:05", *args)
        for n in range(3):
            self.at("2026-05-05 05:05:05", "migrate", "--batch-id", "b1", *(["--again"] if n else []))
            self.at("2026-05-05 05:05:05", "rollback", "--batch-id", "b1", "--confirm", "--force")
        self.assertEqual(len(glob.glob(os.path.join(ws.logs, "migrate_*.log"))), 3)
        self.assertEqual(len(glob.glob(os.path.join(ws.logs, "rollback_2*.log"))), 3)
        self.assertEqual(len(glob.glob(os.path.join(ws.logs, "rollback_audit_*.json"))), 3)
        self.assertEqual(len(os.listdir(ws.backups)), 3)
        self.whole()


if __name__ == "__main__":
    unittest.main()
