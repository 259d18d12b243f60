"""What is measured besides the comparison. Each takes the bench and returns a list of findings; a wrong result is Wrong."""
import contextlib
import os
import re
import shutil
import signal
import sqlite3
import statistics
import tempfile
import threading

import clients
import extras_big
import instructions
import servers
import work as works
from servers import Wrong

LATENCY_MS, LATENCY_CONNECTIONS = 20, 256
RATE, RATE_FILES = 50, 500
DEAD_LIMIT = 120  # seconds that a run may go on against an endpoint that is gone
TRACKING_LIMIT = 25  # percent of wall


def finding(name, value, unit, limit=None, at_most=True, detail=""):
    ok = limit is None or (value <= limit if at_most else value >= limit)
    return {"name": name, "value": value, "unit": unit, "limit": limit, "at_most": at_most, "ok": ok, "detail": detail}


@contextlib.contextmanager
def sink(bench, *args):
    server = servers.Sink(bench.o.build, os.path.join(bench.o.cache, "tls"), False, args)
    try:
        yield server
    finally:
        server.close()


def named(bench, name):
    """The work of that name if this run has it, for a bench of small pieces of work does small extras, too."""
    return next((w for w in bench.works if w.name == name), bench.works[0])


class Noop(clients.Blobferry):
    """Blobferry whose tracking and audit cost nothing (tests/bench/noop.c); what its reading took is taken off."""

    def command(self, server, work, folder):
        return [os.path.join(self.build, "bench/noop"), *super().command(server, work, folder)[1:]]

    def finish(self, server, work, folder, log):
        with open(log, errors="replace") as f:
            said = re.search(r"^noop: reading ([\d.]+) completed (\d+)$", f.read(), re.M)
        if not said or int(said[2]) != work.count:
            raise Wrong(f"the run without tracking did not complete its {work.count} files: {said and said[0]}")
        self.reading = float(said[1])


def tracking(bench):
    """Tracking and audit against the same run without: they take turns."""
    found = []
    ours = [c for c in bench.clients if isinstance(c, clients.Blobferry)] or [clients.Blobferry(bench.o.build, bench.o.cache)]
    noop = Noop(bench.o.build, bench.o.cache)
    for work in {w.name: w for w in (named(bench, "small"), named(bench, "medium"))}.values():
        walls = {c.name: [] for c in ours}
        bare = []
        with sink(bench) as server:
            for n in range(bench.o.runs + 1):
                for client in (*ours, noop):
                    server.reset()
                    wall = client.run(server, work)["wall"]
                    server.check(work, client.prefix)
                    if n and client is noop:
                        bare.append(wall - client.reading)
                    elif n:
                        walls[client.name].append(wall)
        base = statistics.median(bare)
        least = min(statistics.median(w) for w in walls.values())
        if base > least:
            raise Wrong(f"without tracking and audit {work.title} took {base:.2f} s, with them {least:.2f} s")
        for client in ours:
            wall = statistics.median(walls[client.name])
            found.append(finding(f"tracking and audit, {client.name}, {work.title}", 100 * (wall / base - 1), "% of wall",
                                 TRACKING_LIMIT, detail=f"{wall:.3f} s against {base:.3f} s without both"))
    return found


