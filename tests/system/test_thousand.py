"""A thousand files: nothing sent twice, nothing left behind, also when the worker is killed again and again."""
import os
import signal
import unittest

import bf

COUNT = 1000


class Thousand(bf.TestCase):
    store = "s3"

    def planned(self):
        ws = self.ws
        names = ws.make_files(COUNT, smallest=0, largest=6000)
        ws.freeze()
        ws.run("init", expect=0)
        ws.plan("big", "user-1")
        return names

    def test_thousand_second_run_sends_nothing_and_rollback_leaves_nothing(self):
        ws, names = self.ws, self.planned()
        proxy = self.proxy()
        ws.run("migrate", "--batch-id", "big", expect=0)
        self.assertEqual(proxy.count("PUT", path="/file-"), COUNT)
        self.assertEqual(len({r.path for r in proxy.select("PUT", path="/file-")}), COUNT)
        rows = ws.check()  # reads every object back with boto3
        self.assertEqual(len(rows), COUNT)
        self.assertEqual(ws.store.keys(), set(names))

        dump = ws.dump()["file_migrations"]
        proxy.clear()
        ws.run("migrate", "--batch-id", "big", expect=0)
        self.assertEqual(proxy.writes(), [])
        self.assertEqual(ws.dump()["file_migrations"], dump)

        ws.run("verify", "--batch-id", "big", "--deep", expect=0)
        self.assertEqual(proxy.writes(), [])
        ws.profile = "ceph"  # known to have bulk deletes
        proxy.clear()
        preview = ws.run("rollback", "--batch-id", "big", expect=0)
        self.assertEqual(proxy.writes(), [])
        self.assertIn(str(COUNT), preview.out)
        proxy.clear()
        done = ws.run("--json", "rollback", "--batch-id", "big", "--confirm", "--force", expect=0).json()
        self.assertEqual(done["result"]["requests"], proxy.count(), proxy.counts())
        self.assertLessEqual(proxy.count(), COUNT // 100, proxy.counts())
        self.assertEqual(ws.store.keys(), set())
        self.assertEqual(ws.sql("SELECT count(*) FROM files WHERE r2_key IS NOT NULL")[0][0], 0)
        self.assertEqual(ws.statuses(), {"rolled_back": COUNT})
        ws.check()  # sources as before
        print(f"# requests of the rollback: {proxy.counts()['ops']}")

    def test_thousand_killed_three_times(self):
        ws = self.ws
        self.planned()
        proxy = self.proxy()
        recorded = set()
        for kill in range(3):
            proxy.clear()
            child = ws.start("migrate", "--batch-id", "big")
            bf.wait_for(lambda: proxy.count("PUT", path="/file-") >= 200 or child.poll() is not None, what="200 PUTs")
            self.assertIsNone(child.poll(), "ended before it could be killed")
            child.send_signal(signal.SIGKILL)
            ws.finish(child)
            self.assertEqual({r.path for r in proxy.select("PUT", path="/file-")} & recorded, set(), "sent again after being recorded")
            ws.check(after_kill=True)
            recorded = self.recorded()
            print(f"# after kill {kill + 1}: {ws.statuses()}")
        proxy.clear()
        ws.run("migrate", "--batch-id", "big", expect=0)
        self.assertEqual({r.path for r in proxy.select("PUT", path="/file-")} & recorded, set(), "sent again after being recorded")
        self.assertEqual(ws.statuses(), {"completed": COUNT})
        ws.check()
        self.assertEqual(ws.store.keys(), {r["target_r2_key"] for r in ws.rows()})
        ws.run("audit", "verify", expect=0)
        proxy.clear()
        ws.run("migrate", "--batch-id", "big", expect=0)
        self.assertEqual(proxy.writes(), [])

    def recorded(self):
        """Paths of the objects whose upload the database knows."""
        return {f"/{self.ws.store.bucket}/{r[0]}" for r in self.ws.sql(
            "SELECT target_r2_key FROM file_migrations WHERE status IN ('completed', 'verified')")}


class Multipart(bf.TestCase):
    store = "s3"

    def test_multipart_killed_and_resumed_leaves_no_upload(self):
        ws = self.ws
        ws.write("big.bin", os.urandom(1 << 20) * 40)
        ws.freeze()
        ws.run("init", expect=0)
        ws.plan()
        proxy = self.proxy(bf.Fault("slow", 4 << 20, op="UploadPart", path="big", times=0))
        for _ in range(2):
            seen = len([r for r in proxy.select(op="UploadPart", path="big") if r.status == 200])
            child = ws.start("migrate", "--batch-id", "b1", "--part-size", "5M")
            bf.wait_for(lambda: len([r for r in proxy.select(op="UploadPart", path="big") if r.status == 200]) > seen,
                        what="a part")
            child.send_signal(signal.SIGKILL)
            ws.finish(child)
            ws.check(after_kill=True)
        proxy.faults.clear()
        ws.run("migrate", "--batch-id", "b1", "--part-size", "5M", expect=0)
        ws.check()
        self.assertEqual(ws.store.uploads(), [])
        self.assertEqual(proxy.count(op="CompleteMultipartUpload", path="big"), 1)

    def test_multipart_sizes_at_the_part_boundary(self):
        ws, part = self.ws, 5 << 20
        for size in (0, 1, part - 1, part, part + 1, 2 * part, 2 * part + 1):
            ws.write(f"size-{size}", os.urandom(1 << 16) * (size >> 16) + b"x" * (size & 0xffff))
        ws.freeze()
        ws.run("init", expect=0)
        ws.plan()
        proxy = self.proxy()
        ws.run("migrate", "--batch-id", "b1", "--part-size", "5M", expect=0)
        ws.check()
        self.assertEqual(proxy.count(op="CompleteMultipartUpload", path="size-"), 3)
        parts = {}
        for r in proxy.select(op="UploadPart", path="size-"):
            parts.setdefault(r.path, []).append((int(r.query["partNumber"][0]), r.sent))
        for sizes in parts.values():
            sizes = [s for _, s in sorted(sizes)]
            self.assertTrue(all(s == part for s in sizes[:-1]) and sizes[-1] <= part, sizes)
        ws.run("verify", "--batch-id", "b1", "--deep", expect=0)


if __name__ == "__main__":
    unittest.main()
