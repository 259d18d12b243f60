"""A network and a store that misbehave: nothing is believed, nothing is sent blindly twice, and it ends well."""
import unittest

import bf


FILES = "/file-"  # in the path of what is migrated, and not of what the probe of a new endpoint asks for


class Faults(bf.TestCase):
    store = "s3"

    def migrated_through(self, *faults, count=30, expect=0, args=(), env=None):
        ws = self.ws
        ws.make_files(count, smallest=100)
        ws.freeze()
        ws.run("init", expect=0)
        ws.plan()
        proxy = self.proxy(*faults)
        result = ws.run("migrate", "--batch-id", "b1", *args, expect=expect, limit=90, env=env)
        ws.check()
        if expect == 0:
            self.assertEqual(ws.statuses(), {"completed": count})
        return proxy, result

    def test_faults_reset_before_the_request(self):
        self.migrated_through(bf.Fault("reset", method="PUT", path=FILES, times=5))

    def test_faults_reset_in_the_body(self):
        self.migrated_through(bf.Fault("reset_request", 50, method="PUT", path=FILES, times=5))

    def test_faults_answer_lost_is_looked_up_not_sent_again(self):
        """The store has the object, the answer never comes: HEAD decides (P6)."""
        fault = bf.Fault("drop_answer", method="PUT", path=FILES, times=5)
        proxy, _ = self.migrated_through(fault)
        self.assertEqual(fault.fired, 5)
        puts = {}
        for r in proxy.select("PUT", path=FILES):
            puts[r.path] = puts.get(r.path, 0) + 1
        self.assertEqual(max(puts.values()), 1, f"sent again without a look: {puts}")
        self.assertGreaterEqual(proxy.count("HEAD", path=FILES), 5)

    def test_faults_slow_down_and_server_errors_are_retried(self):
        self.migrated_through(bf.Fault("status", 503, method="PUT", path=FILES, times=6),
                              bf.Fault("status", 500, method="PUT", path=FILES, times=3),
                              bf.Fault("status", 429, method="PUT", path=FILES, times=3))

    def test_faults_flipped_bits_on_the_way_up_never_complete(self):
        fault = bf.Fault("flip_request", 17, method="PUT", path=FILES, times=4)
        self.migrated_through(fault)
        self.assertEqual(fault.fired, 4)

    def test_faults_store_always_failing(self):
        ws = self.ws
        ws.make_files(10)
        ws.freeze()
        ws.run("init", expect=0)
        ws.plan()
        proxy = self.proxy(bf.Fault("status", 503, method="PUT", path=FILES, times=0, code="ServiceUnavailable"))
        result = ws.run("migrate", "--batch-id", "b1", limit=90)
        self.assertIn(result.code, (1, 4), result)
        self.assertNotIn("completed", ws.statuses())
        self.assertEqual(ws.store.keys(), set())
        ws.check()
        self.assertLessEqual(proxy.count("PUT", path=FILES), 10 * 4)
        proxy.faults.clear()
        ws.run("migrate", "--batch-id", "b1", "--retry-failed", expect=0)
        ws.check()

    def test_faults_one_file_always_failing(self):
        ws = self.ws
        proxy, _ = self.migrated_through(bf.Fault("status", 500, path="file-00003", method="PUT", times=0), count=12, expect=1)
        self.assertEqual(ws.statuses(), {"completed": 11, "failed": 1})
        self.assertEqual(proxy.count("PUT", path="file-00003"), 4)  # once, and three retries
        self.assertTrue(ws.row("d3/file-00003.bin")["error_message"])

    def test_faults_no_retries_when_told_so(self):
        proxy, _ = self.migrated_through(bf.Fault("status", 500, path="file-00003", method="PUT", times=0), count=12,
                                         expect=1, args=("--max-retries", "0"))
        self.assertEqual(proxy.count("PUT", path="file-00003"), 1)

    def test_faults_deep_verify_sees_other_bytes(self):
        ws = self.ws
        ws.migrated(8, smallest=100)
        key = "d2/file-00002.bin"
        good = ws.store.get(key)
        ws.store.put(key, good[:50] + b"?" + good[51:])
        result = ws.run("--json", "verify", "--batch-id", "b1", "--deep", expect=1)
        self.assertEqual(result.json()["different"], 1)
        row = ws.row(key)
        self.assertEqual((row["status"], row["r2_key"]), ("failed", None))
        self.assertEqual(ws.statuses(), {"verified": 7, "failed": 1})

    def test_faults_verify_sees_a_missing_object(self):
        ws = self.ws
        ws.migrated(8)
        ws.store.delete("d2/file-00002.bin")
        result = ws.run("--json", "verify", "--batch-id", "b1", expect=1)
        self.assertEqual(result.json()["missing"], 1)
        self.assertEqual(ws.statuses(), {"verified": 7, "failed": 1})
        ws.check()
        ws.run("migrate", "--batch-id", "b1", "--retry-failed", expect=0)
        ws.run("verify", "--batch-id", "b1", "--deep", expect=0)
        ws.check()

    def test_faults_deep_verify_with_flipped_or_cut_answers(self):
        """A bad line is no bad object: what cannot be read is not called different without a second look."""
        ws = self.ws
        ws.migrated(8, smallest=200)
        self.proxy(bf.Fault("reset_answer", 50, method="GET", times=3))
        ws.run("verify", "--batch-id", "b1", "--deep", expect=0)
        self.assertEqual(ws.statuses(), {"verified": 8})

    def test_faults_verify_nothing_is_no_success(self):
        ws = self.ws
        ws.make_files(2)
        ws.run("init", expect=0)
        ws.plan()
        ws.run("verify", "--batch-id", "b1", expect=1)

    def test_faults_multipart_answers_lost(self):
        ws = self.ws
        ws.write("big.bin", b"0123456789" * 1_300_000)
        ws.freeze()
        ws.run("init", expect=0)
        ws.plan()
        proxy = self.proxy(bf.Fault("drop_answer", op="UploadPart", path="big"),
                           bf.Fault("reset_request", 9, op="UploadPart", path="big"),
                           bf.Fault("drop_answer", op="CompleteMultipartUpload", path="big"))
        ws.run("migrate", "--batch-id", "b1", "--part-size", "5M", expect=0)
        ws.check()
        self.assertEqual(ws.store.uploads(), [])
        self.assertGreaterEqual(proxy.count(op="CompleteMultipartUpload", path="big"), 1)

    def test_faults_multipart_given_up_leaves_no_upload(self):
        ws = self.ws
        ws.write("big.bin", b"0123456789" * 1_300_000)
        ws.freeze()
        ws.run("init", expect=0)
        ws.plan()
        self.proxy(bf.Fault("status", 500, op="UploadPart", path="big", times=0))
        result = ws.run("migrate", "--batch-id", "b1", "--part-size", "5M", limit=90)
        self.assertIn(result.code, (1, 4))
        ws.check()  # no upload left
        self.assertEqual(ws.store.keys(), set())

    def test_faults_redirect_is_not_followed_with_credentials(self):
        import http.server
        import threading
        seen = []

        class Elsewhere(http.server.BaseHTTPRequestHandler):
            def do_PUT(self):
                seen.append(dict(self.headers))
                self.send_error(500)
            do_GET = do_HEAD = do_POST = do_PUT

            def log_message(self, *_):
                pass

        class Redirecting(Elsewhere):
            def do_PUT(self):
                self.send_response(307)
                self.send_header("Location", f"http://127.0.0.1:{other.server_port}{self.path}")
                self.send_header("Content-Length", "0")
                self.end_headers()
            do_GET = do_HEAD = do_POST = do_PUT

        other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
        first = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Redirecting)
        for server in (other, first):
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.addCleanup(server.server_close)
            self.addCleanup(server.shutdown)
        ws = self.ws
        ws.make_files(2)
        ws.run("init", expect=0)
        ws.plan()
        ws.endpoint = f"http://127.0.0.1:{first.server_port}"
        ws.run("migrate", "--batch-id", "b1", expect=4, limit=60)
        self.assertEqual(seen, [])
        self.assertEqual(ws.statuses(), {"pending": 2})


if __name__ == "__main__":
    unittest.main()
