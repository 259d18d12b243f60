"""Several processes at once on one batch: each file is sent once, and migrate and rollback do not mix."""
import os
import signal
import unittest

import bf


class Workers(bf.TestCase):
    store = "s3"

    def test_workers_share_a_batch(self):
        ws = self.ws
        ws.make_files(300)
        ws.freeze()
        ws.run("init", expect=0)
        ws.plan()
        proxy = self.proxy()
        children = [ws.start("migrate", "--batch-id", "b1") for _ in range(3)]
        results = [ws.finish(c) for c in children]
        self.assertLessEqual({r.code for r in results}, {0}, [str(r) for r in results])
        ws.check()
        self.assertEqual(ws.statuses(), {"completed": 300})
        puts = [r.path for r in proxy.select("PUT", path="/file-")]
        self.assertEqual(len(puts), len(set(puts)), "a file was sent twice")

    def test_workers_one_is_killed(self):
        ws = self.ws
        ws.make_files(200)
        ws.freeze()
        ws.run("init", expect=0)
        ws.plan()
        proxy = self.proxy(bf.Fault("delay", 0.02, method="PUT", path="/file-", times=0))
        first, second = ws.start("migrate", "--batch-id", "b1"), ws.start("migrate", "--batch-id", "b1")
        bf.wait_for(lambda: proxy.count("PUT", path="/file-") >= 50, what="50 PUTs")
        first.send_signal(signal.SIGKILL)
        ws.finish(first)
        ws.finish(second)
        ws.run("migrate", "--batch-id", "b1", expect=0)
        ws.check()
        self.assertEqual(ws.statuses(), {"completed": 200})

    def test_workers_rollback_waits_or_is_refused_while_migrating(self):
        ws = self.ws
        ws.make_files(60)
        ws.freeze()
        ws.run("init", expect=0)
        ws.plan()
        proxy = self.proxy(bf.Fault("delay", 0.2, method="PUT", path="/file-", times=0))
        child = ws.start("migrate", "--batch-id", "b1")
        bf.wait_for(lambda: any(r["status"] == "completed" for r in ws.rows()), what="a completed file")
        refused = ws.run("rollback", "--batch-id", "b1", "--confirm", "--force", expect=1)
        self.assertIn("b1", refused.err)
        proxy.faults.clear()
        self.assertEqual(ws.finish(child).code, 0)
        ws.check()
        self.assertEqual(ws.statuses(), {"completed": 60})
        ws.run("rollback", "--batch-id", "b1", "--confirm", "--force", expect=0)
        ws.check()

    def test_workers_two_rollbacks_at_once(self):
        ws = self.ws
        ws.migrated(60)
        children = [ws.start("rollback", "--batch-id", "b1", "--confirm", "--force") for _ in range(2)]
        codes = sorted(ws.finish(c).code for c in children)
        self.assertEqual(codes[0], 0)
        self.assertIn(codes[1], (0, 1))
        ws.check()
        self.assertEqual(ws.store.keys(), set())
        self.assertEqual(ws.statuses(), {"rolled_back": 60})

    def test_workers_watch_for_new_batches_until_told_to_stop(self):
        ws = self.ws
        for folder in ("early", "late"):
            for n in range(10):
                ws.write(f"{folder}/{folder}-{n}.bin", b"%d" % n * 50)
        ws.freeze()
        ws.run("init", expect=0)
        children = [ws.start("migrate", "--all", "--watch") for _ in range(2)]
        for batch, folder in enumerate(("early", "late"), 1):
            ws.run("plan", "--from-dir", os.path.join(ws.sources, folder), "--batch-id", f"b{batch}", "--user-id", "u1",
                   expect=0)
            bf.wait_for(lambda: ws.statuses() == {"completed": 10 * batch}, what=f"batch {batch} completed")  # noqa: B023
        ws.check()
        for child in children:
            child.send_signal(signal.SIGTERM)
        for child in children:
            result = ws.finish(child, limit=3)
            self.assertEqual(result.code, 128 + signal.SIGTERM, str(result))
        workers = ws.run("status", "--workers", "--json", expect=0).json()["workers"]
        self.assertEqual(workers, [])

    def test_workers_are_told_by_status(self):
        ws = self.ws
        ws.make_files(60)
        ws.run("init", expect=0)
        ws.plan()
        self.proxy(bf.Fault("delay", 0.3, method="PUT", path="/file-", times=0))
        child = ws.start("migrate", "--batch-id", "b1", "--concurrency", "2")
        bf.wait_for(lambda: ws.statuses().get("processing", 0) > 0, what="a claim")
        worker, = ws.run("status", "--workers", "--json", expect=0).json()["workers"]
        self.assertEqual((worker["pid"], worker["state"], worker["command"]), (child.pid, "alive", "migrate"))
        self.assertEqual(worker["batches"][0]["batch_id"], "b1")
        self.assertGreater(worker["files"], 0)
        self.assertFalse(worker["lease_expired"])
        child.kill()
        child.wait()
        worker, = ws.run("status", "--workers", "--json", expect=0).json()["workers"]
        self.assertEqual((worker["pid"], worker["state"]), (child.pid, "dead"))
        self.assertIn("dead", ws.run("status", "--workers", expect=0).out)


if __name__ == "__main__":
    unittest.main()
