"""The command line: options, exit codes, environment, output."""
import os
import subprocess
import unittest

import bf


class CommandLine(bf.TestCase):
    def test_cli_usage_errors_do_nothing(self):
        ws = self.ws
        ws.migrated(2)
        before, keys = ws.dump(), ws.store.keys()
        for args in (
                (), ("frobnicate",), ("migrate", "--no-such-option"), ("migrate", "-x"), ("migrate",),
                ("migrate", "--batch-id"), ("migrate", "--batch-id", ""), ("migrate", "--batch-id", "b1", "--all"),
                ("migrate", "--all", "extra"), ("migrate", "--all", "--concurrency", "0"),
                ("migrate", "--all", "--concurrency", "ten"), ("migrate", "--all", "--part-size", "1K"),
                ("migrate", "--all", "--if-exists", "maybe"), ("migrate", "--all", "--max-failures", "-1"),
                ("plan",), ("plan", "--from-dir", "x", "--from-csv", "y"), ("plan", "--from-table"),
                ("audit",), ("audit", "shred"), ("status", "--limit", "0"), ("status", "--status", "fine"),
                ("rollback",), ("rollback", "--confirm", "--force"),
                ("rollback", "--batch-id", "b1", "--confirm"),  # no terminal, no --force
                ("rollback", "--batch-id", "b1", "--force"),
                ("rollback", "--batch-id", "b1", "--dry-run", "--confirm", "--force"),
                ("rollback", "--batch-id", "b1", "--database-only", "--r2-only"),
                ("rollback", "--failed-only", "--full-rollback"),
                ("rollback", "--start-date", "2024-02-30"), ("rollback", "--end-date", "31/01/2024"),
                ("rollback", "--start-date", "2024-03-01", "--end-date", "2024-02-01"),
                ("rollback", "--batch-id", "", "--confirm", "--force"),
                ("--db", "oracle:x", "status"), ("--target", "ftp://x", "status"), ("--log-level", "loud", "status"),
                ("--endpoint-url", "http://user:pw@host", "status")):
            with self.subTest(args=args):
                result = ws.run(*args, expect=2)
                self.assertTrue(result.err, "no message")
                self.assertNotIn("pw@", result.text)
        self.assertEqual(ws.dump(), before)
        self.assertEqual(ws.store.keys(), keys)

    def test_cli_unknown_option_is_helpful(self):
        result = self.ws.run("migrate", "--bach-id", "b1", expect=2)
        self.assertIn("--bach-id", result.err)
        self.assertIn("--batch-id", result.err)

    def test_cli_help_and_version(self):
        ws = self.ws
        with open(os.path.join(bf.ROOT, "VERSION")) as f:
            version = f.read().strip()
        self.assertEqual(ws.run("--version", expect=0, bare=True).out.strip(), f"blobferry {version}")
        general = ws.run("--help", expect=0, bare=True).out
        for command in ("init", "plan", "migrate", "verify", "rollback", "status", "audit"):
            self.assertIn(command, general)
            text = ws.run(command, "--help", expect=0, bare=True).out
            self.assertIn("usage: blobferry", text)
        self.assertEqual(sorted(os.listdir(ws.dir)), ["bucket", "files"])

    def test_cli_nothing_matches(self):
        ws = self.ws
        ws.migrated(2)
        for args in (("status", "--batch-id", "nope"), ("status", "--user-id", "nope"), ("rollback", "--batch-id", "nope"),
                     ("rollback", "--batch-id", "nope", "--confirm", "--force"),
                     ("rollback", "--user-id", "u", "--confirm", "--force"),
                     ("rollback", "--batch-id", "b1", "--user-id", "other", "--confirm", "--force")):
            with self.subTest(args=args):
                self.assertIn("No migration records found", ws.run(*args, expect=1).err)
        self.assertIn("nope", ws.run("migrate", "--batch-id", "nope", expect=1).err)
        self.assertEqual(ws.run("verify", "--batch-id", "nope").code, 1)
        self.assertEqual(ws.statuses(), {"completed": 2})

    def test_cli_no_target(self):
        ws = self.ws
        ws.make_files(1)
        ws.run("init", expect=0)
        ws.plan()
        result = ws.run("--db", "sqlite:" + ws.db, "migrate", "--batch-id", "b1", bare=True, expect=2)
        self.assertIn("--target", result.err)
        self.assertEqual(ws.statuses(), {"pending": 1})

    def test_cli_configuration_order(self):
        """Flags over environment over file; every option has a variable."""
        ws = self.ws
        ws.make_files(1)
        with open(ws.path("blobferry.conf"), "w") as f:
            f.write(f"db = sqlite:{ws.path('from-file.db')}\nlog-dir = {ws.path('file-logs')}\n")
        ws.run("init", "--no-config", bare=True, expect=0)
        self.assertTrue(os.path.exists(ws.path("from-file.db")))
        ws.run("init", "--no-config", bare=True, expect=0, env={"BLOBFERRY_DB": "sqlite:" + ws.path("from-env.db")})
        self.assertTrue(os.path.exists(ws.path("from-env.db")))
        ws.run("--db", "sqlite:" + ws.path("from-flag.db"), "init", "--no-config", bare=True, expect=0,
               env={"BLOBFERRY_DB": "sqlite:" + ws.path("other.db")})
        self.assertTrue(os.path.exists(ws.path("from-flag.db")))
        self.assertFalse(os.path.exists(ws.path("other.db")))
        self.assertFalse(os.path.exists(ws.path("logs")))

    def test_cli_whole_job_by_environment(self):
        ws = self.ws
        ws.make_files(3)
        env = {"BLOBFERRY_DB": "sqlite:" + ws.db, "BLOBFERRY_TARGET": ws.store.target,
               "BLOBFERRY_SOURCE_ROOT": ws.sources, "BLOBFERRY_LOG_DIR": ws.logs}
        for args in (("init",), ("plan", "--from-dir", ws.sources, "--batch-id", "e", "--user-id", "u"),
                     ("migrate", "--batch-id", "e"), ("verify", "--batch-id", "e"), ("audit", "verify")):
            ws.run(*args, bare=True, env=env, expect=0)
        self.assertEqual(ws.statuses(), {"verified": 3})
        ws.check()

    def test_cli_full_disk_on_stdout_is_told(self):
        ws = self.ws
        ws.migrated(2)
        with open("/dev/full", "w") as full:
            done = subprocess.run(ws.command(["status"]), stdout=full, stderr=subprocess.PIPE, cwd=ws.dir,
                                  env=ws.environment())
        self.assertNotEqual(done.returncode, 0)
        self.assertGreaterEqual(done.returncode, 0, "died by a signal")

    def test_cli_closed_pipe_is_no_crash(self):
        ws = self.ws
        ws.migrated(30)
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(ws.command(["status", "--batch-id", "b1"]), stdout=write, stderr=subprocess.PIPE, cwd=ws.dir,
                              env=ws.environment())
        os.close(write)
        self.assertGreaterEqual(done.returncode, 0, "died by a signal")

    def test_cli_closed_descriptors(self):
        """With 0, 1 and 2 closed, no file of ours may get their numbers."""
        ws = self.ws
        ws.make_files(2)
        ws.run("init", expect=0)
        ws.plan()
        script = 'exec "$@" <&- >&- 2>&-'
        subprocess.run(["sh", "-c", script, "sh", *ws.command(["migrate", "--batch-id", "b1"])], cwd=ws.dir,
                       env=ws.environment(), timeout=60)
        self.assertEqual(ws.statuses(), {"completed": 2})
        ws.check()

    def test_cli_quiet_and_plain(self):
        ws = self.ws
        ws.make_files(3)
        ws.run("init", expect=0)
        ws.plan()
        result = ws.run("--quiet", "migrate", "--batch-id", "b1", expect=0)
        self.assertEqual(result.text, "")
        for args in (("status",), ("status", "--batch-id", "b1"), ("verify", "--batch-id", "b1")):
            self.assertNotIn("\x1b", ws.run(*args, expect=0).text)  # no terminal, no colours, no cursor

    def test_cli_terminal_has_progress_and_colour(self):
        ws = self.ws
        ws.make_files(200)
        ws.run("init", expect=0)
        ws.plan()
        text = self.on_terminal(["migrate", "--batch-id", "b1"])
        self.assertIn("200", text)
        self.assertIn("\x1b[", self.on_terminal(["status"]))
        self.assertNotIn("\x1b[3", self.on_terminal(["status"], {"NO_COLOR": "1"}))
        self.assertNotIn("\x1b[3", self.on_terminal(["--no-color", "status"]))

    def on_terminal(self, args, env=None):
        import pty
        ws = self.ws
        main, side = pty.openpty()
        child = subprocess.Popen(ws.command(args), stdin=side, stdout=side, stderr=side, cwd=ws.dir,
                                 env=ws.environment({"TERM": "xterm", **(env or {})}))
        os.close(side)
        seen = b""
        while True:
            try:
                block = os.read(main, 65536)
            except OSError:
                break
            if not block:
                break
            seen += block
        os.close(main)
        self.assertEqual(child.wait(), 0, seen.decode(errors="replace"))
        return seen.decode(errors="replace")

    def test_cli_hostile_names_stay_on_their_line(self):
        ws = self.ws
        ws.make_files(1)
        ws.run("init", expect=0)
        ws.plan()
        ws.change("UPDATE file_migrations SET error_message = ?, status = 'failed'", "bad\nline\x1b[2J\x9b31m\u202e\r")
        ws.change("UPDATE files SET user_id = ?", "u\n\x1b]0;title\x07")
        result = ws.run("status", "--batch-id", "b1", expect=0)
        for char in "\x1b\x07\r\x9b\u202e":
            self.assertNotIn(char, result.text)
        ws.run("--json", "status", "--batch-id", "b1", expect=0).json()


if __name__ == "__main__":
    unittest.main()
