#!/usr/bin/python3
"""Does the size of the table matter? Claims, status and rollback selection, timed, and the peak memory of commands, on a table of
10,000 rows and on one of 1,000,000. Exits with 1 when a bound of docs/scale.md does not hold.

Half of the rows are one batch, 'work' (of these every third is completed), the others are completed batches of 1,000.
Without --db, SQLite files in a temporary folder; with a PostgreSQL URL, databases blobferry_scale_ROWS are made there
(psql must be installed, and the role must be allowed to) and dropped at the end.
"""
import argparse
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.parse

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
SMALL = "b-00003"  # a batch of 1,000 rows; they are all there from 10,000 rows on
CLAIM_ROWS = 100
TIMES_CLAIM = 1.5  # at most so much slower on the big table
SECONDS = 1.0  # status and selection of one batch
MEMORY = 1.2
ROUNDS = 8

# {id}, {hex} and so on are put in by dialect; n runs over the rows.
FILL = """
INSERT INTO migration_batches (id, batch_id, total_files, completed_files, status)
  SELECT 'batch-' || n, {batch_name}, 1000, 1000, 'completed' FROM {series_batches};
INSERT INTO migration_batches (id, batch_id, total_files, completed_files, status)
  VALUES ('batch-work', 'work', {half}, {half} / 3, 'processing');
INSERT INTO files (id, filename, user_id, r2_key, checksum)
  SELECT 'file-' || n, 'f.bin', 'u-' || (n % 1000), {pointer}, {digest} FROM {series_rows};
INSERT INTO file_migrations (id, batch_id, file_id, source_path, target_r2_key, migrated_checksum, file_size, status,
    started_at, completed_at)
  SELECT {id}, {batch_of}, 'file-' || n, 'd/f-' || (n % 100) || '.bin', 'k/' || n, {checksum}, {size}, {status},
    {started}, {completed} FROM {series_rows};
INSERT INTO blobferry_records (record_id, key_digest, etag, pointer_set)
  SELECT {id}, {digest}, {etag}, {is_done} FROM {series_rows};
"""


class Sqlite:
    def __init__(self, folder, rows):
        self.path = os.path.join(folder, f"scale-{rows}.db")
        self.url = "sqlite:" + self.path

    def hexadecimal(self, width):
        return f"printf('%0{width}x', n)"

    def series(self, count):
        return f"(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}) SELECT n FROM s)"

    flag = "CASE WHEN {} THEN 1 ELSE 0 END"

    def execute(self, script):
        db = sqlite3.connect(self.path)
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA cache_size = -400000")
        db.executescript("BEGIN;" + script + "COMMIT; PRAGMA wal_checkpoint(TRUNCATE);")
        db.close()

    def drop(self):
        for end in ("", "-wal", "-shm"):
            if os.path.exists(self.path + end):
                os.unlink(self.path + end)


class Postgres:
    def __init__(self, url, rows):
        self.server, self.name = url, f"blobferry_scale_{rows}"
        self.url = re.sub(r"^(postgres(?:ql)?://[^/?]*)(/[^?]*)?", rf"\1/{self.name}", url)
        self.drop()
        self.psql(self.server, f"CREATE DATABASE {self.name}")

    @staticmethod
    def psql(url, script):
        subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", url], input=script, text=True, check=True,
                       stdout=subprocess.DEVNULL)

    def hexadecimal(self, width):
        return f"lpad(to_hex(n), {width}, '0')"

    def series(self, count):
        return f"generate_series(1, {count}) AS s(n)"

    flag = "CASE WHEN {} THEN 1 ELSE 0 END"

    def execute(self, script):
        self.psql(self.url, "BEGIN;" + script + "COMMIT; VACUUM ANALYZE files, file_migrations, migration_batches, blobferry_records;")

    def drop(self):
        self.psql(self.server, f"DROP DATABASE IF EXISTS {self.name}")


