"""Memory runs out, at every allocation of the program in turn (FAILURES A5): a clean end, no half state, and a rerun puts all in order.

By default a few points are tried; `make killsweep` (BLOBFERRY_TEST_KILLSWEEP=full) tries all."""
import os
import unittest

import bf
import killsweep

PRELOAD = os.path.join(os.path.dirname(os.path.abspath(bf.BINARY)), "fault", "failalloc.so")
MIGRATE, ROLLBACK = killsweep.MIGRATE, killsweep.ROLLBACK
FEW = 6


class Memory(bf.TestCase):
    store = "dir"

    def setUp(self):
        if bf.SANITIZER:
            self.skipTest("the sanitizer has its own allocator")
        if not os.path.exists(PRELOAD):
            self.skipTest(f"{PRELOAD} is not built (make tests-build)")

    def fresh(self):
        ws = bf.Workspace(self.store)
        ws.make_files(3, smallest=1, largest=2000)
        ws.write("big.bin", b"0123456789abcdef" * (6 << 16))
        ws.freeze()
        ws.run("init", expect=0)
        return ws

    def sweep(self, prepare, args, check, finish):
        ws = self.fresh()
        prepare(ws)
        count_file = ws.path("count")
        ws.run(*args, env={"LD_PRELOAD": PRELOAD, "FAILALLOC_COUNT": count_file}, expect=0)
        with open(count_file) as f:
            count = int(f.read())
        ws.close()
        self.assertGreater(count, 50)
        tried = ended = 0
        for mode in ("once", "on"):
            for when in killsweep.points(count, FEW):
                ws = self.fresh()
                with self.subTest(mode=mode, when=when):
                    prepare(ws)
                    env = {"LD_PRELOAD": PRELOAD, "FAILALLOC_AT": str(when)}
                    if mode == "on":
                        env["FAILALLOC_ON"] = "1"
                    result = ws.run(*args, env=env)
                    tried += 1
                    ended += result.code != 0
                    try:
                        self.assertIn(result.code, range(6), result)
                        check(ws, result)
                        finish(ws)
                        ws.check()
                        ws.run("audit", "verify", expect=0)
                    except AssertionError as e:
                        raise AssertionError(f"{e}\nafter {result}") from e
                ws.close()
        print(f"# {count} allocations, {tried} failures tried, {ended} of them ended the run")
        self.assertGreater(ended, 0)

    def after_kill(self, ws, _):
        ws.check(after_kill=True)

    def test_memory_plan(self):
        def check(ws, result):
            rows = ws.sql("SELECT count(*) FROM file_migrations")[0][0]
            self.assertIn(rows, (0, 4), "half a plan")
            if result.code == 0:
                self.assertEqual(rows, 4)

        def finish(ws):
            if ws.sql("SELECT count(*) FROM file_migrations")[0][0] == 0:
                ws.plan()
        self.sweep(lambda ws: None, ("plan", "--from-dir", "files", "--batch-id", "b1", "--user-id", "u1"), check, finish)

    def test_memory_migrate(self):
        def finish(ws):
            ws.run(*MIGRATE, "--retry-failed", expect=0)
            self.assertEqual(ws.statuses(), {"completed": 4})
        self.sweep(lambda ws: ws.plan(), MIGRATE, self.after_kill, finish)

    def test_memory_rollback(self):
        def prepare(ws):
            ws.plan()
            ws.run(*MIGRATE, expect=0)

        def finish(ws):
            again = ws.run(*ROLLBACK)
            if again.code != 0:
                self.assertIn("No migration records found", again.err)
            self.assertEqual(ws.statuses(), {"rolled_back": 4})
            self.assertEqual(ws.store.keys(), set())
        self.sweep(prepare, ROLLBACK, self.after_kill, finish)

    def test_memory_verify_and_restore(self):
        def prepare(ws):
            ws.plan()
            ws.run(*MIGRATE, expect=0)

        def finish(ws):
            ws.run("verify", "--batch-id", "b1", "--deep", expect=0)
            self.assertEqual(ws.statuses(), {"verified": 4})
        self.sweep(prepare, ("verify", "--batch-id", "b1", "--deep"), self.after_kill, finish)


if __name__ == "__main__":
    unittest.main()
