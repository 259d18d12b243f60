"""Run one file of Python unit tests and report in TAP, as cmocka does: tap_unittest.py FILE [NAME]..."""
import importlib.util
import os
import sys
import time
import traceback
import unittest

sys.dont_write_bytecode = True


class TapResult(unittest.TestResult):
    def __init__(self, total):
        super().__init__()
        self.number = 0
        self.skipped_classes = {}
        self.seen = set()
        print(f"1..{total}", flush=True)

    @staticmethod
    def name(test):
        return ".".join(test.id().split(".")[-2:])

    def comment(self, err):
        for line in "".join(traceback.format_exception(*err)).splitlines():
            print("#", line)

    def line(self, word, test, note=""):
        self.number += 1
        self.seen.add(test.id())
        took = time.monotonic() - self.begun
        print(f"{word} {self.number} - {self.name(test)}{note}", flush=True)
        print(f"# {took:.2f} s", flush=True)

    def startTest(self, test):
        super().startTest(test)
        self.begun = time.monotonic()
        self.bad = False

    def addSuccess(self, test):
        if not self.bad:
            self.line("ok", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        if isinstance(test, unittest.TestCase):
            self.line("ok", test, f" # SKIP {reason}")
        else:  # a whole class or module was skipped while being set up
            self.skipped_classes[test.id().split("(")[-1].rstrip(")")] = reason

    def bad_end(self, test, err):
        self.comment(err)
        if isinstance(test, unittest.TestCase) and not self.bad:
            self.line("not ok", test)
        self.bad = True  # a failure in the body and another in the clean-up are one failed test

    def addError(self, test, err):
        super().addError(test, err)
        self.bad_end(test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.bad_end(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            print("#", subtest)
            self.comment(err)
            if not self.bad:
                self.line("not ok", test)
            self.bad = True

    def addExpectedFailure(self, test, err):
        self.line("not ok", test, " (expected failures are not used here)")

    def addUnexpectedSuccess(self, test):
        self.line("not ok", test, " (unexpected success)")


def load(path):
    path = os.path.realpath(path)
    here = os.path.dirname(os.path.realpath(__file__))
    sys.path[:0] = [os.path.dirname(path), here, os.path.join(here, "..", "system")]
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    module = load(sys.argv[1])
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    wanted = sys.argv[2:]
    tests = [t for t in flatten(suite) if not wanted or any(w in t.id() for w in wanted)]
    result = TapResult(len(tests))
    unittest.TestSuite(tests).run(result)
    for test in tests:
        reason = result.skipped_classes.get(f"{type(test).__module__}.{type(test).__qualname__}")
        if test.id() not in result.seen and reason is not None:
            result.begun = time.monotonic()
            result.line("ok", test, f" # SKIP {reason}")
    return 0 if result.wasSuccessful() and tests else 1


if __name__ == "__main__":
    sys.exit(main())
