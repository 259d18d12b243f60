"""analyze and the reading audit commands: what they say is counted here from the trail's own lines, by json."""
import csv
import io
import os
import subprocess
import unittest

import bf



class Analyze(bf.TestCase):
    def prepare(self):
        """20 files, 3 of them gone before the run; half taken back."""
        ws = self.ws
        names = ws.make_files(20, smallest=1)
        ws.run("init", expect=0)
        ws.plan()
        for name in names[:3]:
            os.unlink(os.path.join(ws.sources, name))
        ws.run("migrate", "--batch-id", "b1", expect=1)
        ws.run("rollback", "--batch-id", "b1", "--limit", "5", "--confirm", "--force")
        return [e for e in ws.audit() if e["action"] == "upload_outcome"]

    def test_analyze_counts_what_the_trail_says(self):
        outcomes = self.prepare()
        good = [e for e in outcomes if e["success"]]
        document = self.ws.run("--json", "analyze", expect=0).json()
        uploads = document["operations"]["uploads"]
        self.assertEqual((uploads["succeeded"], uploads["failed"]), (len(good), len(outcomes) - len(good)))
        self.assertEqual((len(good), len(outcomes)), (17, 20))
        self.assertEqual(uploads["bytes"], sum(e["size"] for e in good))
        self.assertEqual(sum(document["errors_by_class"].values()) >= 3, True, document)
        self.assertTrue(any("5" in text for text in document["alerts"]), document["alerts"])
        # the line that scripts look for
        everything = sum(k["succeeded"] + k["failed"] for k in document["operations"].values())
        succeeded = sum(k["succeeded"] for k in document["operations"].values())
        text = self.ws.run("analyze", expect=0).out
        self.assertRegex(text, r"(?m)^Success Rate: \d+\.\d%$")
        rate = float(text.split("Success Rate: ")[1].split("%")[0])
        self.assertAlmostEqual(rate, 100 * succeeded / everything, delta=0.1)
        self.assertIn("ALERT", text)

    def test_analyze_of_one_log_file_and_foreign_ones(self):
        self.prepare()
        ws = self.ws
        with open(os.path.join(ws.logs, "nginx.log"), "w") as f:
            f.write('127.0.0.1 - - [21/Nov/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 1\n' * 50)
        with open(os.path.join(ws.logs, "core.log"), "wb") as f:
            f.write(os.urandom(5000))
        result = ws.run("analyze", expect=0)
        self.assertIn("nginx.log", result.err)
        self.assertIn("core.log", result.err)
        whole = ws.run("--json", "analyze", "--log-file", ws.audit_file(), expect=0).json()
        self.assertEqual(whole["operations"]["uploads"]["succeeded"], 17)
        ws.run("analyze", "--log-file", ws.path("no-such.log"), expect=5)

    def test_analyze_damaged_lines_are_counted_not_believed(self):
        self.prepare()
        ws = self.ws
        with open(ws.audit_file(), "rb") as f:
            lines = f.read().splitlines(keepends=True)
        place = next(n for n, line in enumerate(lines) if b'"upload_outcome"' in line and b'"success":true' in line)
        lines[place] = lines[place][:60] + b"\n"
        with open(ws.audit_file(), "wb") as f:
            f.writelines(lines)
        document = ws.run("--json", "analyze", "--log-file", ws.audit_file(), expect=0).json()
        self.assertEqual(document["operations"]["uploads"]["succeeded"], 16)
        self.assertEqual(document["damaged_lines"], 1)

    def test_analyze_without_logs_is_no_success(self):
        result = self.ws.run("analyze")
        self.assertNotEqual(result.code, 0, result)


class AuditCommands(bf.TestCase):
    def test_audit_list_show_and_export_agree_with_the_file(self):
        ws = self.ws
        ws.migrated(4)
        ws.run("verify", "--batch-id", "b1", expect=0)
        entries = ws.audit()
        runs = ws.run("--json", "audit", "list", expect=0).json()["runs"]
        self.assertEqual({r["run"]: r["lines"] for r in runs},
                         {run: sum(e["run"] == run and e["action"] != "log_begin" for e in entries) for run in {e["run"] for e in entries}})
        last = entries[-1]["run"]
        shown = ws.run("--json", "audit", "show", last, expect=0).json()["lines"]
        self.assertEqual([line["seq"] for line in shown], [e["seq"] for e in entries if e["run"] == last])
        self.assertIn("verify_outcome", ws.run("audit", "show", last[:13], expect=0).out)
        exported = ws.run("audit", "export", expect=0).out
        with open(ws.audit_file()) as f:
            self.assertEqual(exported, f.read())
        table = list(csv.DictReader(io.StringIO(ws.run("audit", "export", "--format", "csv", "--run", last, expect=0).out)))
        self.assertEqual([int(row["seq"]) for row in table], [line["seq"] for line in shown])
        ws.run("audit", "export", "--from", "2099-01-01", expect=1)
        ws.run("audit", "show", "no-such-run", expect=1)

    def test_audit_closing_lines_are_signed_and_openssl_agrees(self):
        ws = self.ws
        key = ws.path("audit.key")
        ws.run("audit", "keygen", "--key", key, expect=0)
        self.assertEqual(os.stat(key).st_mode & 0o077, 0)
        env = {"BLOBFERRY_AUDIT_KEY_FILE": key}
        ws.make_files(3)
        for args in (("init",), ("plan", "--from-dir", ws.sources, "--batch-id", "b1", "--user-id", "u"),
                     ("migrate", "--batch-id", "b1")):
            ws.run(*args, env=env, expect=0)
        ws.run("audit", "verify", "--public-key", key + ".pub", expect=0)
        check = subprocess.run(["openssl", "pkey", "-pubin", "-in", key + ".pub", "-noout", "-text"], capture_output=True,
                               text=True, check=True)
        self.assertIn("ED25519", check.stdout.upper())
        other = ws.path("other.key")
        ws.run("audit", "keygen", "--key", other, expect=0)
        ws.run("audit", "verify", "--public-key", other + ".pub", expect=1)
        result = ws.run("audit", "keygen", "--key", key)
        self.assertNotEqual(result.code, 0, "a key was overwritten")
        # a signature that was altered, in a chain that was written anew around it
        entries = ws.audit()
        last = next(e for e in reversed(entries) if "sig" in e)
        flipped = ("1" if last["sig"][0] == "0" else "0") + last["sig"][1:]
        with open(ws.audit_file()) as f:
            lines = f.read().splitlines()
        previous, forged = "0" * 64, []
        for line in lines:
            body = line[:line.rindex(',"hash":"')].replace(last["sig"], flipped)
            previous = bf.sha256(f"{previous}\n{body}}}".encode())
            forged.append(f'{body},"hash":"{previous}"}}\n')
        with open(ws.audit_file(), "w") as f:
            f.writelines(forged)
        ws.run("audit", "verify", "--no-database", expect=0)
        ws.run("audit", "verify", "--no-database", "--public-key", key + ".pub", expect=1)
        ws.run("audit", "verify", expect=1)  # and the database remembers the true head


if __name__ == "__main__":
    unittest.main()