def syscalls(bench):
    """System calls per 4 KiB file that is in memory: what a run of twice as many files has more."""
    if not shutil.which("strace"):
        return []
    counts = {}
    for count in (1000, 2000):
        work = works.Work(bench.o.cache, "strace", f"{count}x4K")
        client = clients.Blobferry(bench.o.build, bench.o.cache)
        plain, out = client.command, os.path.join(bench.o.cache, "strace.txt")
        client.command = lambda *a: ["strace", "-f", "-c", "-o", out, *plain(*a)]
        with sink(bench) as server:
            work.warm_cache()  # what reads cold files ahead opens them, too
            client.run(server, work)
            server.check(work, client.prefix)
        with open(out) as f:
            calls = {m[2]: int(m[1]) for m in re.finditer(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", f.read(), re.M)}
        calls.pop("total", None)
        counts[count] = calls
        os.unlink(out)
    more = {name: (calls - counts[1000].get(name, 0)) / 1000 for name, calls in counts[2000].items()}
    most = sorted(more.items(), key=lambda kv: -kv[1])[:8]
    return [finding("system calls per 4 KiB file", sum(more.values()), "calls", 12,
                    detail="strace; " + ", ".join(f"{name} {n:.2f}" for name, n in most))]


def latency(bench):
    """A server that answers after 20 ms, 256 files at once."""
    work = named(bench, "small")
    ideal = max(1, work.count / LATENCY_CONNECTIONS) * LATENCY_MS / 1000
    client = clients.Blobferry(bench.o.build, bench.o.cache, args=["--concurrency", str(LATENCY_CONNECTIONS)])
    walls = []
    with sink(bench, "--latency", str(LATENCY_MS)) as server:
        for _ in range(bench.o.runs):
            server.reset()
            walls.append(client.run(server, work)["wall"])
            server.check(work, client.prefix)
    wall = statistics.median(walls)
    return [finding(f"{work.title} with {LATENCY_MS} ms of latency and {LATENCY_CONNECTIONS} connections", wall / ideal,
                    "times the ideal", 1.5, detail=f"{wall:.2f} s, ideal {ideal:.2f} s")]


def throttled(bench):
    """A server that allows 50 requests a second and answers others with SlowDown: no file may fail."""
    found = []
    work = works.Work(bench.o.cache, "throttled", f"{RATE_FILES}x4K")
    ideal = RATE_FILES / RATE
    for status in ("503", "429"):
        client = clients.Blobferry(bench.o.build, bench.o.cache)
        with sink(bench, "--rate", str(RATE), "--rate-status", status) as server:
            wall = client.run(server, work)["wall"]
            server.check(work, client.prefix)
            stats = server.stats()
        found.append(finding(f"{RATE_FILES} files, a server that allows {RATE} requests/s ({status})", wall / ideal,
                             "times the ideal", 1.3,
                             detail=f"{wall:.1f} s, ideal {ideal:.0f} s, {stats['throttled']} refusals, no failed file"))
    return found


def rows_by_status(folder):
    with contextlib.closing(sqlite3.connect(os.path.join(folder, "blobferry.db"))) as db:
        return dict(db.execute("SELECT status, count(*) FROM file_migrations GROUP BY status"))


def dead_run(bench, work, ends):
    """One migrate against an endpoint that is gone from the start, or after a moment: (result, rows by status)."""
    client = clients.Blobferry(bench.o.build, bench.o.cache)
    folder = tempfile.mkdtemp(prefix="run-dead-", dir=bench.o.cache)
    server = servers.Sink(bench.o.build, bench.o.cache, False, ["--rate", "300"] if ends == "later" else [])
    try:
        client.prepare(server, work, folder)
        timer = threading.Timer(0.7, server.process.send_signal, (signal.SIGKILL,))
        if ends == "later":
            timer.start()
        else:
            server.process.kill()
        env, command = client.environment(server), client.command(server, work, folder)
        result = clients.measured(bench.o.build, command, env, folder, os.path.join(folder, "log.txt"))
        timer.cancel()
        return result, rows_by_status(folder)
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


def dead(bench):
    """Exit 4, rows pending, and in time."""
    found = []
    work = works.Work(bench.o.cache, "dead", "1000x4K")
    for ends, title in (("before", "gone from the start"), ("later", "gone in the middle")):
        result, rows = dead_run(bench, work, ends)
        if result["code"] != 4:
            raise Wrong(f"endpoint {title}: exit {result['code']}, not 4")
        if not rows.get("pending") or rows.get("failed") or rows.get("processing"):
            raise Wrong(f"endpoint {title}: rows {rows}")
        found.append(finding(f"an endpoint that is {title}: stops after", result["wall"], "s", DEAD_LIMIT,
                             detail="exit 4, rows " + ", ".join(f"{n} {s}" for s, n in sorted(rows.items()))))
    return found


def cold(bench):
    """Files that are not in memory: blobferry and s5cmd."""
    found = []
    try:
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("1\n")
        how = "drop_caches"
    except OSError:
        how = "posix_fadvise"
    for work in bench.works:
        for client in (c for c in bench.clients if c.name in ("blobferry", "s5cmd")):
            walls = {"cold": [], "warm": []}
            with sink(bench) as server:
                for state in ("cold", "warm") * bench.o.runs:
                    server.reset()
                    if state == "cold":
                        work.drop_cache()
                        if how == "drop_caches":
                            with open("/proc/sys/vm/drop_caches", "w") as f:
                                f.write("1\n")
                    else:
                        work.warm_cache()
                    walls[state].append(client.run(server, work)["wall"])
                    server.check(work, client.prefix)
            wall = {state: statistics.median(w) for state, w in walls.items()}
            found.append(finding(f"cold cache, {client.name}, {work.title}", wall["cold"], "s",
                                 detail=f"warm {wall['warm']:.2f} s; by {how}"))
    return found


def instructions_per_file(bench):
    """By callgrind; the record is what CI compares with."""
    if not shutil.which("valgrind"):
        return []
    with tempfile.TemporaryDirectory(dir=bench.o.cache) as cache:
        count = instructions.per_file(bench.o.build, cache)
    return [finding("instructions per 4 KiB file", count, "instructions", instructions.recorded() * instructions.MARGIN,
                    detail=f"callgrind; the record is {instructions.recorded():,}, checked by CI with a margin of 10 %")]


KNOWN = {f.__name__: f for f in (tracking, syscalls, instructions_per_file, latency, throttled, dead, cold, extras_big.rollback,
                                 extras_big.memory_file, extras_big.memory_rows)}
# An hour is enough: what takes long by itself is asked for by name, or by `make bench-memory`.
LONG = ("memory_file", "memory_rows")


def chosen(names):
    if names == "none":
        return []
    if names == "all":
        return [f for name, f in KNOWN.items() if name not in LONG]
    return [KNOWN[n] for n in names.split(",")]


