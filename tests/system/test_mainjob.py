"""The main job as a user does it, on both drivers: init, plan, migrate, verify, status, rollback, audit."""
import glob
import json
import os
import re
import unittest

import bf

NAMES = ("plain.txt", "Résumé – Zoë.pdf", "写真/2024 Ø.jpg", "two  spaces.txt", "percent%20literal", "plus+sign",
         "it's", 'double "quotes"', "what?&b=c#d", "back\\slash", "-rf", ".hidden", "emoji 🚀", "<b>.html",
         "{user_id}.txt", "'; DROP TABLE files; --", "x" * 200, "trailing space ", "a/b/c/d/e/deep.bin")


class MainJob:
    def test_mainjob_from_plan_to_rollback(self):
        ws = self.ws
        for n, name in enumerate(NAMES):
            ws.write(name, f"content {n} of {name}".encode())
        ws.write("empty", b"")
        ws.write("big.bin", bytes(range(256)) * 4096 * 17 + b"odd")  # over the part size: multipart on S3
        ws.make_files(20)
        ws.freeze()
        total = len(NAMES) + 22
        ws.run("init", expect=0)
        ws.plan("b-1", "user'1")
        self.assertEqual(ws.statuses(), {"pending": total})
        ws.check()

        ws.run("migrate", "--batch-id", "b-1", expect=0)
        rows = ws.check()
        self.assertEqual(ws.statuses(), {"completed": total})
        self.assertEqual(ws.store.keys(), {r["target_r2_key"] for r in rows})
        self.assertEqual({r["target_r2_key"] for r in rows},
                         {os.path.relpath(ws.source_of(r), ws.sources) for r in rows})
        self.assertEqual({r["user_id"] for r in rows}, {"user'1"})
        for row in rows:
            self.assertEqual(row["file_size"], os.path.getsize(ws.source_of(row)))
            self.assertEqual(row["filename"], os.path.basename(row["source_path"]))

        ws.run("verify", "--batch-id", "b-1", expect=0)
        self.assertEqual(ws.statuses(), {"verified": total})
        ws.run("verify", "--batch-id", "b-1", "--deep", "--sources", expect=0)
        ws.check()

        status = ws.run("status", expect=0).out
        self.assertIn("b-1", status)
        self.assertRegex(status, rf"\b{total}\b")

        dump, keys = ws.dump(), ws.store.keys()
        preview = ws.run("rollback", "--batch-id", "b-1", expect=0)
        self.assertIn("dry run", preview.text)
        self.assertEqual(ws.dump(), dump)
        self.assertEqual(ws.store.keys(), keys)
        self.assertEqual(glob.glob(ws.backups + "/*.json"), [])

        ws.run("rollback", "--batch-id", "b-1", "--confirm", "--force", expect=0)
        ws.check()
        self.assertEqual(ws.store.keys(), set())
        self.assertEqual(ws.statuses(), {"rolled_back": total})
        self.assertEqual(ws.sql("SELECT count(*) FROM files WHERE r2_key IS NOT NULL OR checksum IS NOT NULL")[0][0], 0)
        self.assertEqual(len(glob.glob(ws.backups + "/migration_backup_*.json")), 1)

        ws.run("audit", "verify", expect=0)
        actions = {e["action"] for e in ws.audit()}
        self.assertLessEqual({"log_begin", "run_begin", "run_end", "upload_intent", "rollback_intent"}, actions)

    def test_mainjob_rollback_twice_and_migrate_again(self):
        ws = self.ws
        ws.migrated(5)
        ws.run("rollback", "--batch-id", "b1", "--confirm", "--force", expect=0)
        dump = ws.dump()["file_migrations"]
        again = ws.run("rollback", "--batch-id", "b1", "--confirm", "--force", expect=1)
        self.assertIn("No migration records found", again.err)
        self.assertEqual(ws.dump()["file_migrations"], dump)
        ws.run("migrate", "--batch-id", "b1", "--again", expect=0)
        ws.check()
        self.assertEqual(ws.statuses(), {"completed": 5})
        ws.run("rollback", "--batch-id", "b1", "--confirm", "--force", expect=0)
        ws.check()
        self.assertEqual(ws.store.keys(), set())

    def test_mainjob_rollback_is_exact_to_the_batch(self):
        ws = self.ws
        ws.make_files(6)
        ws.run("init", expect=0)
        for n in range(3):
            ws.run("plan", "--from-dir", ws.path("files", f"d{n}"), "--batch-id", f"b_{n}", "--user-id", "u",
                   "--key-template", f"{n}/{{path}}", expect=0)
        ws.plan("b_", "u", "--key-template", "all/{path}")
        ws.run("migrate", "--all", expect=0)
        ws.freeze()
        ws.run("rollback", "--batch-id", "b_", "--confirm", "--force", expect=0)
        ws.check()
        self.assertEqual(ws.statuses("b_"), {"rolled_back": 6})
        for n in range(3):
            self.assertEqual(ws.statuses(f"b_{n}"), {"completed": 1})
        self.assertEqual({k.split("/")[0] for k in ws.store.keys()}, {"0", "1", "2"})

    def test_mainjob_logs_backup_and_manifest(self):
        ws = self.ws
        ws.migrated(4)
        ws.run("verify", "--batch-id", "b1", expect=0)
        ws.run("rollback", "--batch-id", "b1", "--confirm", "--force", expect=0)
        for command in ("init", "plan", "migrate", "verify", "rollback"):
            logs = [f for f in os.listdir(ws.logs) if re.fullmatch(rf"{command}_\d{{8}}_\d{{6}}(-\d+)?\.log", f)]
            self.assertEqual(len(logs), 1, os.listdir(ws.logs))
            self.assertGreater(os.path.getsize(os.path.join(ws.logs, logs[0])), 0)
        for where, _, names in os.walk(ws.dir):
            for name in names:
                path = os.path.join(where, name)
                if path.startswith((ws.logs, ws.backups)):
                    self.assertEqual(os.stat(path).st_mode & 0o077, 0, f"others may read '{path}'")
        with open(os.path.join(ws.batches, "b1.json")) as f:
            manifest = json.load(f)
        self.assertEqual(manifest["batch_id"], "b1")
        reports = glob.glob(ws.logs + "/rollback_audit_*.json")
        self.assertEqual(len(reports), 1)
        with open(reports[0]) as f:
            report = json.load(f)
        self.assertEqual(report["stats"]["total_files"], 4)
        self.assertEqual(report["stats"]["database_rollbacks"], 4)
        self.assertEqual(report["stats"]["r2_deletions"], 4)
        self.assertEqual(report["stats"]["failures"], 0)
        self.assertGreaterEqual({o["target_r2_key"] for o in report["operations"]},
                                {r["target_r2_key"] for r in ws.rows()})

    def test_mainjob_json_is_one_document(self):
        ws = self.ws
        ws.make_files(3)
        ws.freeze()
        for args, code in (
                (("init",), 0), (("plan", "--from-dir", ws.sources, "--batch-id", "j", "--user-id", "u"), 0),
                (("migrate", "--batch-id", "j"), 0), (("verify", "--batch-id", "j", "--deep"), 0),
                (("status",), 0), (("status", "--batch-id", "j"), 0), (("status", "--batch-id", "nope"), 1),
                (("migrate", "--batch-id", "nope"), 1), (("rollback", "--batch-id", "j"), 0),
                (("rollback", "--batch-id", "j", "--confirm", "--force"), 0), (("audit", "verify"), 0)):
            with self.subTest(args=args):
                result = ws.run("--json", *args, expect=code)
                document = result.json()
                self.assertEqual(document["exit_code"], code)
                self.assertEqual("error" in document and document["error"] is not None, code != 0)
                self.assertTrue(result.out.endswith("}\n"))
        ws.check()


