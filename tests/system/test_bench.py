"""The bench itself: it measures, reports, and a wrong result fails it."""
import json
import os
import subprocess
import sys
import tempfile
import unittest
import urllib.request

import bf

sys.path.insert(0, os.path.join(bf.ROOT, "tests/bench"))
import servers  # noqa: E402
import work as works  # noqa: E402

BUILD = os.path.dirname(os.path.realpath(bf.BINARY))


class Bench(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = folder.name

    def put(self, server, key, data):
        request = urllib.request.Request(f"{server.endpoint}/{servers.BUCKET}/{key}", data=data, method="PUT")
        urllib.request.urlopen(request, context=server.context).close()

    def served(self, tls=False):
        work = works.Work(self.dir, "few", "3x1K")
        server = servers.Sink(BUILD, os.path.join(self.dir, "tls"), tls, ["--check"])
        self.addCleanup(server.close)
        for key in work.digests:
            with open(work.path(key), "rb") as f:
                self.put(server, key, f.read())
        return work, server

    def test_bench_reports_what_it_has_measured(self):
        out = os.path.join(self.dir, "report")
        done = subprocess.run(
            [sys.executable, os.path.join(bf.ROOT, "tests/bench/run"), "--build", BUILD, "--cache", self.dir, "--out", out,
             "--runs", "1", "--work", "20x4K", "--servers", "sink,sink-tls", "--clients", "blobferry,s5cmd",
             "--extras", "tracking"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60 * bf.SLOW)
        self.assertEqual(done.returncode, 0, done.stdout)
        with open(os.path.join(out, "results.json")) as f:
            report = json.load(f)
        measured = {(r["server"], r["client"]): r for r in report["results"]}
        self.assertIn(("sink", "blobferry"), measured)
        self.assertGreater(measured["sink-tls", "blobferry"]["cpu"], 0)
        self.assertEqual(measured["sink", "blobferry"]["put"], 20)
        self.assertEqual(len(report["extras"]), 1)
        self.assertTrue("s5cmd" in report["absent"] or ("sink", "s5cmd") in measured)
        with open(os.path.join(out, "benchmarks.md")) as f:
            self.assertIn("| blobferry |", f.read())

    def test_bench_accepts_what_is_right(self):
        for tls in (False, True):
            work, server = self.served(tls)
            server.check(work, "")

    def test_bench_sees_other_bytes(self):
        work, server = self.served()
        self.put(server, sorted(work.digests)[1], b"x" * work.size)
        with self.assertRaisesRegex(servers.Wrong, "other bytes"):
            server.check(work, "")

    def test_bench_sees_a_missing_object(self):
        work, server = self.served()
        server.reset()
        with self.assertRaisesRegex(servers.Wrong, "0 objects"):
            server.check(work, "")


if __name__ == "__main__":
    unittest.main()
