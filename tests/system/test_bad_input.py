"""Bad input: each has a clear message with a hint, the right exit code, no row left in hand, and nothing lost."""
import os
import shutil
import socket
import sqlite3
import threading
import unittest

import bf


class BadSource(bf.TestCase):
    """One bad file among good ones: it fails with a message, the others complete."""

    def setUp(self):
        super().setUp()
        self.ws.make_files(5)
        self.bad = self.ws.write("bad.bin", b"soon to be bad" * 100)
        self.ws.run("init", expect=0)
        self.ws.plan()

    def one_bad(self, word, error_class=None, **options):
        ws = self.ws
        result = ws.run("migrate", "--batch-id", "b1", expect=1, limit=30, **options)
        self.assertEqual(ws.statuses(), {"completed": 5, "failed": 1})
        row = ws.row("bad.bin")
        self.assertEqual(row["status"], "failed")
        self.assertRegex(row["error_message"], word)
        self.assertIsNone(row["r2_key"])
        self.assertIsNone(ws.store.get("bad.bin"))
        self.assertIn("bad.bin", result.err)
        if error_class:
            found = ws.run("--json", "status", "--batch-id", "b1", "--status", "failed").json()
            self.assertEqual([r["error_class"] for r in found["records"]], [error_class])
        ws.check()
        return row

    def test_bad_source_vanished(self):
        os.unlink(self.bad)
        self.one_bad("bad.bin", "file_missing")

    def test_bad_source_unreadable(self):
        os.chmod(self.bad, 0)
        self.one_bad("bad.bin", "file_denied", unprivileged=True)

    def test_bad_source_fifo_does_not_block(self):
        os.unlink(self.bad)
        os.mkfifo(self.bad)
        self.one_bad("bad.bin", "file_type")

    def test_bad_source_symlink(self):
        os.rename(self.bad, self.ws.path("elsewhere"))
        os.symlink(self.ws.path("elsewhere"), self.bad)
        self.one_bad("bad.bin", "file_type")

    def test_bad_source_symlink_in_the_way(self):
        ws = self.ws
        os.makedirs(ws.path("outside/sub"))
        os.rename(ws.path("files/d0"), ws.path("outside/d0"))
        os.symlink(ws.path("outside/d0"), ws.path("files/d0"))
        ws.run("migrate", "--batch-id", "b1", expect=1)
        self.assertEqual(ws.row("d0/file-00000.bin")["status"], "failed")
        self.assertEqual(ws.statuses(), {"completed": 5, "failed": 1})

    def test_bad_source_directory(self):
        os.unlink(self.bad)
        os.mkdir(self.bad)
        self.one_bad("bad.bin", "file_type")

    def test_bad_source_socket(self):
        os.unlink(self.bad)
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        here = os.getcwd()
        os.chdir(self.ws.sources)  # names of sockets are short
        listener.bind("bad.bin")
        os.chdir(here)
        self.one_bad("bad.bin", "file_type")

    def test_bad_source_other_checksum_than_recorded(self):
        ws = self.ws
        ws.change("UPDATE file_migrations SET original_checksum = ? WHERE source_path LIKE '%bad.bin'", "0" * 64)
        self.one_bad("checksum", "file_changed")

    def test_bad_source_other_size_than_recorded(self):
        self.ws.change("UPDATE file_migrations SET file_size = 7 WHERE source_path LIKE '%bad.bin'")
        self.one_bad("7", "file_changed")

    def test_bad_source_every_form_of_checksum_is_recognised(self):
        import base64
        import hashlib
        ws, data = self.ws, self.ws.source("bad.bin")
        forms = [f(data).hexdigest() for f in (hashlib.md5, hashlib.sha1, hashlib.sha256)]
        forms += [f.upper() for f in forms]
        forms += [base64.b64encode(f(data).digest()).decode() for f in (hashlib.md5, hashlib.sha256)]
        ws.change("DELETE FROM file_migrations")
        ws.change("DELETE FROM migration_batches")
        ws.change("DELETE FROM files")
        ws.change("DELETE FROM blobferry_records")
        with open(ws.path("in.csv"), "w") as f:
            f.write("source_path,target_key,checksum\n")
            f.writelines(f"bad.bin,k{n},{form}\n" for n, form in enumerate(forms + [""]))
        ws.run("plan", "--from-csv", "in.csv", "--batch-id", "forms", "--user-id", "u", expect=0)
        ws.run("migrate", "--batch-id", "forms", expect=0)
        self.assertEqual(ws.statuses("forms"), {"completed": len(forms) + 1})
        ws.check()

    def test_bad_source_mended_is_sent_by_retry_failed(self):
        ws = self.ws
        os.rename(self.bad, ws.path("aside"))
        self.one_bad("bad.bin")
        os.rename(ws.path("aside"), self.bad)
        ws.run("migrate", "--batch-id", "b1", expect=1)  # failed rows stay, and are not forgotten
        self.assertEqual(ws.statuses(), {"completed": 5, "failed": 1})
        ws.run("migrate", "--batch-id", "b1", "--retry-failed", expect=0)
        self.assertEqual(ws.statuses(), {"completed": 6})
        ws.check()