class DirMainJob(MainJob, bf.TestCase):
    store = "dir"


class PostgresMainJob(MainJob, bf.TestCase):
    store = "dir"
    tracker = "postgres"


class S3MainJob(MainJob, bf.TestCase):
    store = "s3"

    def test_mainjob_objects_carry_provenance(self):
        ws = self.ws
        ws.write("letter.txt", b"dear")
        ws.write("photo.jpg", b"\xff\xd8")
        ws.migrated(0)
        for name, kind in (("letter.txt", "text/plain"), ("photo.jpg", "image/jpeg")):
            row, head = ws.row(name), ws.store.head(name)
            self.assertTrue(head["ContentType"].startswith(kind), head["ContentType"])
            self.assertEqual(head["Metadata"]["blobferry-id"], row["id"])
            self.assertEqual(head["Metadata"]["blobferry-batch"], "b1")
            self.assertEqual(head["Metadata"]["blobferry-sha256"], row["migrated_checksum"])

    def test_mainjob_target_prefix(self):
        ws = self.ws
        ws.store.target += "/some/prefix"
        ws.migrated(3)
        ws.check()
        self.assertTrue(all(k.startswith("some/prefix/") for k in ws.store.keys()))
        ws.run("rollback", "--batch-id", "b1", "--confirm", "--force", expect=0)
        self.assertEqual(ws.store.keys(), set())


if __name__ == "__main__":
    unittest.main()
