"""docs/guide.md is true: every command in it is run, in its order, in an empty folder."""
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
import unittest
import uuid

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", "build")
BINARY = os.environ.get("BLOBFERRY", os.path.join(TOP, BUILD, "blobferry"))
BLOCK = re.compile(r"^```sh(?: exit=(\d+))?\n(.*?)^```$", re.M | re.S)


def blocks():
    with open(os.path.join(TOP, "docs", "guide.md"), encoding="utf-8") as f:
        return [(int(code or 0), text) for code, text in BLOCK.findall(f.read())]


class Guide(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="bf-guide-")
        self.addCleanup(shutil.rmtree, self.dir, True)
        bin_dir = os.path.join(self.dir, ".bin")
        os.mkdir(bin_dir)
        os.symlink(os.path.abspath(BINARY), os.path.join(bin_dir, "blobferry"))
        self.work = os.path.join(self.dir, "work")
        os.mkdir(self.work)
        keep = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS")
        self.env = {k: os.environ[k] for k in keep if k in os.environ}
        self.env.update(PATH=bin_dir + ":/usr/bin:/bin", HOME=self.dir, LANG="C.UTF-8")

    def run_guide(self):
        """The blocks share one shell's variables: each starts where the last one left its environment."""
        state = os.path.join(self.dir, "environment")
        open(state, "w").close()
        found = blocks()
        self.assertGreaterEqual(len(found), 12)
        for want, text in found:
            script = "set -eu -o pipefail\n. %s\n%s\nexport -p > %s\n" % (state, text, state)
            done = subprocess.run(["bash", "-c", script], cwd=self.work, env=self.env, text=True,
                                  capture_output=True, timeout=120, stdin=subprocess.DEVNULL)
            self.assertEqual(done.returncode, want, "%s\n%s\n%s" % (text, done.stdout, done.stderr))
            self.assertNotIn("Sanitizer", done.stderr)

    def check_end(self):
        db = sqlite3.connect(os.path.join(self.work, "app.db"))
        self.assertEqual(db.execute("select count(*) from files where r2_key is not null").fetchone()[0], 0)
        self.assertEqual(db.execute("select distinct status from file_migrations").fetchall(), [("rolled_back",)])
        self.assertGreaterEqual(db.execute("select count(*) from file_migrations").fetchone()[0], 12)
        db.close()
        self.assertEqual(len(os.listdir(os.path.join(self.work, "uploads", "anna"))), 6)

    def test_guide_directory(self):
        self.run_guide()
        self.check_end()

    def test_guide_s3(self):
        endpoint = os.environ.get("BLOBFERRY_TEST_S3_ENDPOINT")
        if not endpoint:
            self.skipTest("no S3 server (BLOBFERRY_TEST_S3_ENDPOINT)")
        import boto3
        prefix = "guide-" + uuid.uuid4().hex
        bucket = os.environ["BLOBFERRY_TEST_S3_BUCKET"]
        self.env.update(BLOBFERRY_TARGET="s3://%s/%s/" % (bucket, prefix), BLOBFERRY_ENDPOINT_URL=endpoint,
                        BLOBFERRY_STORE_PROFILE="ceph")
        self.run_guide()
        self.check_end()
        s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1",
                          aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
                          aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"])
        self.assertEqual(s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("KeyCount", 0), 0)


if __name__ == "__main__":
    unittest.main()
