#!/usr/bin/python3
"""db copy from PostgreSQL to SQLite beside `pg_dump | sqlite3`, and its memory at two sizes. See: make bench-copy.

The pipe is what a user would write by hand: INSERT statements in one transaction into tables that are there, then the same
indexes as blobferry makes. It neither compares what arrived nor turns times into UTC; blobferry's time includes both.
"""
import argparse
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("BLOBFERRY_TEST_BINARY") or os.path.join(TOP, "build/blobferry")
TABLES = ("migration_batches", "files", "file_migrations")
FILL = """
TRUNCATE migration_batches, file_migrations, files, blobferry_records;
INSERT INTO migration_batches (id, batch_id, total_files, completed_files, status, started_at, completed_at)
  SELECT 'id-' || b, 'batch-' || b, 0, 0, 'completed', now(), now() FROM generate_series(0, 9) AS b;
INSERT INTO files (id, filename, user_id, r2_key, checksum, created_at, updated_at)
  SELECT md5('f' || i), 'file-' || i || '.pdf', 'user-' || i % 1000, 'uploads/' || md5('f' || i) || '.pdf',
    encode(sha256(i::text::bytea), 'hex'), '2024-05-01 10:00:00+00'::timestamptz + i * interval '1 s', now()
  FROM generate_series(1, {rows}) AS i;
INSERT INTO file_migrations (id, batch_id, file_id, source_path, target_r2_key, original_checksum, migrated_checksum,
    file_size, status, started_at, completed_at, created_at)
  SELECT md5('m' || i), 'batch-' || i % 10, md5('f' || i), '/srv/app/uploads/' || i % 256 || '/file-' || i || '.pdf',
    'uploads/' || md5('f' || i) || '.pdf', encode(sha256(i::text::bytea), 'hex'), encode(sha256(i::text::bytea), 'hex'),
    i * 17, 'completed', '2024-05-02 10:00:00.5+00'::timestamptz + i * interval '1 s', now(), now()
  FROM generate_series(1, {rows}) AS i;
ANALYZE migration_batches, files, file_migrations;
"""


def run(command, **given):
    """(seconds, peak resident KiB of the process itself)"""
    begun = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **given)
    err = child.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{command}: exit {child.returncode}: {err}")
    return time.monotonic() - begun, usage.ru_maxrss, usage.ru_utime + usage.ru_stime


class Bench:
    def __init__(self, server):
        self.server = server
        self.dir = tempfile.mkdtemp(prefix="bf-bench-copy-")
        self.name = f"bench_copy_{os.getpid()}"
        subprocess.run(["psql", "-q", server, "-c", f"CREATE DATABASE {self.name}"], check=True)
        at = urllib.parse.urlsplit(server)  # passwords come from the environment
        os.environ["POSTGRES_PASSWORD"] = os.environ["PGPASSWORD"] = at.password or ""
        self.url = f"postgres://{at.username}@{at.hostname}:{at.port}/{self.name}"
        self.blobferry("--db", self.url, "init", "--no-config")

    def close(self):
        subprocess.run(["psql", "-q", self.server, "-c", f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)"], check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    def blobferry(self, *args):
        return run([BINARY, "--quiet", *args], cwd=self.dir)

    def fill(self, rows):
        subprocess.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", self.url, "-c", FILL.format(rows=rows)], check=True)

    def fresh(self, name):
        path = os.path.join(self.dir, name)
        for suffix in ("", "-wal", "-shm", "-journal"):
            if os.path.exists(path + suffix):
                os.unlink(path + suffix)
        return path

    def copy(self):
        path = self.fresh("copied.db")
        figures = self.blobferry("db", "copy", "--from", self.url, "--to", "sqlite:" + path, "--confirm")
        return (path, *figures)

    def pipe(self, indexes):
        """The tables and the text of the indexes are taken from a database that blobferry has made."""
        path = self.fresh("piped.db")
        self.blobferry("--db", "sqlite:" + path, "init", "--no-config")
        db = sqlite3.connect(path)
        wanted = [r[0] for r in db.execute("SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
                                           " AND tbl_name NOT LIKE 'blobferry%'")]
        for name, in db.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
                                " AND tbl_name NOT LIKE 'blobferry%'").fetchall():
            db.execute(f"DROP INDEX {name}")
        db.execute("PRAGMA journal_mode = DELETE")
        db.close()
        tables = " ".join("-t " + t for t in TABLES)
        after = ";".join(wanted) + ";" if indexes else ""
        script = (f"set -o pipefail; (echo 'BEGIN;'; pg_dump --data-only --inserts {tables} \"$URL\" |"
                  f" sed -n 's/^INSERT INTO public\\./INSERT INTO /p'; echo '{after}COMMIT;') | sqlite3 -bail {path}")
        figures = run(["bash", "-c", script], env={**os.environ, "URL": self.url})
        return (path, *figures)


def same(path, other):
    """Both hold the same rows, ids and keys: the bench measures a copy and not something else."""
    a, b = sqlite3.connect(path), sqlite3.connect(other)
    for table, columns in (("files", "id, filename, r2_key"), ("file_migrations", "id, batch_id, target_r2_key, file_size")):
        query = f"SELECT {columns} FROM {table} ORDER BY id"
        for left, right in zip(a.execute(query), b.execute(query), strict=True):
            if left != right:
                raise SystemExit(f"{table}: {left} is not {right}")
    a.close()
    b.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1000000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=1.5, help="copy may take this many times what the pipe takes")
    parser.add_argument("--small", type=int, default=10000, help="memory is compared with that of so many rows")
    parser.add_argument("--memory", type=float, default=1.2, help="and may be this many times as much")
    o = parser.parse_args()
    server = os.environ.get("BLOBFERRY_TEST_POSTGRES")
    if not server:
        sys.exit("BLOBFERRY_TEST_POSTGRES names no server (tests/harness/pg run -- tests/bench/copy_rows.py)")
    bench = Bench(server)
    try:
        bench.fill(o.small)
        small = bench.copy()[2]
        bench.fill(o.rows)
        times = {"copy": [], "pipe": [], "pipe_without_indexes": []}
        peaks, cpu = [], []
        for number in range(o.rounds):
            piped, seconds, _, _ = bench.pipe(True)
            times["pipe"].append(seconds)
            copied, seconds, peak, spent = bench.copy()
            times["copy"].append(seconds)
            peaks.append(peak)
            cpu.append(spent)
            if number == 0:
                same(copied, piped)
            times["pipe_without_indexes"].append(bench.pipe(False)[1])
    finally:
        bench.close()
    median = {k: statistics.median(v) for k, v in times.items()}
    ratio, growth = median["copy"] / median["pipe"], max(peaks) / small
    print(json.dumps({"rows": o.rows, "rounds": o.rounds, "seconds": median, "ratio": round(ratio, 2),
                      "ratio_without_indexes": round(median["copy"] / median["pipe_without_indexes"], 2),
                      "copy_cpu_seconds": statistics.median(cpu), "peak_kib": max(peaks), f"peak_kib_at_{o.small}": small,
                      "growth": round(growth, 2)}, indent=2))
    if ratio > o.limit or growth > o.memory:
        sys.exit(f"too slow or too large: {ratio:.2f} of at most {o.limit}, {growth:.2f} of at most {o.memory}")


if __name__ == "__main__":
    main()
