"""Power loss (FAILURES A2): at every act that cannot be taken back, all that it relies on has reached the disk.

The system calls of a run are replayed in a small model of a file system: a write makes a file dirty, a new name makes its folder dirty, and
only fsync or fdatasync of exactly that makes it clean. What is dirty may be lost in a power cut, so nothing dirty may be behind a deletion, nor
an object behind a row that says `completed`."""
import os
import re
import shutil
import unittest

import bf

CALLS = "open,openat,creat,write,pwrite64,writev,pwritev,ftruncate,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,sendto,sendmsg"
LINE = re.compile(r"^(\d+) +(\w+)\((.*)\) += (-?\d+|\?)(?:<(.*?)>)?")
FD = re.compile(r"^(-?\d+|AT_FDCWD)<([^>]*)>")
TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')


class Disk:
    """What a power cut may take away."""

    def __init__(self, cwd):
        self.cwd, self.dirty, self.names = cwd, set(), set()

    def resolve(self, base, name):
        return os.path.normpath(os.path.join(base or self.cwd, name))

    def feed(self, call, args, result, opened):
        fd = FD.match(args)
        path = fd[2] if fd else None
        names = [bytes(n, "latin-1").decode("unicode_escape") for n in TEXT.findall(args)]
        if call in ("write", "pwrite64", "writev", "pwritev", "ftruncate") and path and path.startswith("/"):
            self.dirty.add(path)
        elif call in ("fsync", "fdatasync"):
            self.dirty.discard(path)
            self.names = {n for n in self.names if os.path.dirname(n) != path}
        elif call in ("open", "openat", "creat") and ("O_CREAT" in args or call == "creat") and opened:
            if "O_TMPFILE" not in args:
                self.names.add(opened)
        elif call.startswith("rename") and len(names) >= 2:
            bases = re.findall(r"(?:-?\d+|AT_FDCWD)<([^>]*)>", args)
            old = self.resolve(bases[0] if bases else None, names[0])
            new = self.resolve(bases[-1] if bases else None, names[1])
            if old in self.dirty:
                self.dirty.discard(old)
                self.dirty.add(new)
            self.names.add(new)
        elif call.startswith("link") and len(names) >= 2:
            bases = re.findall(r"(?:-?\d+|AT_FDCWD)<([^>]*)>", args)
            self.names.add(self.resolve(bases[-1] if bases else None, names[1]))
        elif call.startswith("mkdir") and names:
            self.names.add(self.resolve(path, names[0]))

    def lost(self, *prefixes):
        """What below the prefixes is dirty, or has a name that is. (SQLite makes a -shm anew.)"""
        below = {p for p in self.dirty | self.names if p in prefixes or p.startswith(tuple(x + c for x in prefixes for c in "/-"))}
        return sorted(p for p in below if not p.endswith("-shm"))


class Durability(bf.TestCase):
    def setUp(self):
        if not shutil.which("strace"):
            self.skipTest("no strace (see: make deps)")
        super().setUp()

    def trace(self, *args, expect=0):
        """The calls of a run, each with the model as it was just before it."""
        log = self.ws.path("strace.log")
        env = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
        self.ws.run(*args, env=env, wrap=["strace", "-f", "-qq", "-y", "-s", "200", "-o", log, "-e", "trace=" + CALLS], expect=expect)
        disk = Disk(self.ws.dir)
        with open(log, errors="replace") as f:
            pending = {}
            for line in f:
                # a call that another thread interrupts is written in two pieces
                unfinished = re.match(r"^(\d+) +(.*) <unfinished \.\.\.>$", line)
                if unfinished:
                    pending[unfinished[1]] = unfinished[2]
                    continue
                resumed = re.match(r"^(\d+) +<\.\.\. \w+ resumed>(.*)$", line)
                if resumed:
                    line = f"{resumed[1]} {pending.pop(resumed[1], '')}{resumed[2]}"
                found = LINE.match(line)
                if found and not found[4].startswith("-"):
                    yield found[2], found[3], disk
                    disk.feed(found[2], found[3], found[4], found[5])

    def prepare(self):
        ws = self.ws
        ws.profile = "ceph" if self.store == "s3" else None
        ws.make_files(8, smallest=1, largest=3000)
        ws.freeze()
        ws.run("init", expect=0)
        ws.plan()

    def relied_on(self):
        return self.ws.audit_file(), self.ws.backups, self.ws.db

    def migrate(self):
        ws, sent, commits = self.ws, 0, 0
        for call, args, disk in self.trace("migrate", "--batch-id", "b1"):
            if call in ("sendto", "sendmsg") and '"PUT ' in args:
                sent += 1
                self.assertEqual(disk.lost(ws.audit_file()), [], "an object goes out and its intent is not on disk")
            if call in ("fsync", "fdatasync") and f"<{ws.db}-wal>" in args:
                commits += 1
                self.assertEqual(disk.lost(ws.audit_file()), [], "a row moves and its audit line is not on disk")
                if self.store == "dir":
                    own = [p for p in disk.lost(ws.path("bucket")) if "/.blobferry" not in p]
                    self.assertEqual(own, [], "a row moves and its object is not on disk")
        self.assertGreater(commits, 1)
        self.assertEqual(disk.lost(*self.relied_on()), [], "the run has ended")
        if self.store == "s3":
            self.assertEqual(sent, 8)
        self.assertEqual(ws.statuses(), {"completed": 8})

    def rollback(self):
        ws, deletions = self.ws, 0
        for call, args, disk in self.trace("rollback", "--batch-id", "b1", "--confirm", "--force"):
            wire = call in ("sendto", "sendmsg") and re.search(r'"(DELETE /|POST /\S*\?delete)', args)
            local = call.startswith("unlink") and ws.path("bucket") in args and ".blobferry" not in args
            if wire or local:
                deletions += 1
                self.assertEqual(disk.lost(*self.relied_on()), [], f"before {call}({args})")
                self.assertEqual(len(os.listdir(ws.backups)), 1)
        self.assertGreater(deletions, 0, "no deletion was seen")
        self.assertEqual(disk.lost(*self.relied_on()), [], "the run has ended")
        self.assertEqual(ws.statuses(), {"rolled_back": 8})
        self.assertEqual(ws.store.keys(), set())

    def test_durability_of_migrate_and_rollback(self):
        self.prepare()
        self.migrate()
        self.rollback()

    def test_durability_the_model_sees_a_missing_sync(self):
        disk = Disk("/d")
        disk.feed("openat", 'AT_FDCWD</d>, "a", O_WRONLY|O_CREAT, 0600', "3", "/d/a")
        disk.feed("write", '3</d/a>, "x", 1', "1", None)
        disk.feed("fsync", "4</d>", "0", None)
        self.assertEqual(disk.lost("/d/a"), ["/d/a"], "its bytes")
        disk.feed("fdatasync", "3</d/a>", "0", None)
        self.assertEqual(disk.lost("/d/a"), [])
        disk.feed("rename", '"a", "b"', "0", None)
        self.assertEqual(disk.lost("/d/b"), ["/d/b"], "its name")
        disk.feed("fsync", "4</d>", "0", None)
        self.assertEqual(disk.lost("/d/b"), [])
        disk.feed("write", '5</d/t.db-wal>, "x", 1', "1", None)
        self.assertEqual(disk.lost("/d/t.db"), ["/d/t.db-wal"])


class DurabilityOnS3(Durability):
    store = "s3"


if __name__ == "__main__":
    unittest.main()
