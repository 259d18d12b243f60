"""Rollback against HEAD and DELETE one by one; peak memory with one huge file and with very many rows."""
import contextlib
import http.client
import os
import re
import shutil
import statistics
import tempfile
import time

import clients
import servers
import work as works
from servers import BUCKET, Wrong

ONE_BY_ONE = 1000  # objects that the loop takes; its time is scaled to all
ROLLBACK_FACTOR = 20
MEMORY_LIMIT = 48  # MiB
HUGE = os.environ.get("BENCH_HUGE") or "20G"
ROWS = int(os.environ.get("BENCH_ROWS") or 1_000_000)


def finding(*args, **kwargs):
    import extras  # it imports this module
    return extras.finding(*args, **kwargs)


@contextlib.contextmanager
def sink(bench, *args):
    server = servers.Sink(bench.o.build, os.path.join(bench.o.cache, "tls"), False, args)
    try:
        yield server
    finally:
        server.close()


def one_by_one(server, keys):
    """Seconds for HEAD and DELETE of each key over one kept connection, unsigned: less work than any real client has."""
    connection = http.client.HTTPConnection(server.endpoint.split("//")[1])
    start = time.monotonic()
    for key in keys:
        for method in ("HEAD", "DELETE"):
            connection.request(method, f"/{BUCKET}/{key}")
            answer = connection.getresponse()
            answer.read()
            if answer.status not in (200, 204):
                raise Wrong(f"{method} {key}: {answer.status}")
    took = time.monotonic() - start
    connection.close()
    return took


def rolled_back(bench, server, work):
    """Migrate, then a confirmed rollback, measured: (result, requests it took)."""
    client = clients.Blobferry(bench.o.build, bench.o.cache)
    folder = tempfile.mkdtemp(prefix="run-rollback-", dir=bench.o.cache)
    env, log = client.environment(server), os.path.join(folder, "log.txt")
    try:
        server.reset()
        client.prepare(server, work, folder)
        commands = (client.command(server, work, folder),
                    [client.program, "rollback", "--batch-id", "bench", "--confirm", "--force", "--source-root",
                     work.folder, "--quiet"])
        for command in commands:
            before = server.stats()["requests"]
            result = clients.measured(bench.o.build, command, env, folder, log)
            if result["code"] != 0:
                with open(log, errors="replace") as f:
                    raise Wrong(f"{command[1]}: exit {result['code']}: {f.read()[-2000:]}")
        stats = server.stats()
        if stats["objects"]:
            raise Wrong(f"{stats['objects']} objects are left after the rollback")
        return result, stats["requests"] - before
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def rollback(bench):
    found = []
    work = next((w for w in bench.works if w.name == "small"), bench.works[0])
    keys = sorted(work.digests)[:ONE_BY_ONE]
    for ms in (0, 20):
        with sink(bench, "--latency", str(ms)) as server:
            runs = [rolled_back(bench, server, work) for _ in range(max(1, min(3, bench.o.runs)))]
            wall, requests = statistics.median(r["wall"] for r, _ in runs), runs[-1][1]
            server.reset()
            # The objects for the loop, made by a migration of the same work.
            clients.Blobferry(bench.o.build, bench.o.cache).run(server, work)
            loop = one_by_one(server, keys) * work.count / len(keys)
        # The goal is of a store that is somewhere else: without latency the loop costs our sink next to nothing.
        found.append(finding(f"rollback of {work.count:,} objects, {ms} ms of latency", loop / wall,
                             "times as fast as HEAD and DELETE one by one", ROLLBACK_FACTOR if ms else None, at_most=False,
                             detail=f"{wall:.2f} s and {requests} requests, originals hashed, backup and audit included; the "
                                    f"loop {loop:.1f} s, scaled from {len(keys)} objects, nothing proven"))
    return found


def memory_run(bench, server, client, plan, folder, root):
    env, log = client.environment(server), os.path.join(folder, "log.txt")
    commands = {"init": [client.program, "init"], "plan": [client.program, "plan", "--batch-id", "bench", *plan],
                "migrate": [client.program, "migrate", "--batch-id", "bench", "--source-root", root, "--quiet"]}
    results = {}
    for name, command in commands.items():
        results[name] = clients.measured(bench.o.build, command, env, folder, log)
        if results[name]["code"] != 0:
            with open(log, errors="replace") as f:
                raise Wrong(f"{name}: exit {results[name]['code']}: {f.read()[-2000:]}")
    return results


def memory_file(bench):
    """One sparse file of 20 GiB."""
    size = int(re.match(r"\d+", HUGE)[0]) * works.UNITS[HUGE[-1]]
    folder = tempfile.mkdtemp(prefix="run-huge-", dir=bench.o.cache)
    root = os.path.join(folder, "files")
    try:
        os.mkdir(root)
        with open(os.path.join(root, "huge.bin"), "wb") as f:
            f.truncate(size)
        client = clients.Blobferry(bench.o.build, bench.o.cache)
        with sink(bench) as server:
            plan = ["--from-dir", root, "--key-template", "{path}"]
            results = memory_run(bench, server, client, plan, folder, root)
            stats = server.stats()
        if (stats["objects"], stats["object_bytes"]) != (1, size):
            raise Wrong(f"{stats['objects']} objects of {stats['object_bytes']} bytes")
        return [finding(f"peak memory of migrate, one sparse file of {works.human(size)}",
                        results["migrate"]["rss_kib"] / 1024, "MiB", MEMORY_LIMIT,
                        detail=f"{results['migrate']['wall']:.0f} s, {stats['put']} parts")]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def memory_rows(bench):
    """A million rows, all of one small source file under keys of their own."""
    folder = tempfile.mkdtemp(prefix="run-rows-", dir=bench.o.cache)
    root = os.path.join(folder, "files")
    try:
        os.mkdir(root)
        with open(os.path.join(root, "one.txt"), "w") as f:
            f.write("the same for all\n")
        with open(os.path.join(folder, "rows.csv"), "w") as f:
            f.write("file_id,source_path,filename,user_id\n")
            for n in range(ROWS):
                f.write(f"f{n:09d},one.txt,one.txt,u{n % 1000}\n")
        client = clients.Blobferry(bench.o.build, bench.o.cache)
        with sink(bench) as server:
            plan = ["--from-csv", os.path.join(folder, "rows.csv"), "--source-root", root,
                    "--key-template", "{user_id}/{file_id}"]
            results = memory_run(bench, server, client, plan, folder, root)
            stats = server.stats()
        if stats["objects"] != ROWS:
            raise Wrong(f"{stats['objects']} objects, not {ROWS}")
        return [finding(f"peak memory of {name}, {ROWS:,} rows", results[name]["rss_kib"] / 1024, "MiB", MEMORY_LIMIT,
                        detail=f"{results[name]['wall']:.0f} s") for name in ("plan", "migrate")]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