class Table:
    """One database of so many rows, and the commands run on it."""

    def __init__(self, args, folder, rows):
        self.rows, self.args = rows, args
        self.claim_ms = float("inf")
        self.folder = os.path.join(folder, str(rows))
        os.makedirs(os.path.join(self.folder, "files", "d"))
        for n in range(100):
            with open(os.path.join(self.folder, "files", "d", f"f-{n}.bin"), "wb") as f:
                f.write(b"%04d" % n * 256)
        self.db = Postgres(args.db, rows) if args.db else Sqlite(folder, rows)

    def fill(self):
        db, half = self.db, self.rows // 2
        done = f"(n > {half} OR n % 3 = 0)"
        when = f"CASE WHEN {done} THEN '2026-11-01 10:00:00' END"
        if isinstance(db, Postgres):
            when = f"({when})::timestamp"
        self.run(["init"])
        db.execute(FILL.format(
            half=half, series_batches=db.series(half // 1000), series_rows=db.series(self.rows),
            batch_name="'b-' || " + db.hexadecimal(5), digest=db.hexadecimal(64), size="1024",
            id="'019a0000-' || " + db.hexadecimal(4).replace("n)", "n / 65536)") + " || '-7000-8000-' || "
            + db.hexadecimal(12),
            batch_of=f"CASE WHEN n <= {half} THEN 'work' ELSE 'b-' || "
            + db.hexadecimal(5).replace("n)", f"(n - {half} - 1) / 1000 + 1)") + " END",
            checksum=f"CASE WHEN {done} THEN {db.hexadecimal(64)} END",
            status=f"CASE WHEN {done} THEN 'completed' ELSE 'pending' END", started=when, completed=when,
            pointer=f"CASE WHEN {done} THEN 'k/' || n END", etag=f"CASE WHEN {done} THEN 'e-' || n END",
            is_done=db.flag.format(done)))

    def command(self, words):
        at = lambda name: os.path.join(self.folder, name)  # noqa: E731
        return [os.path.join(self.args.build, "blobferry"), "--db", self.db.url, "--source-root", at("files"),
                "--log-dir", at("logs"), "--backup-dir", at("backups"), "--batch-dir", at("batches"),
                "--target", "file://" + at("bucket"), *words]

    def run(self, words, stop_after=None, codes=(0,)):
        """Wall seconds, and the peak of the resident set in KiB (VmHWM)."""
        began, peak = time.monotonic(), 0
        with open(os.path.join(self.folder, "stderr"), "w+b") as err:
            child = subprocess.Popen(self.command(words), cwd=self.folder, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=err)
            while child.poll() is None:
                peak = max(peak, self.high_water(child.pid))
                if stop_after is not None and time.monotonic() - began > stop_after:
                    child.send_signal(signal.SIGTERM)
                    stop_after = None
                time.sleep(0.001)
            if child.returncode not in codes:
                err.seek(0)
                raise SystemExit(f"{' '.join(words)}: exit {child.returncode}: {err.read().decode()}")
        return time.monotonic() - began, peak

    def high_water(self, pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if not f.read().startswith(os.fsencode(self.args.build)):
                    return 0  # not yet the program
            with open(f"/proc/{pid}/status") as f:
                return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))
        except (OSError, AttributeError):
            return 0

    def best(self, words, times=3):
        return min(self.run(words)[0] for _ in range(times))

    def claims(self, count):
        tool = os.path.join(self.args.build, "bench/scale_claim")
        text = subprocess.run([tool, self.db.url, "work", str(count), str(CLAIM_ROWS)], check=True,
                              stdout=subprocess.PIPE, text=True).stdout
        return int(text.split()[0]) / 1000

    def measure(self):
        found = {"rows": self.rows, "claim_ms": self.claim_ms}
        found["status_batch_s"] = self.best(["status", "--batch-id", SMALL])
        found["status_work_s"] = self.best(["status", "--batch-id", "work"], 2)
        found["status_all_s"] = self.best(["status"], 2)
        found["rollback_batch_s"] = self.best(["rollback", "--batch-id", SMALL, "--no-prove"])
        found["status_kib"] = max(self.run(["status", "--batch-id", "work"])[1], self.run(["status"])[1])
        found["rollback_s"], found["rollback_kib"] = self.run(["rollback", "--full-rollback", "--dry-run", "--no-prove"])
        found["migrate_s"], found["migrate_kib"] = self.run(["migrate", "--batch-id", "work"],
                                                           self.args.seconds, (0, 1, 143))
        return found


def judge(results):
    """The bounds, each with what was found; the first table is the small one."""
    small, big = results[0], results[-1]
    yield ("claim of 100 rows, times as long", big["claim_ms"] / small["claim_ms"], TIMES_CLAIM)
    yield ("status of one batch of 1,000, seconds", big["status_batch_s"], SECONDS)
    yield ("rollback selection of one batch of 1,000, seconds", big["rollback_batch_s"], SECONDS)
    for command in ("status", "rollback", "migrate"):
        yield (f"peak memory of {command}, times as much", big[command + "_kib"] / small[command + "_kib"], MEMORY)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--build", default=os.path.join(ROOT, "build"))
    p.add_argument("--db", help="postgres://… in place of SQLite files")
    p.add_argument("--rows", default="10000,1000000", help="sizes of the table, the smallest first")
    p.add_argument("--seconds", type=float, default=20, help="how long migrate runs for its memory (20)")
    p.add_argument("--json", metavar="FILE", help="write what was found")
    p.add_argument("--keep", metavar="DIR", help="keep databases and folders there")
    args = p.parse_args()
    password = urllib.parse.urlsplit(args.db or "").password
    if password:  # blobferry takes none from its command line
        os.environ["PGPASSWORD"] = urllib.parse.unquote(password)
        args.db = args.db.replace(f":{password}@", "@")
    args.build = os.path.realpath(args.build)
    secret = re.match(r"(\w+://[^:/@]+):([^@/]*)(@.*)", args.db or "")
    if secret:  # no command takes one on its command line
        os.environ["PGPASSWORD"] = urllib.parse.unquote(secret[2])
        args.db = secret[1] + secret[3]
    folder = args.keep or tempfile.mkdtemp(prefix="blobferry-scale.")
    tables, results = [], []
    try:
        for rows in sorted(int(n) for n in args.rows.split(",")):
            tables.append(Table(args, folder, rows))
            began = time.monotonic()
            tables[-1].fill()
            print(f"{rows} rows filled in {time.monotonic() - began:.1f} s", flush=True)
        for _ in range(ROUNDS):  # turn by turn: what else the machine does falls on all alike
            for table in tables:
                table.claim_ms = min(table.claim_ms, table.claims(15))
        for table in tables:
            results.append(table.measure())
            print(json.dumps(results[-1], indent=1), flush=True)
    finally:
        for table in tables if not args.keep else ():
            table.db.drop()
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
    bad = 0
    for what, found, bound in judge(results):
        bad += found > bound
        print(f"{'FAIL' if found > bound else 'ok  '}  {what}: {found:.2f} (at most {bound})")
    if args.json:
        with open(args.json, "w") as f:
            json.dump(results, f, indent=1)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
