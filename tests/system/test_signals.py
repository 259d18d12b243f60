"""SIGINT and SIGTERM finish or abort what is in flight within 10 s, record it and release leases; a second one ends at
once, safely."""
import signal
import time
import unittest

import bf


class Signals(bf.TestCase):
    store = "s3"

    def started(self, *faults, count=300):
        ws = self.ws
        ws.make_files(count)
        ws.freeze()
        ws.run("init", expect=0)
        ws.plan()
        proxy = self.proxy(*faults)
        return proxy, ws.start("migrate", "--batch-id", "b1")

    def stop_and_resume(self, number):
        ws = self.ws
        proxy, child = self.started(bf.Fault("delay", 0.05, method="PUT", path="/file-", times=0))
        bf.wait_for(lambda: proxy.count("PUT", path="/file-") >= 40, what="40 PUTs")
        begun = time.monotonic()
        child.send_signal(number)
        result = ws.finish(child)
        self.assertLess(time.monotonic() - begun, 10 * bf.SLOW)
        self.assertEqual(result.code, 128 + number, result)
        ws.check()  # no row in hand, no upload left, audit whole
        done = ws.statuses()
        self.assertEqual(set(done), {"completed", "pending"})
        self.assertGreater(done["completed"], 0)
        self.assertEqual([e["success"] for e in ws.audit("run_end")][-1], False)
        recorded = {r["target_r2_key"] for r in ws.rows() if r["status"] == "completed"}
        proxy.faults.clear()
        proxy.clear()
        ws.run("migrate", "--batch-id", "b1", expect=0)
        self.assertEqual({r.path.split("/", 2)[2] for r in proxy.select("PUT", path="/file-")} & recorded, set())
        ws.check()
        self.assertEqual(ws.statuses(), {"completed": 300})

    def test_signals_term(self):
        self.stop_and_resume(signal.SIGTERM)

    def test_signals_int(self):
        self.stop_and_resume(signal.SIGINT)

    def test_signals_term_while_the_store_hangs(self):
        ws = self.ws
        proxy, child = self.started(bf.Fault("delay", 60, method="PUT", path="/file-", times=0), count=30)
        bf.wait_for(lambda: proxy.count("PUT", path="/file-") >= 5, what="5 PUTs")
        begun = time.monotonic()
        child.send_signal(signal.SIGTERM)
        result = ws.finish(child)
        self.assertLess(time.monotonic() - begun, 15 * bf.SLOW)
        self.assertEqual(result.code, 143)
        self.assertEqual(ws.statuses().get("processing", 0), 0)

    def test_signals_second_one_ends_at_once(self):
        ws = self.ws
        proxy, child = self.started(bf.Fault("delay", 60, method="PUT", path="/file-", times=0), count=30)
        bf.wait_for(lambda: proxy.count("PUT", path="/file-") >= 5, what="5 PUTs")
        child.send_signal(signal.SIGTERM)
        bf.wait_for(lambda: caught(child.pid, signal.SIGTERM), what="first signal delivered")
        begun = time.monotonic()
        child.send_signal(signal.SIGTERM)
        result = ws.finish(child)
        self.assertLess(time.monotonic() - begun, 2 * bf.SLOW)
        self.assertEqual(result.code, 143)
        ws.check(after_kill=True)
        proxy.faults.clear()
        ws.endpoint = None
        ws.run("migrate", "--batch-id", "b1", expect=0)
        ws.check()

    def test_signals_term_in_rollback(self):
        ws = self.ws
        ws.migrated(200)
        proxy = self.proxy(bf.Fault("delay", 0.3, path="", times=0))
        child = ws.start("rollback", "--batch-id", "b1", "--confirm", "--force")
        bf.wait_for(lambda: proxy.count() >= 3 or child.poll() is not None, what="3 requests")
        child.send_signal(signal.SIGTERM)
        result = ws.finish(child)
        self.assertIn(result.code, (0, 143))
        ws.check()
        proxy.faults.clear()
        if ws.statuses() != {"rolled_back": 200} or ws.store.keys():
            ws.run("rollback", "--batch-id", "b1", "--confirm", "--force", expect=0)
        ws.check()
        self.assertEqual(ws.store.keys(), set())
        self.assertEqual(ws.statuses(), {"rolled_back": 200})

    def test_signals_hangup_of_the_terminal(self):
        ws = self.ws
        proxy, child = self.started(bf.Fault("delay", 0.05, method="PUT", path="/file-", times=0))
        bf.wait_for(lambda: proxy.count("PUT", path="/file-") >= 20, what="20 PUTs")
        child.send_signal(signal.SIGHUP)
        result = ws.finish(child)
        self.assertEqual(result.code, 128 + signal.SIGHUP)
        ws.check()


def caught(pid, number):
    """True when the signal is no longer pending."""
    try:
        with open(f"/proc/{pid}/status") as f:
            fields = dict(line.split(":\t", 1) for line in f if ":\t" in line)
    except OSError:
        return True
    pending = int(fields["SigPnd"], 16) | int(fields["ShdPnd"], 16)
    return not pending & 1 << number - 1


if __name__ == "__main__":
    unittest.main()