class ChangingSource(bf.TestCase):
    store = "s3"

    def changing(self, change):
        """Migrate big.bin through a slow proxy and change it meanwhile."""
        ws = self.ws
        path = ws.write("big.bin", b"a" * 3_000_000)
        ws.make_files(3)
        ws.run("init", expect=0)
        ws.plan()
        proxy = self.proxy(bf.Fault("slow", 1_500_000, path="big", method="PUT", times=0))
        child = ws.start("migrate", "--batch-id", "b1")
        bf.wait_for(lambda: proxy.count("PUT", path="big") > 0, what="the upload")
        change(path)
        result = ws.finish(child)
        # Whatever was decided must be true: completed only with exactly what the source holds now.
        if ws.row("big.bin")["status"] == "completed":
            self.assertEqual(ws.store.get("big.bin"), ws.source("big.bin"))
            self.assertEqual(result.code, 0)
        else:
            self.assertEqual(ws.row("big.bin")["status"], "failed")
            self.assertEqual(result.code, 1)
            self.assertIsNone(ws.row("big.bin")["r2_key"])
        self.assertEqual(ws.statuses().get("completed", 0) + ws.statuses().get("failed", 0), 4)
        ws.check()
        ws.run("migrate", "--batch-id", "b1", "--retry-failed")
        return ws.row("big.bin")

    def rewrite(self, path):
        with open(path, "r+b") as f:
            f.seek(2_999_990)
            f.write(b"CHANGED")

    def truncate(self, path):
        os.truncate(path, 1000)

    def append(self, path):
        with open(path, "ab") as f:
            f.write(b"more")

    def replace(self, path):
        with open(path + ".new", "wb") as f:
            f.write(b"b" * 3_000_000)
        about = os.stat(path)
        os.utime(path + ".new", ns=(about.st_atime_ns, about.st_mtime_ns))
        os.rename(path + ".new", path)

    def test_changing_source_rewritten_in_place(self):
        self.changing(self.rewrite)

    def test_changing_source_truncated(self):
        self.changing(self.truncate)

    def test_changing_source_appended(self):
        self.changing(self.append)

    def test_changing_source_replaced_by_same_size_and_time(self):
        self.changing(self.replace)

    def test_changing_source_removed(self):
        ws = self.ws
        path = ws.write("big.bin", b"a" * 3_000_000)
        ws.run("init", expect=0)
        ws.plan()
        proxy = self.proxy(bf.Fault("slow", 1_500_000, method="PUT", times=0))
        child = ws.start("migrate", "--batch-id", "b1")
        bf.wait_for(lambda: proxy.count("PUT") > 0, what="the upload")
        os.unlink(path)
        self.assertEqual(ws.finish(child).code, 1)
        self.assertEqual(ws.statuses(), {"failed": 1})


