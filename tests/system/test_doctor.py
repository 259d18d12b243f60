"""doctor: what is found is true, secrets stay secret, and only uploads of ours that nobody needs are aborted."""
import os
import signal
import unittest

import bf

MIB = 1 << 20


class Doctor(bf.TestCase):
    store = "s3"

    def checks(self, *args, expect=0, **more):
        result = self.ws.run("--json", "doctor", *args, expect=expect, **more)
        document = result.json()
        return {c["check"]: c for c in document["checks"] + document["upload_checks"]}, document, result

    def test_doctor_all_is_well(self):
        ws = self.ws
        ws.run("init", expect=0)
        ws.make_files(3)
        ws.plan()
        before = ws.dump()
        checks, document, result = self.checks()
        self.assertEqual({c["status"] for c in checks.values()}, {"ok"}, result)
        self.assertEqual(set(checks), {"credentials", "bucket", "clock", "endpoint", "database", "source-root", "log-dir",
                                       "backup-dir", "batch-dir", "uploads"})
        self.assertIn("checks-payload", checks["endpoint"]["message"])  # Ceph does
        self.assertIn("3 rows", checks["database"]["message"])
        self.assertNotIn(os.environ["AWS_SECRET_ACCESS_KEY"], result.text)
        origins = {s["name"]: s["origin"] for s in document["settings"]}
        self.assertEqual((origins["target"], origins["max-retries"]), ("--target", "default"))
        self.assertEqual(ws.store.keys(), set(), "the probe left something")
        self.assertEqual(ws.dump(), before)
        text = ws.run("doctor", expect=0)
        self.assertIn("10 ok, 0 warnings, 0 failed", text.out)

    def test_doctor_without_a_probe_writes_nothing(self):
        ws = self.ws
        ws.run("init", expect=0)
        proxy = self.proxy()
        checks, _, _ = self.checks("--no-probe")
        self.assertNotIn("endpoint", checks)
        self.assertEqual(proxy.writes(), [])

    def test_doctor_says_what_is_wrong_and_looks_at_the_rest(self):
        ws = self.ws
        ws.run("init", expect=0)
        checks, _, _ = self.checks(expect=4, env={"AWS_SECRET_ACCESS_KEY": "wrong"})
        self.assertEqual((checks["bucket"]["status"], checks["database"]["status"]), ("failed", "ok"))
        checks, _, _ = self.checks(expect=2, env={"AWS_SECRET_ACCESS_KEY": None})
        self.assertEqual(checks["credentials"]["status"], "failed")
        self.assertTrue(checks["credentials"]["hint"])
        os.rename(ws.sources, ws.sources + ".away")
        checks, _, _ = self.checks(expect=5)
        self.assertEqual((checks["source-root"]["status"], checks["bucket"]["status"]), ("failed", "ok"))
        os.rename(ws.sources + ".away", ws.sources)
        ws.change("DROP TABLE file_migrations")
        checks, _, result = self.checks(expect=3)
        self.assertEqual(checks["database"]["status"], "failed", result)
        self.assertIn("file_migrations", checks["database"]["message"])

    def test_doctor_a_profile_that_promises_too_much(self):
        """Ceph 16 as 'aws': it keeps no SHA-256, whatever it is called."""
        ws = self.ws
        ws.run("init", expect=0)
        ws.profile = "aws"
        checks, _, result = self.checks()
        self.assertEqual(checks["endpoint"]["status"], "warning", result)
        self.assertIn("store-profile other", checks["endpoint"]["hint"])

    def test_doctor_aborts_only_what_nobody_needs(self):
        ws = self.ws
        client, bucket = ws.store.client, ws.store.bucket
        ws.write("big.bin", os.urandom(12 * MIB))
        ws.write("done.bin", b"done")
        ws.run("init", expect=0)
        ws.plan()
        ws.profile = "ceph"
        proxy = self.proxy(bf.Fault("delay", 30, op="UploadPart", path="big.bin", skip=1, times=0))
        child = ws.start("migrate", "--batch-id", "b1", "--part-size", "5M")
        bf.wait_for(lambda: ws.store.uploads() and proxy.count(op="UploadPart") > 1, what="an upload")
        bf.wait_for(lambda: ws.statuses().get("completed") == 1, what="the small file")
        child.send_signal(signal.SIGKILL)
        ws.finish(child)
        live, = ws.store.uploads()
        stray = client.create_multipart_upload(Bucket=bucket, Key="done.bin")["UploadId"]
        client.create_multipart_upload(Bucket=bucket, Key="somebody/else")
        ws.endpoint = None

        checks, document, result = self.checks("--no-probe")
        kinds = {u["key"]: u["kind"] for u in document["uploads"]}
        self.assertEqual(kinds, {"big.bin": "live", "done.bin": "young", "somebody/else": "foreign"}, result)
        self.checks("--no-probe", "--clean-uploads")  # nothing is a day old
        self.assertEqual(len(ws.store.uploads()), 3)
        _, document, _ = self.checks("--no-probe", "--clean-uploads", "--older-than", "0s")
        self.assertEqual([u["key"] for u in document["uploads"] if u["aborted"]], ["done.bin"])
        self.assertEqual(sorted(k for k, _ in ws.store.uploads()), ["big.bin", "somebody/else"])
        self.assertIn(live, ws.store.uploads())
        told, = ws.audit("upload_abort_outcome")
        self.assertEqual((told["detail"], told["success"]), (stray, True))
        self.assertEqual(len(ws.audit("upload_abort_intent")), 1)
        ws.run("audit", "verify", expect=0)
        ws.run("migrate", "--batch-id", "b1", "--part-size", "5M", expect=0)  # which continues it
        self.assertEqual(ws.statuses(), {"completed": 2})
        ws.run("doctor", "--older-than", "1h", expect=2)
        ws.run("doctor", "--clean-uploads", "--older-than", "soon", expect=2)


class DoctorOfADirectory(bf.TestCase):
    def test_doctor_of_a_directory_store(self):
        ws = self.ws
        ws.run("init", expect=0)
        document = ws.run("--json", "doctor", expect=0).json()
        self.assertNotIn("credentials", {c["check"] for c in document["checks"]})
        self.assertEqual(document["failed"], 0)

    def test_doctor_with_nothing_set(self):
        result = self.ws.run("--json", "doctor", bare=True)
        self.assertEqual(result.code, 2, result)
        checks = {c["check"]: c["status"] for c in result.json()["checks"]}
        self.assertEqual((checks["target"], checks["database"]), ("failed", "failed"))
        self.assertEqual(os.path.exists(self.ws.path("blobferry.db")), False)


if __name__ == "__main__":
    unittest.main()
