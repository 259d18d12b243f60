"""Speed cannot rot unseen: instructions per small file, against the record, by callgrind (tests/bench/instructions.py)."""
import os
import shutil
import sys
import tempfile
import unittest

import bf

sys.path.insert(0, os.path.join(bf.ROOT, "tests/bench"))
import instructions  # noqa: E402


class Instructions(unittest.TestCase):
    @unittest.skipIf(bf.SANITIZER, "instructions of a sanitized build say nothing")
    @unittest.skipIf(os.uname().machine != "x86_64", "the record is of x86-64")
    @unittest.skipIf(shutil.which("valgrind") is None, "no valgrind here: apt-get install valgrind")
    def test_instructions_per_small_file_are_within_the_record(self):
        with tempfile.TemporaryDirectory() as cache:
            count = instructions.per_file(os.path.dirname(os.path.realpath(bf.BINARY)), cache)
        record = instructions.recorded()
        self.assertGreater(count, 10_000, "less than hashing alone takes: nothing was measured")
        self.assertLessEqual(
            count, record * instructions.MARGIN,
            f"{count} instructions per 4 KiB file, the record is {record}: find out why with `callgrind_annotate`; if it "
            "must be, tests/bench/instructions.py --record")
        if count * instructions.MARGIN < record:
            print(f"# {count} instructions per 4 KiB file, the record is {record}: record the gain with "
                  "tests/bench/instructions.py --record")


if __name__ == "__main__":
    unittest.main()