class BadStore(bf.TestCase):
    store = "s3"

    def setUp(self):
        super().setUp()
        self.ws.make_files(20)
        self.ws.freeze()
        self.ws.run("init", expect=0)
        self.ws.plan()

    def stopped(self, result, *words):
        """Exit 4, all rows pending as before, a message with a hint; and everything works afterwards."""
        ws = self.ws
        self.assertEqual(result.code, 4, result)
        self.assertEqual(ws.statuses(), {"pending": 20})
        for word in words:
            self.assertIn(word, result.err)
        self.assertIn("hint:", result.err)
        ws.check()
        ws.endpoint = None
        ws.run("migrate", "--batch-id", "b1", expect=0)
        ws.check()

    def test_bad_store_wrong_secret_stops_at_once(self):
        proxy = self.proxy()
        result = self.ws.run("migrate", "--batch-id", "b1", env={"AWS_SECRET_ACCESS_KEY": "wrong" * 8})
        self.assertLessEqual(proxy.count(), 32, "hammers a store that has said no")
        self.assertEqual(self.ws.store.keys(), set())
        self.stopped(result)

    def test_bad_store_unknown_access_key(self):
        self.stopped(self.ws.run("migrate", "--batch-id", "b1", env={"AWS_ACCESS_KEY_ID": "NOSUCHKEY"}))

    def test_bad_store_no_credentials(self):
        ws = self.ws
        result = ws.run("migrate", "--batch-id", "b1",
                        env={"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, expect=2)
        self.assertIn("AWS_ACCESS_KEY_ID", result.err)
        self.assertEqual(ws.statuses(), {"pending": 20})

    def test_bad_store_unreachable(self):
        with socket.socket() as s:  # a port where nobody listens
            s.bind(("127.0.0.1", 0))
            self.ws.endpoint = f"http://127.0.0.1:{s.getsockname()[1]}"
            result = self.ws.run("migrate", "--batch-id", "b1", limit=60)
        self.stopped(result, "127.0.0.1")

    def test_bad_store_unknown_host(self):
        self.ws.endpoint = "http://no-such-host.invalid"
        self.stopped(self.ws.run("migrate", "--batch-id", "b1", limit=60), "no-such-host.invalid")

    def test_bad_store_missing_bucket(self):
        ws = self.ws
        target, ws.store.target = ws.store.target, "s3://bf-no-such-bucket"
        result = ws.run("migrate", "--batch-id", "b1")
        ws.store.target = target
        self.stopped(result, "bf-no-such-bucket")

    def test_bad_store_no_http_server(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            def serve():
                while True:
                    try:
                        sock, _ = server.accept()
                    except OSError:
                        return
                    sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                    sock.close()
            threading.Thread(target=serve, daemon=True).start()
            self.ws.endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
            result = self.ws.run("migrate", "--batch-id", "b1", limit=60)
            server.close()
        self.stopped(result)

    def test_bad_store_verify_with_wrong_secret_changes_nothing(self):
        ws = self.ws
        ws.run("migrate", "--batch-id", "b1", expect=0)
        rows = ws.dump()["file_migrations"]
        ws.run("verify", "--batch-id", "b1", env={"AWS_SECRET_ACCESS_KEY": "wrong"}, expect=4)
        self.assertEqual(ws.dump()["file_migrations"], rows)
        ws.run("rollback", "--batch-id", "b1", "--confirm", "--force", env={"AWS_SECRET_ACCESS_KEY": "wrong"}, expect=4)
        self.assertEqual(len(ws.store.keys()), 20)
        self.assertEqual(ws.statuses(), {"completed": 20})
        ws.check()


class BadDatabase(bf.TestCase):
    def setUp(self):
        super().setUp()
        self.ws.make_files(5)
        self.ws.freeze()

    def refused(self, *args, word=None, **options):
        result = self.ws.run(*args, expect=3, **options)
        if word:
            self.assertIn(word, result.err)
        self.assertIn("hint:", result.err)
        return result

    def test_bad_database_locked(self):
        ws = self.ws
        ws.run("init", expect=0)
        ws.plan()
        before = ws.dump()["file_migrations"]
        holder = sqlite3.connect(ws.db, isolation_level=None)
        self.addCleanup(holder.close)
        holder.execute("BEGIN IMMEDIATE")
        both = [ws.start("migrate", "--batch-id", "b1"),
                ws.start("plan", "--from-dir", ws.sources, "--batch-id", "b2", "--key-template", "2/{path}")]
        for result in map(ws.finish, both):
            self.assertEqual(result.code, 3, result)
            self.assertIn("locked", result.err)
            self.assertIn("hint:", result.err)
        holder.execute("ROLLBACK")
        self.assertEqual(ws.dump()["file_migrations"], before)
        ws.run("migrate", "--batch-id", "b1", expect=0)
        ws.check()

    def test_bad_database_locked_for_a_moment_is_waited_for(self):
        ws = self.ws
        ws.run("init", expect=0)
        ws.plan()
        holder = sqlite3.connect(ws.db, isolation_level=None, check_same_thread=False)
        self.addCleanup(holder.close)
        holder.execute("BEGIN IMMEDIATE")
        threading.Timer(1.0, lambda: holder.execute("ROLLBACK")).start()
        ws.run("migrate", "--batch-id", "b1", expect=0)
        ws.check()

    def test_bad_database_read_only(self):
        ws = self.ws
        ws.run("init", expect=0)
        ws.plan()
        for suffix in ("-wal", "-shm"):
            if os.path.exists(ws.db + suffix):
                with sqlite3.connect(ws.db) as db:
                    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                db.close()
        os.chmod(ws.db, 0o444)
        self.refused("migrate", "--batch-id", "b1", unprivileged=True)
        os.chmod(ws.db, 0o644)
        self.assertEqual(ws.statuses(), {"pending": 5})

    def test_bad_database_missing(self):
        result = self.refused("status")
        self.assertIn(self.ws.db, result.err)
        self.assertFalse(os.path.exists(self.ws.db))
        self.refused("migrate", "--batch-id", "b1")
        self.assertFalse(os.path.exists(self.ws.db))

    def test_bad_database_not_sqlite(self):
        with open(self.ws.db, "w") as f:
            f.write("this is a letter, not a database\n" * 100)
        for args in (("status",), ("init",), ("migrate", "--batch-id", "b1")):
            self.refused(*args)
        with open(self.ws.db) as f:
            self.assertEqual(f.read(), "this is a letter, not a database\n" * 100)

    def test_bad_database_foreign(self):
        ws = self.ws
        with sqlite3.connect(ws.db) as db:
            db.execute("CREATE TABLE recipes (id INTEGER PRIMARY KEY, name TEXT)")
            db.execute("INSERT INTO recipes (name) VALUES ('soup')")
        db.close()
        dump = ws.dump()
        result = self.refused("status")
        self.assertIn("file_migrations", result.err)
        self.refused("migrate", "--batch-id", "b1")
        self.assertEqual(ws.dump(), dump)

    def test_bad_database_missing_column_is_named(self):
        ws = self.ws
        ws.run("init", expect=0)
        ws.change("ALTER TABLE files DROP COLUMN checksum")
        for args in (("status",), ("migrate", "--all"), ("plan", "--from-dir", ws.sources)):
            self.refused(*args, word="checksum")

    def test_bad_database_corrupt(self):
        ws = self.ws
        ws.run("init", expect=0)
        ws.plan()
        with sqlite3.connect(ws.db) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        size = os.path.getsize(ws.db)
        with open(ws.db, "r+b") as f:
            f.seek(100)
            f.write(b"\xff" * (size - 200))
        self.refused("migrate", "--batch-id", "b1")

    def test_bad_database_bare_tables_are_read_without_a_write(self):
        ws = self.ws
        with open(os.path.join(bf.ROOT, "demo/application.sql")) as f:
            script = f.read()
        db = sqlite3.connect(ws.db)
        db.executescript(script)
        db.execute("INSERT INTO migration_batches (id, batch_id, total_files) VALUES ('1', 'old', 1)")
        db.execute("INSERT INTO file_migrations (id, batch_id, source_path, status) VALUES ('r', 'old', 'x', 'pending')")
        db.commit()
        db.close()
        with open(ws.db, "rb") as f:
            before = f.read()
        os.chmod(ws.db, 0o444)
        result = ws.run("status", expect=0, unprivileged=True)
        self.assertIn("old", result.out)
        ws.run("status", "--batch-id", "old", expect=0, unprivileged=True)
        with open(ws.db, "rb") as f:
            self.assertEqual(f.read(), before)
        self.assertFalse(os.path.exists(ws.logs))


class BadLists(bf.TestCase):
    """Broken CSV and JSONL: the line is named, nothing is planned."""

    def setUp(self):
        super().setUp()
        self.ws.make_files(4)
        self.ws.run("init", expect=0)

    def broken(self, kind, text, line, word=""):
        ws = self.ws
        with open(ws.path("list"), "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        result = ws.run("plan", f"--from-{kind}", "list", "--batch-id", "x", "--user-id", "u", expect=1)
        self.assertRegex(result.err, rf"(line |list:){line}\b")
        self.assertIn(word, result.err)
        self.assertEqual(ws.statuses(), {})
        self.assertEqual(ws.sql("SELECT count(*) FROM migration_batches")[0][0], 0)
        self.assertFalse(os.path.exists(os.path.join(ws.batches, "x.json")))

    def test_bad_csv_quote_never_closed(self):
        self.broken("csv", 'source_path\nd0/file-00000.bin\n"d1/file\n', 3)

    def test_bad_csv_nul(self):
        self.broken("csv", b"source_path\nd0/file-00000.bin\nd1/\0file\n", 3)

    def test_bad_csv_too_many_fields(self):
        self.broken("csv", "source_path,user_id\nd0/file-00000.bin,u\nd1/file-00001.bin,u,extra\n", 3)

    def test_bad_csv_unknown_or_missing_column(self):
        self.broken("csv", "path,colour\nd0/file-00000.bin,red\n", 1)

    def test_bad_csv_empty(self):
        with open(self.ws.path("list"), "w"):
            pass
        self.ws.run("plan", "--from-csv", "list", "--batch-id", "x", "--user-id", "u", expect=1)

    def test_bad_csv_missing_file(self):
        result = self.ws.run("plan", "--from-csv", "no-such.csv", "--batch-id", "x", "--user-id", "u", expect=5)
        self.assertIn("no-such.csv", result.err)

    def test_bad_jsonl_syntax(self):
        self.broken("jsonl", '{"source_path":"d0/file-00000.bin"}\n{"source_path":\n', 2)

    def test_bad_jsonl_no_object(self):
        self.broken("jsonl", '{"source_path":"d0/file-00000.bin"}\n[1]\n', 2)

    def test_bad_jsonl_duplicate_member(self):
        self.broken("jsonl", '{"source_path":"d0/file-00000.bin","source_path":"d1/file-00001.bin"}\n', 1)

    def test_bad_jsonl_missing_source_path(self):
        """The list is sound, one row is not: it is told by its line and the others are planned."""
        ws = self.ws
        with open(ws.path("list"), "w") as f:
            f.write('{"source_path":"d0/file-00000.bin"}\n{"file_id":"7"}\n')
        result = ws.run("plan", "--from-jsonl", "list", "--batch-id", "x", "--user-id", "u", expect=1)
        self.assertRegex(result.err, r"line 2\b")
        self.assertEqual(ws.statuses(), {"pending": 1})

    def test_bad_jsonl_wrong_type(self):
        self.broken("jsonl", '{"source_path":"d0/file-00000.bin","size":"many"}\n', 1)


class BadFolders(bf.TestCase):
    def test_bad_folders_log_dir_not_writable(self):
        ws = self.ws
        ws.make_files(2)
        ws.run("init", expect=0)
        ws.plan()
        os.chmod(ws.logs, 0o500)
        result = ws.run("migrate", "--batch-id", "b1", unprivileged=True)
        self.assertIn(result.code, (2, 5), result)
        self.assertIn(ws.logs, result.err)
        self.assertEqual(ws.statuses(), {"pending": 2})
        self.assertEqual(ws.store.keys(), set())

    def test_bad_folders_no_rollback_without_backup(self):
        ws = self.ws
        ws.migrated(3)
        shutil.rmtree(ws.backups, ignore_errors=True)
        with open(ws.backups, "w") as f:
            f.write("in the way")
        result = ws.run("rollback", "--batch-id", "b1", "--confirm", "--force")
        self.assertIn(result.code, (2, 5), result)
        self.assertEqual(ws.statuses(), {"completed": 3})
        self.assertEqual(len(ws.store.keys()), 3)
        ws.check()

    def test_bad_folders_source_root_missing(self):
        ws = self.ws
        ws.make_files(2)
        ws.run("init", expect=0)
        ws.plan()
        os.rename(ws.sources, ws.path("moved"))
        result = ws.run("migrate", "--batch-id", "b1")
        self.assertIn(result.code, (2, 5), result)
        self.assertEqual(ws.statuses(), {"pending": 2})

    def test_bad_folders_init_twice_is_harmless(self):
        ws = self.ws
        ws.migrated(2)
        dump = ws.dump()["file_migrations"]
        ws.run("init", expect=0)
        self.assertEqual(ws.dump()["file_migrations"], dump)
        ws.check()


if __name__ == "__main__":
    unittest.main()
