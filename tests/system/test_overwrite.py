"""--if-exists=overwrite keeps what it replaces, and a rollback puts it back."""
import os
import unittest

import bf


class Overwrite:
    OLD = b"the application's own object " * 50

    def test_overwrite_is_put_back_by_rollback(self):
        ws = self.ws
        ws.make_files(3)
        ws.freeze()
        ws.run("init", expect=0)
        ws.plan()
        key = ws.rows()[0]["target_r2_key"]
        ws.store.put(key, self.OLD)
        ws.run("migrate", "--batch-id", "b1", expect=1)
        self.assertEqual(ws.store.get(key), self.OLD)
        ws.run("migrate", "--batch-id", "b1", "--retry-failed", "--if-exists", "overwrite", expect=0)
        ws.check()
        self.assertNotEqual(ws.store.get(key), self.OLD)
        ws.run("rollback", "--batch-id", "b1", "--confirm", "--force", expect=0)
        self.assertEqual(ws.store.keys(), {key})
        self.assertEqual(ws.store.get(key), self.OLD)
        ws.check()
        ws.run("audit", "verify", expect=0)

    def test_overwrite_of_a_spoilt_copy_stays_owed(self):
        ws = self.ws
        ws.make_files(2)
        ws.run("init", expect=0)
        ws.plan()
        key = ws.rows()[0]["target_r2_key"]
        ws.store.put(key, self.OLD)
        ws.run("migrate", "--batch-id", "b1", "--if-exists", "overwrite", expect=0)
        folder = os.path.join(ws.backups, "overwritten")
        copy = [os.path.join(folder, n) for n in os.listdir(folder) if n.endswith(".bin")]
        self.assertEqual(len(copy), 1)
        os.rename(copy[0], copy[0] + ".away")
        with open(copy[0], "wb") as f:
            f.write(b"something else")
        ws.run("rollback", "--batch-id", "b1", "--confirm", "--force", expect=1)
        self.assertEqual(ws.store.keys(), set())
        os.rename(copy[0] + ".away", copy[0])
        ws.run("rollback", "--batch-id", "b1", "--confirm", "--force", expect=0)
        self.assertEqual(ws.store.get(key), self.OLD)


class DirOverwrite(Overwrite, bf.TestCase):
    store = "dir"


class PostgresOverwrite(Overwrite, bf.TestCase):
    store = "dir"
    tracker = "postgres"


class S3Overwrite(Overwrite, bf.TestCase):
    store = "s3"


if __name__ == "__main__":
    unittest.main()
