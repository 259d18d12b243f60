"""The audit trail: whole after every run, and every kind of damage is found and named."""
import os
import signal
import sqlite3
import unittest

import audit_chain
import bf


class Audit(bf.TestCase):
    def setUp(self):
        super().setUp()
        self.ws.migrated(4)
        self.ws.run("verify", "--batch-id", "b1", expect=0)
        with open(self.ws.audit_file(), "rb") as f:
            self.data = f.read()
        self.lines = self.data.splitlines(keepends=True)

    def damaged(self, data, line=None):
        """audit verify says no and names the first bad line; the independent reader agrees."""
        with open(self.ws.audit_file(), "wb") as f:
            f.write(data)
        result = self.ws.run("--json", "audit", "verify", expect=1)
        if line is not None:
            self.assertEqual(result.json()["bad_line"], line, result)
            with self.assertRaises(audit_chain.BrokenChain) as broken:
                audit_chain.read(self.ws.audit_file())
            self.assertEqual(broken.exception.line, line)
        with open(self.ws.audit_file(), "rb") as f:
            self.assertEqual(f.read(), data, "a check has written")

    def test_audit_is_whole_and_tells_the_story(self):
        ws = self.ws
        document = ws.run("--json", "audit", "verify", expect=0).json()
        entries = ws.audit()
        self.assertEqual(document["lines"], len(entries))
        self.assertEqual(document["bad_line"], 0)
        self.assertEqual(document["in_doubt"], 0)
        self.assertGreater(document["heads_checked"], 0)
        self.assertEqual([e["action"] for e in entries].count("run_begin"), [e["action"] for e in entries].count("run_end"))
        for row in ws.rows():
            story = [e for e in entries if e.get("record_id") == row["id"]]
            actions = [e["action"] for e in story]
            self.assertLess(actions.index("upload_intent"), actions.index("upload_outcome"))
            outcome = story[actions.index("upload_outcome")]
            self.assertEqual(outcome["sha256"], row["migrated_checksum"])
            self.assertEqual(outcome["target_key"] if "target_key" in outcome else outcome["target_r2_key"],
                             row["target_r2_key"])
        for entry in entries:
            self.assertRegex(entry["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertTrue(all(not isinstance(v, float) for v in entry.values()))

    def test_audit_head_is_in_the_database(self):
        last = self.ws.audit()[-1]
        with self.ws.database() as db:
            tables = [r[0] for r in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'blobferry_%'")]
            texts = [str(v) for t in tables for row in db.execute(f"SELECT * FROM {t}") for v in row]
        self.assertIn(last["hash"], texts)

    def test_audit_flipped_byte_in_every_line(self):
        offset = 0
        for number, line in enumerate(self.lines, 1):
            at = offset + len(line) // 2
            self.damaged(self.data[:at] + bytes([self.data[at] ^ 1]) + self.data[at + 1:], number)
            offset += len(line)

    def test_audit_missing_doubled_and_swapped_lines(self):
        lines, middle = self.lines, len(self.lines) // 2
        self.damaged(b"".join(lines[:middle] + lines[middle + 1:]), middle + 1)
        self.damaged(b"".join(lines[:middle] + [lines[middle]] + lines[middle:]), middle + 2)
        self.damaged(b"".join(lines[:middle] + [lines[middle + 1], lines[middle]] + lines[middle + 2:]), middle + 1)

    def test_audit_missing_first_line(self):
        self.damaged(b"".join(self.lines[1:]), 1)

    def test_audit_cut_tail_is_seen_by_the_database(self):
        self.damaged(b"".join(self.lines[:-1]))
        self.damaged(b"".join(self.lines[:3]))

    def test_audit_removed_file_is_seen_by_the_database(self):
        os.unlink(self.ws.audit_file())
        self.assertNotEqual(self.ws.run("audit", "verify").code, 0)

    def test_audit_spliced_file(self):
        other = bf.Workspace("dir")
        self.addCleanup(other.close)
        other.migrated(4)
        with open(other.audit_file(), "rb") as f:
            foreign = f.read().splitlines(keepends=True)
        self.damaged(b"".join(self.lines[:5] + foreign[5:]), 6)

    def test_audit_rewritten_chain_is_seen_by_the_database(self):
        """Whoever forges a line and every hash after it still cannot reach the heads in the database."""
        import hashlib
        previous, forged = "0" * 64, []
        for line in self.lines:
            found = audit_chain.END.search(line.rstrip(b"\n"))
            bare = (line[:found.start()] + b"}").replace(b'"u1"', b'"u9"').replace(b"file-00001", b"file-66666")
            previous = hashlib.sha256(previous.encode() + b"\n" + bare).hexdigest()
            forged.append(bare[:-1] + b',"hash":"' + previous.encode() + b'"}\n')
        self.assertNotEqual(b"".join(forged), self.data)
        with open(self.ws.audit_file(), "wb") as f:
            f.write(b"".join(forged))
        audit_chain.read(self.ws.audit_file())  # the chain itself is sound
        self.ws.run("audit", "verify", expect=1)

    def test_audit_torn_tail_is_kept_and_recorded(self):
        ws = self.ws
        with open(ws.audit_file(), "ab") as f:
            f.write(b'{"v":1,"time":"2026-01-01T00:00')
        ws.run("verify", "--batch-id", "b1", expect=0)
        entries = ws.audit()
        self.assertEqual([e["action"] for e in entries].count("torn_tail"), 1)
        with open(ws.audit_file(), "rb") as f:
            self.assertTrue(f.read().startswith(self.data + b'{"v":1,"time":"2026-01-01T00:00\n'))
        self.assertEqual(ws.run("--json", "audit", "verify", expect=0).json()["torn_tails"], 1)

    def test_audit_many_writers_one_chain(self):
        """Commands at the same time share one file; their lines never mix."""
        ws = self.ws
        children = [ws.start("verify", "--batch-id", "b1") for _ in range(4)]
        for child in children:
            self.assertEqual(ws.finish(child).code, 0)
        runs = {e["run"] for e in ws.audit("run_begin")}
        self.assertEqual(len(runs), 3 + 1 + 4)
        ws.run("audit", "verify", expect=0)

    def test_audit_after_a_kill(self):
        ws = self.ws
        ws.write("more/one", b"x" * 100000)
        ws.run("plan", "--from-dir", ws.path("files/more"), "--batch-id", "b2", "--user-id", "u", "--key-template",
               "more/{path}", expect=0)
        child = ws.start("migrate", "--batch-id", "b2")
        bf.wait_for(lambda: len(audit_lines(ws)) > len(self.lines) + 4 or child.poll() is not None, what="audit lines")
        child.send_signal(signal.SIGKILL)
        ws.finish(child)
        ws.run("migrate", "--batch-id", "b2", expect=0)
        self.assertEqual(ws.run("--json", "audit", "verify", expect=0).json()["in_doubt"], 0)

    def test_audit_needs_no_database(self):
        ws = self.ws
        ws.run("audit", "verify", "--no-database", expect=0)
        with sqlite3.connect(ws.path("empty.db")):
            pass
        ws.run("audit", "verify", "--no-database", expect=0)


def audit_lines(ws):
    with open(ws.audit_file(), "rb") as f:
        return f.read().split(b"\n")


if __name__ == "__main__":
    unittest.main()
