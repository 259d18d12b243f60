"""plan: from directories, CSV, JSONL and the application's table; what cannot be planned is told row by row."""
import json
import os
import unicodedata
import unittest

import bf


class Plan(bf.TestCase):
    def setUp(self):
        super().setUp()
        self.ws.run("init", expect=0)

    def keys(self):
        return {r["target_r2_key"] for r in self.ws.rows()}

    def list_file(self, name, text):
        with open(self.ws.path(name), "w", encoding="utf-8", newline="") as f:
            f.write(text)
        return name

    def test_plan_dir_skips_what_is_no_file_and_says_so(self):
        ws = self.ws
        ws.make_files(3)
        os.symlink("d0/file-00000.bin", ws.path("files/link"))
        os.symlink("d0", ws.path("files/linkdir"))
        os.mkfifo(ws.path("files/pipe"))
        result = ws.run("plan", "--from-dir", ws.sources, "--batch-id", "b", "--user-id", "u", limit=20)
        self.assertIn(result.code, (0, 1))
        for name in ("link", "linkdir", "pipe"):
            self.assertIn(name, result.text)
        self.assertEqual(ws.statuses(), {"pending": 3})
        ws.check()

    def test_plan_dir_bad_names_are_reported_and_the_rest_is_planned(self):
        ws = self.ws
        ws.make_files(3)
        for name in (b"bad\xffutf8", b"line\nfeed", b"esc\x1b[31m"):
            with open(os.path.join(os.fsencode(ws.sources), name), "w") as f:
                f.write("x")
        result = ws.run("plan", "--from-dir", ws.sources, "--batch-id", "b", "--user-id", "u", expect=1)
        self.assertEqual(ws.statuses(), {"pending": 3})
        self.assertNotIn("\x1b", result.text)
        for line in result.err.splitlines():
            self.assertRegex(line, r"^(blobferry: |not planned|hint: |\.\.\. )", "a name broke a line")

    def test_plan_keys_that_collide_in_nfc(self):
        ws = self.ws
        composed, decomposed = "caf\u00e9.txt", unicodedata.normalize("NFD", "caf\u00e9.txt")
        ws.write(composed, b"1")
        ws.write(decomposed, b"2")
        result = ws.run("plan", "--from-dir", ws.sources, "--batch-id", "b", "--user-id", "u", expect=1)
        self.assertIn("caf", result.err)
        self.assertEqual(ws.statuses(), {"pending": 1})

    def test_plan_key_length(self):
        ws = self.ws
        ws.write("a", b"x")
        ws.write("b", b"x")
        name = self.list_file("in.csv", f"source_path,target_key\na,{'k' * 1024}\nb,{'k' * 1025}\n")
        result = ws.run("plan", "--from-csv", name, "--batch-id", "x", "--user-id", "u", expect=1)
        self.assertIn("1024", result.err.replace(",", ""))
        self.assertEqual(self.keys(), {"k" * 1024})

    def test_plan_keys_with_dot_segments(self):
        ws = self.ws
        keys = ("../up", "a/../b", "a/./b", "/abs", "a//b", "end/", "..", ".", "ok..fine", "a/..b")
        ws.write("a", b"x")
        self.list_file("in.csv", "source_path,target_key\n" + "".join(f"a,{k}\n" for k in keys))
        ws.run("plan", "--from-csv", "in.csv", "--batch-id", "x", "--user-id", "u", expect=1)
        self.assertEqual(self.keys(), {"ok..fine", "a/..b"})

    def test_plan_csv_all_columns(self):
        ws = self.ws
        ws.write("a b.txt", b"one")
        ws.write('q"uote', b"two")
        self.list_file("in.csv", "\ufeff" + "source_path,file_id,filename,user_id,target_key,checksum,size,content_type\r\n"
                       f"a b.txt,f-1,\"Nice, name\",u-1,k/1,{bf.sha256(b'one')},3,text/x-test\r\n"
                       '"q""uote",f-2,,u-2,,,,\r\n')
        ws.run("plan", "--from-csv", "in.csv", "--batch-id", "x", expect=0)
        ws.run("migrate", "--batch-id", "x", expect=0)
        ws.check()
        one, two = ws.row("a b.txt"), ws.row('q"uote')
        self.assertEqual((one["file_id"], one["filename"], one["user_id"], one["target_r2_key"]),
                         ("f-1", "Nice, name", "u-1", "k/1"))
        self.assertEqual((two["file_id"], two["filename"], two["user_id"]), ("f-2", 'q"uote', "u-2"))

    def test_plan_csv_and_jsonl_from_standard_input(self):
        ws = self.ws
        ws.make_files(2)
        ws.run("plan", "--from-csv", "-", "--batch-id", "c", "--user-id", "u", expect=0,
               text_input=b"source_path\nd0/file-00000.bin\n")
        ws.run("plan", "--from-jsonl", "-", "--batch-id", "j", "--user-id", "u", expect=0,
               text_input=b'{"source_path":"d1/file-00001.bin","target_key":"J\\u00e9"}\n')
        self.assertEqual(self.keys(), {"d0/file-00000.bin", "J\u00e9"})

    def test_plan_sources_outside_the_root(self):
        ws = self.ws
        ws.make_files(1)
        with open(ws.path("secret"), "w") as f:
            f.write("outside")
        self.list_file("in.csv", "source_path,target_key\n../secret,k1\n/etc/passwd,k2\nd0/../../secret,k3\n"
                       "no-such-file,k4\nd0/file-00000.bin,k5\n")
        result = ws.run("plan", "--from-csv", "in.csv", "--batch-id", "x", "--user-id", "u", expect=1)
        self.assertEqual(self.keys(), {"k5"})
        for line in (2, 3, 4, 5):
            self.assertRegex(result.err, rf"line {line}\b")
        ws.run("migrate", "--batch-id", "x", expect=0)
        self.assertEqual(ws.store.keys(), {"k5"})

    def test_plan_twice_is_refused(self):
        ws = self.ws
        ws.make_files(2)
        ws.plan("b", "u")
        dump = ws.dump()["file_migrations"]
        result = ws.run("plan", "--from-dir", ws.sources, "--batch-id", "b", "--user-id", "u", expect=1)
        self.assertIn("'b'", result.err)
        ws.run("plan", "--from-dir", ws.sources, "--batch-id", "c", "--user-id", "u", expect=1)  # same keys
        self.assertEqual(ws.dump()["file_migrations"], dump)

    def test_plan_batch_size_splits(self):
        ws = self.ws
        ws.make_files(7)
        ws.plan("s", "u", "--batch-size", "3")
        counts = {r["batch_id"]: r["total_files"] for r in ws.sql("SELECT * FROM migration_batches")}
        self.assertEqual(counts, {"s-001": 3, "s-002": 3, "s-003": 1})
        for name in counts:
            with open(os.path.join(ws.batches, name + ".json")) as f:
                self.assertEqual(json.load(f)["batch_id"], name)
        ws.run("migrate", "--all", expect=0)
        ws.check()

    def test_plan_key_template(self):
        ws = self.ws
        ws.write("x/photo.jpg", b"jpeg")
        self.list_file("in.csv", "source_path,file_id\nx/photo.jpg,f-9\n")
        ws.run("plan", "--from-csv", "in.csv", "--batch-id", "t", "--user-id", "u-7", "--checksum",
               "--key-template", "m/{user_id}/{file_id}/{sha256}.{ext}/{filename}", expect=0)
        digest = bf.sha256(b"jpeg")
        key, = self.keys()
        self.assertEqual(key.replace("..", "."), f"m/u-7/f-9/{digest}.jpg/photo.jpg")
        self.assertEqual(ws.rows()[0]["original_checksum"], digest)
        ws.run("plan", "--from-csv", "in.csv", "--batch-id", "t2", "--key-template", "{nonsense}", expect=2)

    def test_plan_from_table(self):
        ws = self.ws
        for n in range(3):
            ws.write(f"up/id-{n}", b"%d" % n)
            ws.change("INSERT INTO files (id, filename, user_id, r2_key) VALUES (?, ?, 'u', ?)", f"id-{n}", f"name {n}",
                      "there already" if n == 2 else None)
        ws.store.put("there already", b"x")
        ws.run("plan", "--from-table", "--source-template", "up/{file_id}", "--batch-id", "t", expect=0)
        ws.run("migrate", "--batch-id", "t", expect=0)
        self.assertEqual({r["file_id"]: r["r2_key"] for r in ws.rows()},
                         {"id-0": "u/id-0/name 0", "id-1": "u/id-1/name 1"})
        self.assertEqual(ws.sql("SELECT r2_key FROM files WHERE id = 'id-2'")[0][0], "there already")
        self.assertEqual(ws.sql("SELECT count(*) FROM files")[0][0], 3)
        ws.check()

    def test_plan_dry_run_writes_nothing(self):
        ws = self.ws
        ws.make_files(5)
        dump, listing = ws.dump(), sorted(os.listdir(ws.logs))
        result = ws.run("plan", "--from-dir", ws.sources, "--batch-id", "d", "--user-id", "u", "--dry-run", expect=0)
        self.assertIn("5 files", result.out)
        self.assertEqual(ws.dump(), dump)
        self.assertFalse(os.path.exists(os.path.join(ws.batches, "d.json")))
        self.assertEqual(sorted(os.listdir(ws.logs)), listing)

    def test_plan_nothing_is_no_success(self):
        self.ws.run("plan", "--from-dir", self.ws.sources, "--batch-id", "e", "--user-id", "u", expect=1)
        self.assertEqual(self.ws.sql("SELECT count(*) FROM migration_batches")[0][0], 0)

    def test_plan_hostile_ids_are_bound_and_exact(self):
        ws = self.ws
        ws.make_files(2)
        evil = "b'); DROP TABLE files; --"
        ws.run("plan", "--from-dir", ws.sources, "--batch-id", evil, "--user-id", "u%_'\"", expect=0)
        ws.run("migrate", "--batch-id", evil, expect=0)
        ws.run("status", "--user-id", "u%_'\"", expect=0)
        ws.run("status", "--user-id", "u1_'\"", expect=1)
        ws.run("rollback", "--batch-id", "b%", "--confirm", "--force", expect=1)
        ws.check()
        self.assertEqual(ws.statuses(), {"completed": 2})
        self.assertEqual([os.path.dirname(os.path.relpath(os.path.join(w, n), ws.dir)) for w, _, names in
                          os.walk(ws.batches) for n in names], ["batches"])


if __name__ == "__main__":
    unittest.main()
