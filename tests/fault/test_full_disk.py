"""The disk is full (FAILURES A7), under each folder in turn: nothing is deleted without its backup and its intent, nothing is marked done that is not,
the message names the path, and when there is room again a rerun puts all in order."""
import os
import shutil
import subprocess
import unittest

import bf


class FullDisk(bf.TestCase):
    def small(self, folder, kilobytes):
        """A file system of its own for the folder, with what lies in it."""
        keep = folder + ".keep"
        if os.path.isdir(folder):
            os.rename(folder, keep)
        os.mkdir(folder)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", folder], capture_output=True, text=True)
        if done.returncode != 0:
            self.skipTest(f"tmpfs cannot be mounted here: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", folder])
        if os.path.isdir(keep):
            shutil.copytree(keep, folder, dirs_exist_ok=True)

    def fill(self, folder, leave=0):
        """Nothing but `leave` bytes are free."""
        path = os.path.join(folder, "fill")
        try:
            with open(path, "wb", buffering=0) as f:
                while True:
                    f.write(b"x" * 4096)
        except OSError:
            pass
        os.truncate(path, max(os.path.getsize(path) - leave, 0))

    def free(self, folder):
        os.unlink(os.path.join(folder, "fill"))

    def prepared(self, migrated=True):
        ws = self.ws
        ws.make_files(12, smallest=1)
        ws.freeze()
        ws.run("init", expect=0)
        ws.plan()
        if migrated:
            ws.run("migrate", "--batch-id", "b1", expect=0)

    def refused(self, folder, *args, codes=(5,)):
        result = self.ws.run(*args)
        self.assertIn(result.code, codes, result)
        self.assertIn(os.path.basename(folder), result.err, "the message does not name the path")
        return result

    def test_full_disk_of_backups_stops_a_rollback(self):
        ws = self.ws
        self.prepared()
        self.small(ws.backups, 64)
        self.fill(ws.backups)
        self.refused(ws.backups, "rollback", "--batch-id", "b1", "--confirm", "--force")
        self.assertEqual(ws.statuses(), {"completed": 12})
        self.assertEqual([n for n in os.listdir(ws.backups) if n != "fill"], [], "half a backup is left")
        ws.check()
        self.free(ws.backups)
        ws.run("rollback", "--batch-id", "b1", "--confirm", "--force", expect=0)
        ws.check()

    def test_full_disk_of_logs_stops_a_rollback(self):
        ws = self.ws
        self.prepared()
        self.small(ws.logs, 256)
        for leave in (0, 4096, 12288):
            with self.subTest(leave=leave):
                self.fill(ws.logs, leave)
                self.refused(ws.logs, "rollback", "--batch-id", "b1", "--confirm", "--force")
                # whatever had to stop, no object went without its intent on disk
                ws.check(after_kill=True)
                self.free(ws.logs)
        result = ws.run("rollback", "--batch-id", "b1", "--confirm", "--force")
        self.assertTrue(result.code == 0 or "No migration records found" in result.err, result)
        self.assertEqual(ws.statuses(), {"rolled_back": 12})
        self.assertEqual(ws.store.keys(), set())
        ws.check()
        ws.run("audit", "verify", expect=0)

    def test_full_disk_of_logs_stops_a_migration(self):
        ws = self.ws
        self.prepared(migrated=False)
        self.small(ws.logs, 256)
        for leave in (0, 4096, 12288):
            with self.subTest(leave=leave):
                self.fill(ws.logs, leave)
                self.refused(ws.logs, "migrate", "--batch-id", "b1")
                ws.check(after_kill=True)
                self.free(ws.logs)
        ws.run("migrate", "--batch-id", "b1", expect=0)
        self.assertEqual(ws.statuses(), {"completed": 12})
        ws.check()
        ws.run("audit", "verify", expect=0)

    def test_full_disk_of_the_database(self):
        ws = self.ws
        folder = ws.path("data")
        self.small(folder, 1024)
        ws.db = os.path.join(folder, "tracking.db")
        self.prepared(migrated=False)
        self.fill(folder)
        result = self.ws.run("migrate", "--batch-id", "b1")
        self.assertEqual(result.code, 3, result)
        self.free(folder)
        ws.run("migrate", "--batch-id", "b1", expect=0)
        ws.check()
        self.fill(folder)
        self.assertEqual(ws.run("rollback", "--batch-id", "b1", "--confirm", "--force").code, 3)
        self.free(folder)
        ws.check()
        ws.run("rollback", "--batch-id", "b1", "--confirm", "--force", expect=0)
        ws.check()

    def test_full_disk_of_the_target(self):
        ws = self.ws
        folder = ws.path("bucket")
        self.small(folder, 512)
        self.prepared(migrated=False)
        self.fill(folder)
        result = ws.run("migrate", "--batch-id", "b1")
        self.assertIn(result.code, (1, 4, 5), result)
        self.assertNotIn("completed", ws.statuses())
        ws.check()
        self.free(folder)
        ws.run("migrate", "--batch-id", "b1", "--retry-failed", expect=0)
        ws.check()


if __name__ == "__main__":
    unittest.main()
