"""The test runner itself: it may be anything but too kind."""
import os
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.environ.get("BLOBFERRY_TEST_ROOT") or os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))


class Runner(unittest.TestCase):
    def setUp(self):
        self.tree = tempfile.mkdtemp(prefix="runner.")
        self.addCleanup(shutil.rmtree, self.tree)
        os.makedirs(os.path.join(self.tree, "tests/harness"))
        for name in ("tests/run", "tests/harness/tap_unittest.py"):
            shutil.copy(os.path.join(ROOT, name), os.path.join(self.tree, name))

    def put(self, path, text, mode=0o644):
        path = os.path.join(self.tree, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)

    def suite(self, name, script):
        self.put(f"tests/unit/base/test_{name}.c", "")
        if script is not None:
            self.put(f"build/unit/base/test_{name}", "#!/bin/sh\n" + script, 0o755)

    def run_tests(self, *args):
        done = subprocess.run([os.path.join(self.tree, "tests/run"), *args], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60,
                              env={**os.environ, "BLOBFERRY_TEST_S3_ENDPOINT": "http://127.0.0.1:1",
                                   "BLOBFERRY_TEST_POSTGRES": "postgres://127.0.0.1:1/none"})
        return done.returncode, done.stdout.splitlines()[-1], done.stdout

    def expect(self, code, last, *args, word=""):
        got_code, got_last, text = self.run_tests(*args)
        self.assertEqual((got_code != 0, got_last), (code != 0, last), text)
        self.assertIn(word, text)

    GOOD = "echo 1..2; echo 'ok 1 - a'; echo 'ok 2 - b'\n"

    def test_runner_counts_passed(self):
        self.suite("a", self.GOOD)
        self.suite("b", self.GOOD)
        self.expect(0, "4 passed, 0 failed, 0 skipped")

    def test_runner_nothing_ran_is_a_failure(self):
        self.expect(1, "0 passed, 0 failed, 0 skipped")
        self.suite("a", "echo 1..0\n")
        self.expect(1, "0 passed, 0 failed, 0 skipped")

    def test_runner_only_skipped_is_a_failure(self):
        self.suite("a", "echo 1..1; echo 'not ok 1 # SKIP a'\n")
        self.expect(1, "0 passed, 0 failed, 1 skipped", word="skipped: a")

    def test_runner_failed_test_shows_its_output(self):
        self.suite("a", "echo 1..2; echo 'ok 1 - a'; echo 'not ok 2 - b'; echo '# because of this'; exit 1\n")
        self.expect(1, "1 passed, 1 failed, 0 skipped", word="because of this")

    def test_runner_crash_counts_what_never_came(self):
        self.suite("a", "echo 1..5; echo 'ok 1 - a'; kill -SEGV $$\n")
        self.expect(1, "1 passed, 4 failed, 0 skipped")

    def test_runner_crash_before_the_plan(self):
        self.suite("a", "kill -SEGV $$\n")
        self.expect(1, "0 passed, 1 failed, 0 skipped")

    def test_runner_exit_code_alone_is_a_failure(self):
        self.suite("a", self.GOOD + "echo leaked; exit 23\n")
        self.expect(1, "2 passed, 1 failed, 0 skipped", word="leaked")

    def test_runner_not_built_is_a_failure(self):
        self.suite("a", self.GOOD)
        self.suite("b", None)
        self.expect(1, "2 passed, 1 failed, 0 skipped", word="not built")

    def test_runner_stops_what_hangs_and_its_children(self):
        self.suite("a", "echo 1..1; sleep 1000 & echo $! > $BLOBFERRY_TEST_ROOT/pid; wait\n")
        self.expect(1, "0 passed, 1 failed, 0 skipped", "--limit-factor", "0.02", word="stopped after")
        with open(os.path.join(self.tree, "pid")) as f:
            stat = f"/proc/{f.read().strip()}/stat"
        if os.path.exists(stat):
            with open(stat) as f:
                self.assertEqual(f.read().split(") ")[1][0], "Z")

    def test_runner_gives_each_suite_its_own_folder_and_a_clean_environment(self):
        self.suite("a", 'echo 1..1; touch "$TMPDIR/x"; test "$PWD" = "$TMPDIR" && test "$HOME" = "$TMPDIR" &&'
                        ' test -z "$AWS_PROFILE$BLOBFERRY_DB" && echo "ok 1 - a"; echo "$TMPDIR" > $BLOBFERRY_TEST_ROOT/where\n')
        os.environ.update({"AWS_PROFILE": "mine", "BLOBFERRY_DB": "mine"})
        self.addCleanup(lambda: [os.environ.pop(n) for n in ("AWS_PROFILE", "BLOBFERRY_DB")])
        self.expect(0, "1 passed, 0 failed, 0 skipped")
        with open(os.path.join(self.tree, "where")) as f:
            self.assertFalse(os.path.exists(f.read().strip()))

    def test_runner_python_suites(self):
        self.put("tests/system/test_x.py", """
import unittest
class A(unittest.TestCase):
    def test_good(self): pass
    def test_bad(self): self.fail("for a reason")
    def test_skipped(self): self.skipTest("not here")
    def test_bad_twice(self):
        self.addCleanup(self.fail, "again")
        self.fail("once")
    def test_subtests(self):
        for n in range(3):
            with self.subTest(n=n): self.assertNotEqual(n, 1)
@unittest.skip("whole class")
class B(unittest.TestCase):
    def test_one(self): pass
    def test_two(self): pass
class C(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise RuntimeError("no set-up")
    def test_one(self): pass
    def test_two(self): pass
class D(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise unittest.SkipTest("not today")
    def test_one(self): pass
""")
        self.expect(1, "1 passed, 5 failed, 4 skipped", word="for a reason")

    def test_runner_python_suite_that_does_not_load(self):
        self.put("tests/system/test_x.py", "import no_such_module\n")
        self.expect(1, "0 passed, 1 failed, 0 skipped", word="no_such_module")


if __name__ == "__main__":
    unittest.main()
