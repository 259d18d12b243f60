"""A server that takes so many requests a second and no more, an endpoint that dies, a bandwidth that is given."""
import json
import os
import subprocess
import time
import unittest
import urllib.request

import bf

SINK = os.path.join(os.path.dirname(bf.BINARY), "bench/sink")
FILES = "/file-"


class Sink:
    """The cheap S3 server of the benchmarks: it checks no signature and can be told how much it takes."""

    def __init__(self, *options):
        self.process = subprocess.Popen([SINK, "--port", "0", "--die-with-parent", *options], stdout=subprocess.PIPE)
        self.url = "http://127.0.0.1:" + self.process.stdout.readline().decode().split()[1]

    def ask(self, what):
        with urllib.request.urlopen(f"{self.url}/__{what}", timeout=20) as answer:
            return answer.read()

    def stats(self):
        return json.loads(self.ask("stats"))

    def objects(self):
        return [json.loads(line) for line in self.ask("objects").splitlines() if line]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Throttled(bf.TestCase):
    store = "s3"

    def planned(self, count, *options, **sizes):
        ws = self.ws
        ws.make_files(count, **sizes)
        ws.run("init", expect=0)
        ws.plan()
        sink = Sink(*options)
        self.addCleanup(sink.close)
        ws.endpoint, ws.profile = sink.url, "ceph"
        return sink

    def test_limits_fifty_requests_a_second(self):
        """Ends without a failed file, within 1.3 times the ideal time."""
        count = 1200
        sink = self.planned(count, "--rate", "50", "--rate-status", "429", smallest=100, largest=1000)
        result = self.ws.run("--json", "migrate", "--batch-id", "b1", expect=0, limit=90)
        stats = sink.stats()
        self.assertEqual(self.ws.statuses(), {"completed": count})
        self.assertEqual(result.json()["failed"], 0)
        self.assertEqual(stats["objects"], count)
        self.assertGreater(stats["throttled"], 0, "the server never had to refuse: nothing was tested")
        self.assertLess(stats["throttled"], count // 4)
        self.assertLess(result.json()["elapsed_ms"] / 1000, 1.3 * count / 50 * bf.SLOW)

    def test_limits_distance_is_made_up_for_by_connections(self):
        """By itself, as long as more of them bring more; next door it stays with few."""
        count = 3000
        sink = self.planned(count, "--latency", "100", smallest=100, largest=1000)
        self.ws.run("migrate", "--batch-id", "b1", expect=0, limit=90)
        self.assertEqual(self.ws.statuses(), {"completed": count})
        self.assertGreater(sink.stats()["connections"], 96)
        self.assertLessEqual(sink.stats()["connections"], 140)

    def test_limits_many_at_once_are_refused_without_harm(self):
        """More refusals at once than any file has retries: all are on their way before the first answer comes."""
        sink = self.planned(300, "--rate", "50", "--latency", "250", smallest=100, largest=1000)
        self.ws.run("migrate", "--batch-id", "b1", "--concurrency", "128", "--max-retries", "0", expect=0, limit=90)
        self.assertEqual(self.ws.statuses(), {"completed": 300})
        self.assertGreater(sink.stats()["throttled"], 50)

    def test_limits_patience_ends(self):
        """'too fast' for ever is a failure in the end, and the file's own."""
        ws = self.ws
        ws.make_files(4)
        ws.freeze()
        ws.run("init", expect=0)
        ws.plan()
        self.proxy(bf.Fault("status", 429, method="PUT", path="file-00001", times=0))
        result = ws.run("--patience", "2", "migrate", "--batch-id", "b1", limit=90)
        self.assertEqual(result.code, 1, result)
        self.assertEqual(ws.statuses(), {"completed": 3, "failed": 1})
        self.assertGreater(result.seconds, 2)
        ws.check()

    def test_limits_bandwidth_is_kept(self):
        ws = self.ws
        ws.make_files(8, smallest=300000, largest=300000)
        ws.run("init", expect=0)
        ws.plan()
        begun = time.monotonic()
        ws.run("migrate", "--batch-id", "b1", "--bwlimit", "00:00,1M 12:00,1M", expect=0)
        self.assertGreater(time.monotonic() - begun, 1.9)  # 2.4 MB at 1 MiB a second
        self.assertEqual(ws.statuses(), {"completed": 8})
        ws.check()


class Dead(bf.TestCase):
    store = "s3"

    def test_limits_dead_endpoint_stops_the_run(self):
        """In the middle of a run nobody answers any more: exit 4 within the deadline, nothing failed, all else pending."""
        ws = self.ws
        ws.make_files(200)
        ws.freeze()
        ws.run("init", expect=0)
        ws.plan()
        ws.profile = "ceph"
        proxy = self.proxy(bf.Fault("reset", skip=40, times=0))
        result = ws.run("--dead-after", "3", "migrate", "--batch-id", "b1", expect=4, limit=60)
        statuses = ws.statuses()
        self.assertEqual(set(statuses), {"completed", "pending"}, result)
        self.assertGreater(statuses["completed"], 10)
        self.assertGreater(statuses["pending"], 100)
        self.assertLess(result.seconds, (3 + 5) * bf.SLOW)
        self.assertLess(len(proxy.requests), 40 + 120, "a dead endpoint was hammered")
        self.assertIn("does not answer", result.err)
        ws.check()
        proxy.faults.clear()
        ws.run("migrate", "--batch-id", "b1", expect=0)
        self.assertEqual(ws.statuses(), {"completed": 200})
        ws.check()

    def test_limits_short_outage_is_sat_out(self):
        """Longer than the retries of any file, shorter than the deadline: nothing fails."""
        ws = self.ws
        ws.make_files(100)
        ws.freeze()
        ws.run("init", expect=0)
        ws.plan()
        ws.profile = "ceph"
        proxy = self.proxy(bf.Fault("reset", skip=20, times=0))
        child = ws.start("--dead-after", "60", "--max-retries", "1", "migrate", "--batch-id", "b1")
        bf.wait_for(lambda: proxy.faults and proxy.faults[0].fired >= 12, what="the outage")
        time.sleep(2)  # it is an outage only as long as it lasts
        proxy.faults.clear()
        self.assertEqual(ws.finish(child).code, 0)
        self.assertEqual(ws.statuses(), {"completed": 100})
        ws.check()


if __name__ == "__main__":
    unittest.main()
