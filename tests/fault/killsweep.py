"""The common part of the kill sweeps: kill -9 and failing system calls at every step of migrate and rollback, by strace's fault injection.

After each, the invariants hold; after a plain rerun everything is done; the rerun after that changes nothing.
By default a few points of each system call are tried; `make killsweep` (BLOBFERRY_TEST_KILLSWEEP=full) tries all.
"""
import os
import re
import shutil

import bf

FULL = os.environ.get("BLOBFERRY_TEST_KILLSWEEP") == "full"
# What makes something durable or visible elsewhere: between any two of these a kill makes a difference.
CALLS = ("write", "pwrite64", "fsync", "fdatasync", "renameat2,rename,renameat", "linkat,link", "unlink,unlinkat",
         "openat", "sendto", "recvfrom")
ERRORS = (("write", "ENOSPC"), ("pwrite64", "ENOSPC"), ("fsync", "EIO"), ("fdatasync", "EIO"), ("openat", "EMFILE"),
          ("pread64", "EIO"), ("read", "EIO"))
MIGRATE = ("migrate", "--batch-id", "b1", "--part-size", "5M", "--max-retries", "1")
ROLLBACK = ("rollback", "--batch-id", "b1", "--confirm", "--force")


def points(count, few):
    """Which of 1..count to try: all, or `few` spread over them."""
    if FULL or count <= few:
        return range(1, count + 1)
    return sorted({(2 * n + 1) * count // (2 * few) + 1 for n in range(few)})


class Sweep:
    few = 2

    def setUp(self):
        if not shutil.which("strace"):
            self.skipTest("no strace (see: make deps)")
        if self.store == "s3" and not bf.ENDPOINT:
            self.skipTest("no S3 server (see: tests/run)")

    def fresh(self):
        ws = bf.Workspace(self.store)
        if self.store == "s3":
            ws.profile = "ceph"  # no probe: what a killed one leaves in its own folder is not looked at here
        ws.make_files(3, smallest=1, largest=2000)
        ws.write("big.bin", b"0123456789abcdef" * (6 << 16))  # two parts
        ws.freeze()
        ws.run("init", expect=0)
        ws.plan()
        return ws

    def strace(self, ws, args, *expressions, output="/dev/null"):
        # LeakSanitizer cannot work under ptrace: leaks are looked for in all the other tests.
        env = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
        wrap = ["strace", "-f", "-qq", "-o", output]
        for expression in expressions:
            wrap += ["-e", expression]
        return ws.run(*args, env=env, wrap=wrap, limit=60)

    def counted(self, prepare, args):
        """How often each system call is made by an undisturbed run."""
        ws = self.fresh()
        try:
            prepare(ws)
            log = ws.path("strace.log")
            names = ",".join([*CALLS, *(c for c, _ in ERRORS)])
            self.assertEqual(self.strace(ws, args, f"trace={names}", output=log).code, 0)
            counts = {}
            with open(log, errors="replace") as f:
                for name in re.findall(r"^\d+ +(\w+)\(", f.read(), re.M):
                    counts[name] = counts.get(name, 0) + 1
            return {group: sum(counts.get(n, 0) for n in group.split(",")) for group in
                    [*CALLS, *(c for c, _ in ERRORS)]}
        finally:
            ws.close()

    def sweep(self, prepare, args, finish, faults):
        counts = self.counted(prepare, args)
        tried = hit = 0
        for calls, action in faults:
            for when in points(counts[calls], self.few):
                ws = self.fresh()
                with self.subTest(calls=calls, action=action, when=when):
                    prepare(ws)
                    result = self.strace(ws, args, f"trace={calls}", f"inject={calls}:{action}:when={when}")
                    tried += 1
                    hit += result.code != 0
                    try:
                        if "signal" not in action:
                            self.assertGreaterEqual(result.code, 0, result)
                        ws.check(after_kill=True)
                        finish(ws, result)
                        ws.check()
                        trail = ws.run("--json", "audit", "verify", expect=0).json()
                        self.assertEqual(trail["in_doubt"], 0, "an intent has no outcome")
                    except AssertionError as e:
                        raise AssertionError(f"{e}\nafter {result}") from e
                ws.close()
        print(f"# {tried} faults tried, {hit} of them ended the run")
        self.assertGreater(hit, 0, "no fault had any effect")

    def finish_migrate(self, ws, result):
        if result.code == 0:  # the fault was weathered: then all of it is true
            self.assertEqual(ws.statuses(), {"completed": 4})
        ws.run(*MIGRATE, "--retry-failed", expect=0)
        self.assertEqual(ws.statuses(), {"completed": 4})
        rows = ws.dump()["file_migrations"]
        ws.run(*MIGRATE, expect=0)
        self.assertEqual(ws.dump()["file_migrations"], rows)

    def finish_rollback(self, ws, result):
        if result.code == 0:
            self.assertEqual(ws.statuses(), {"rolled_back": 4})
        again = ws.run(*ROLLBACK)
        if again.code != 0:  # everything had been done before the fault
            self.assertIn("No migration records found", again.err)
        self.assertEqual(ws.statuses(), {"rolled_back": 4})
        self.assertEqual(ws.store.keys(), set())

    @staticmethod
    def migrate_first(ws):
        ws.run(*MIGRATE, expect=0)

    def test_killsweep_migrate(self):
        self.sweep(lambda ws: None, MIGRATE, self.finish_migrate, [(c, "signal=KILL") for c in CALLS])

    def test_killsweep_rollback(self):
        self.sweep(self.migrate_first, ROLLBACK, self.finish_rollback, [(c, "signal=KILL") for c in CALLS])

    def test_killsweep_rollback_that_keeps_the_objects(self):
        keep = (*ROLLBACK, "--database-only")

        def finish(ws, _):
            ws.run(*keep)
            self.assertEqual(ws.statuses(), {"rolled_back": 4})
            self.assertEqual(len(ws.store.keys()), 4)
        self.sweep(self.migrate_first, keep, finish, [(c, "signal=KILL") for c in ("fdatasync", "write")])

    def test_killsweep_migrate_with_failing_calls(self):
        self.sweep(lambda ws: None, MIGRATE, self.finish_migrate, [(c, f"error={e}") for c, e in ERRORS])

    def test_killsweep_rollback_with_failing_calls(self):
        self.sweep(self.migrate_first, ROLLBACK, self.finish_rollback, [(c, f"error={e}") for c, e in ERRORS])
