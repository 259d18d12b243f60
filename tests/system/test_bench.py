"""The bench itself: it measures, reports, and a wrong result fails it."""
import json
import os
import subprocess
import sys
import tempfile
import unittest
import urllib.error
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

    def test_sink_is_an_s3_server_as_boto3_knows_it(self):
        import boto3
        from botocore.config import Config
        from botocore.exceptions import ClientError
        server = servers.Sink(BUILD, self.dir, False, ["--check"])
        self.addCleanup(server.close)
        client = boto3.client("s3", endpoint_url=server.endpoint, region_name="us-east-1", aws_access_key_id="a",
                              aws_secret_access_key="b", config=Config(s3={"addressing_style": "path"}))
        names = [f"d{n % 3}/x & ü{n:02d}" for n in range(30)]
        for name in names:
            client.put_object(Bucket="b", Key=name, Body=b"x" * 10, Metadata={"who": name[:2]}, ContentType="text/x")
        about = client.head_object(Bucket="b", Key=names[0])
        self.assertEqual((about["ContentLength"], about["Metadata"], about["ContentType"]), (10, {"who": "d0"}, "text/x"))
        pages = client.get_paginator("list_objects_v2").paginate(Bucket="b", PaginationConfig={"PageSize": 7})
        self.assertEqual([o["Key"] for page in pages for o in page["Contents"]], sorted(names))
        tops = client.list_objects_v2(Bucket="b", Delimiter="/")
        self.assertEqual([p["Prefix"] for p in tops["CommonPrefixes"]], ["d0/", "d1/", "d2/"])
        upload = client.create_multipart_upload(Bucket="b", Key="big")["UploadId"]
        tags = [client.upload_part(Bucket="b", Key="big", UploadId=upload, PartNumber=n, Body=b"y" * n)["ETag"] for n in (1, 2)]
        self.assertEqual([p["Size"] for p in client.list_parts(Bucket="b", Key="big", UploadId=upload)["Parts"]], [1, 2])
        self.assertEqual(len(client.list_multipart_uploads(Bucket="b")["Uploads"]), 1)
        parts = [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]
        client.complete_multipart_upload(Bucket="b", Key="big", UploadId=upload, MultipartUpload={"Parts": parts})
        self.assertEqual(client.head_object(Bucket="b", Key="big")["ContentLength"], 3)
        client.delete_objects(Bucket="b", Delete={"Objects": [{"Key": k} for k in names[1:]]})
        client.delete_object(Bucket="b", Key="big")
        self.assertEqual([o["Key"] for o in client.list_objects_v2(Bucket="b")["Contents"]], names[:1])
        with self.assertRaisesRegex(ClientError, "404"):
            client.head_object(Bucket="b", Key=names[1])

    def test_sink_refuses_beyond_its_rate(self):
        server = servers.Sink(BUILD, self.dir, False, ["--rate", "5", "--rate-status", "429"])
        self.addCleanup(server.close)
        self.put(server, "a", b"x")
        with self.assertRaises(urllib.error.HTTPError) as refused:
            for n in range(20):
                self.put(server, "a", b"x")
        self.assertEqual((refused.exception.code, refused.exception.headers["Retry-After"]), (429, "1"))
        refused.exception.close()
        self.assertEqual(server.stats()["throttled"], 1)

    def test_sink_asks_for_a_pause_only_if_told_to(self):
        server = servers.Sink(BUILD, self.dir, False, ["--rate", "3", "--rate-window", "--retry-after", "0"])
        self.addCleanup(server.close)
        with self.assertRaises(urllib.error.HTTPError) as refused:
            for n in range(20):
                self.put(server, "a", b"x")
        self.assertEqual((refused.exception.code, refused.exception.headers["Retry-After"]), (503, None))
        refused.exception.close()
        self.assertGreaterEqual(server.stats()["put"], 4)

    def bench(self, *args):
        self.out = os.path.join(self.dir, "report")
        done = subprocess.run(
            [sys.executable, os.path.join(bf.ROOT, "tests/bench/run"), "--build", BUILD, "--cache", self.dir, "--out", self.out,
             "--runs", "1", "--work", "20x4K", *args],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60 * bf.SLOW)
        with open(os.path.join(self.out, "results.json")) as f:
            return done, json.load(f)

    def peer(self, script):
        """An s5cmd of our own."""
        os.makedirs(os.path.join(self.dir, "bin"))
        path = os.path.join(self.dir, "bin/s5cmd")
        with open(path, "w") as f:
            f.write("#!/bin/sh\n" + script)
        os.chmod(path, 0o755)

    def test_bench_reports_what_it_has_measured(self):
        done, report = self.bench("--servers", "sink,sink-tls", "--clients", "blobferry,s3cmd,s5cmd", "--extras", "tracking")
        self.assertEqual(done.returncode, 0, done.stdout)
        measured = {(r["server"], r["client"]): r for r in report["results"]}
        self.assertGreater(measured["sink-tls", "blobferry"]["cpu"], 0)
        self.assertEqual(measured["sink", "blobferry"]["put"], 20)
        self.assertEqual(len(report["extras"]), 1)
        for peer in ("s3cmd", "s5cmd"):
            self.assertNotEqual(peer in report["absent"], ("sink", peer) in measured)
        with open(os.path.join(self.out, "benchmarks.md")) as f:
            self.assertIn("| blobferry |", f.read())

    def test_bench_goes_on_where_it_ended(self):
        """What was measured is kept, the rest is added, and the report says which parts it has."""
        self.bench("--servers", "sink", "--clients", "blobferry", "--extras", "none")
        before = os.path.join(self.dir, "before.json")
        os.rename(os.path.join(self.out, "results.json"), before)
        done, report = self.bench("--servers", "sink,sink-tls", "--clients", "blobferry", "--extras", "none", "--continue", before)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual([(r["server"], r["client"]) for r in report["results"]],
                         [("none", "read + SHA-256"), ("sink", "blobferry"), ("sink-tls", "blobferry")])
        with open(before) as f:
            first = json.load(f)
        self.assertEqual(report["results"][:2], first["results"])
        self.assertGreater(report["took"], first["took"])
        with open(os.path.join(self.out, "benchmarks.md")) as f:
            self.assertIn("## Parts", f.read())

    def test_bench_fails_on_a_client_that_sends_nothing(self):
        self.peer("echo v0\n")
        done, report = self.bench("--servers", "sink", "--clients", "blobferry,s5cmd", "--extras", "none")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("0 objects of 0 bytes at the server, not 20", report["wrong"][0])
        self.assertEqual([r["client"] for r in report["results"]], ["read + SHA-256", "blobferry"])

    def test_bench_fails_on_a_client_that_fails(self):
        self.peer("[ $1 = version ] && echo v0 && exit 0\nexit 3\n")
        done, report = self.bench("--servers", "sink", "--clients", "s5cmd", "--extras", "none")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("exit 3", report["wrong"][0])

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
