"""Backups as a user makes, shows, restores and prunes them; what they hold is read by json and sqlite3, never by the program."""
import base64
import glob
import hashlib
import json
import os
import re
import unittest

import bf

TABLES = ("migration_batches", "file_migrations", "files", "blobferry_records")


class Backup(bf.TestCase):
    def newest(self):
        return max(glob.glob(self.ws.path("backups", "*.json*")), key=os.path.getmtime)

    def value(self, v):
        """A value of the backup as sqlite3 gives it."""
        if not isinstance(v, dict):
            return v
        (form, text), = v.items()
        if form == "b64":
            return ("text", base64.b64decode(text))
        return {"blob": base64.b64decode, "integer": int, "real": float}[form](text)

    def stored(self, table):
        """The rows in the database, texts that are no UTF-8 or hold a NUL as bytes."""
        with self.ws.database() as db:
            db.text_factory = bytes
            names = [r[1].decode() for r in db.execute(f"PRAGMA table_info({table})")]
            rows = []
            for row in db.execute(f"SELECT {', '.join(names)}, {', '.join(f'typeof({n})' for n in names)} FROM {table}"):
                values = {}
                for name, v, kind in zip(names, row, row[len(names):]):
                    if kind == b"text":
                        try:
                            v = v.decode() if b"\0" not in v else ("text", v)
                        except UnicodeDecodeError:
                            v = ("text", v)
                    values[name] = v
                rows.append(values)
            return sorted(rows, key=repr)

    def test_backup_holds_every_row_byte_by_byte(self):
        ws = self.ws
        ws.migrated(5)
        with ws.database(write=True) as db:
            db.execute("UPDATE files SET filename = CAST(x'ff00fe' AS TEXT) WHERE id ="
                       " (SELECT file_id FROM file_migrations ORDER BY source_path LIMIT 1)")
            db.execute("UPDATE file_migrations SET error_message = '' WHERE source_path ="
                       " (SELECT min(source_path) FROM file_migrations)")
            db.execute("UPDATE file_migrations SET error_message = 'a' || char(0) || 'b', original_checksum = x'00ff'"
                       " WHERE source_path = (SELECT max(source_path) FROM file_migrations)")
        made = ws.run("--json", "backup", "create", "--batch-id", "b1", expect=0).json()
        with open(made["file"], "rb") as f:
            data = f.read()
        document = json.loads(data)
        signed = data[:data.rindex(b',"sha256"')]
        self.assertEqual(hashlib.sha256(signed).hexdigest(), document["sha256"])
        self.assertEqual(made["sha256"], document["sha256"])
        for table in TABLES:
            rows = sorted(({k: self.value(v) for k, v in row.items()} for row in document["tables"][table]), key=repr)
            self.assertEqual(rows, self.stored(table), table)

    def test_backup_restore_brings_a_damaged_database_back(self):
        ws = self.ws
        ws.migrated(6)
        before = ws.dump()
        made = ws.run("--json", "backup", "create", expect=0).json()["file"]
        ws.change("UPDATE file_migrations SET migrated_checksum = NULL, status = 'failed', error_message = ?", "x" * 70000)
        ws.change("UPDATE files SET r2_key = NULL")
        ws.change("DELETE FROM blobferry_records WHERE record_id = (SELECT max(record_id) FROM blobferry_records)")
        damaged = ws.dump()
        preview = ws.run("backup", "restore", made, expect=0)
        self.assertIn("dry run", preview.out)
        self.assertEqual(ws.dump(), damaged, "a preview has written")
        document = ws.run("--json", "backup", "restore", made, "--confirm", expect=0).json()
        self.assertEqual(document["preview"]["file_migrations"]["changed"], 6)
        after = ws.dump()
        for table in TABLES:
            self.assertEqual(after[table], before[table], table)
        ws.check()
        # what was there before the restore was kept as well
        self.assertTrue(os.path.exists(document["before"]))
        ws.run("backup", "restore", document["before"], "--confirm", "--database-only", expect=0)
        self.assertEqual(ws.dump()["file_migrations"], damaged["file_migrations"])

    def test_backup_of_a_rollback_is_refused_while_its_objects_are_gone(self):
        ws = self.ws
        ws.migrated(3)
        ws.run("rollback", "--batch-id", "b1", "--confirm", "--force", expect=0)
        after = ws.dump()
        result = ws.run("backup", "restore", self.newest(), "--confirm")
        self.assertNotEqual(result.code, 0)
        self.assertIn("3 are not there", result.text)
        self.assertEqual(ws.dump()["files"], after["files"])
        ws.check()

    def test_backup_damaged_in_any_way_is_refused_and_kept(self):
        ws = self.ws
        ws.migrated(2)
        made = ws.run("--json", "backup", "create", expect=0).json()["file"]
        with open(made, "rb") as f:
            good = f.read()
        middle = good.index(b'"file_migrations":[{') + 40
        cases = {"cut": good[:-1], "half": good[:len(good) // 2], "empty": b"", "longer": good + b" ",
                 "flipped": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1:],
                 "foreign": b'{"format":"pg_dump"}',
                 "sum": re.sub(rb'("sha256":")(.)', lambda m: m[1] + (b"1" if m[2] == b"0" else b"0"), good)}
        before = ws.dump()
        for name, data in cases.items():
            with self.subTest(name):
                with open(made, "wb") as f:
                    f.write(data)
                self.assertNotEqual(ws.run("backup", "restore", made).code, 0)
                self.assertNotEqual(ws.run("backup", "restore", made, "--confirm").code, 0)
                self.assertNotEqual(ws.run("backup", "show", made).code, 0)
                self.assertIn("NOT whole", ws.run("backup", "list", expect=1).out)
                os.utime(made, (0, 0))
                ws.run("backup", "prune", "--older-than", "1h", "--confirm")
                self.assertTrue(os.path.exists(made), "what is not proven ours was removed")
        self.assertEqual(ws.dump(), before)

    def test_backup_prune_keeps_the_young(self):
        ws = self.ws
        ws.migrated(2)
        old = ws.run("--json", "backup", "create", expect=0).json()["file"]
        young = ws.run("--json", "backup", "create", expect=0).json()["file"]
        with open(old, "rb") as f:
            data = f.read()
        # a backup's age is what it says of itself, under its checksum
        body = re.sub(rb'"created":"\d{4}', b'"created":"2001', data[:data.rindex(b',"sha256"')], count=1)
        with open(old, "wb") as f:
            f.write(body + b',"sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'"}' + data[data.rindex(b'}') + 1:])
        ws.run("backup", "show", old, expect=0)
        ws.run("backup", "prune", "--older-than", "7d", expect=0)
        self.assertTrue(os.path.exists(old), "a preview has removed")
        ws.run("backup", "prune", "--older-than", "7d", "--confirm", expect=0)
        self.assertEqual(sorted(os.listdir(ws.backups)), [os.path.basename(young)])

    def test_backup_encrypted_shows_nothing_without_the_key(self):
        ws = self.ws
        ws.migrated(3)
        key = ws.path("backup.key")
        with open(key, "w") as f:
            f.write("ab" * 32 + "\n")
        os.chmod(key, 0o600)
        env = {"BLOBFERRY_BACKUP_KEY_FILE": key}
        made = ws.run("--json", "backup", "create", env=env, expect=0).json()["file"]
        with open(made, "rb") as f:
            data = f.read()
        self.assertTrue(made.endswith(".enc"))
        for secret in (b"file-0000", b"file_migrations", b"ab" * 8):
            self.assertNotIn(secret, data[data.index(b"\n"):])
        ws.run("backup", "show", made, env=env, expect=0)
        result = ws.run("backup", "restore", made, "--confirm", expect=2)
        self.assertIn("key", result.err)
        with open(key, "w") as f:
            f.write("ac" * 32 + "\n")
        self.assertNotEqual(ws.run("backup", "restore", made, "--confirm", env=env).code, 0)


class BackupOnS3(bf.TestCase):
    store = "s3"

    def test_backup_restore_looks_at_the_objects_in_the_bucket(self):
        ws = self.ws
        ws.migrated(4)
        before = ws.dump()
        made = ws.run("--json", "backup", "create", expect=0).json()["file"]
        ws.change("UPDATE files SET r2_key = NULL")
        ws.change("UPDATE file_migrations SET status = 'failed', error_message = 'x'")
        key = sorted(ws.store.keys())[0]
        body = ws.store.get(key)
        ws.store.put(key, b"something else")
        result = ws.run("backup", "restore", made, "--confirm")
        self.assertNotEqual(result.code, 0, result)
        self.assertIn("1 are others", result.text)
        self.assertEqual(ws.statuses(), {"failed": 4})
        ws.store.delete(key)
        self.assertIn("1 are not there", ws.run("backup", "restore", made, "--confirm").text)
        ws.store.put(key, body)  # the bytes, yet not our object: no metadata, and its ETag is the same by chance only
        ws.run("backup", "restore", made, "--confirm", "--database-only", expect=0)
        for table in TABLES:
            self.assertEqual(ws.dump()[table], before[table], table)


if __name__ == "__main__":
    unittest.main()
