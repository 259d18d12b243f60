"""What a run of the bench leaves: benchmarks.md (ready for docs/), results.json and benchmarks.svg."""
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess

from clients import first_line

# Wall and CPU against s5cmd, of issue "Speed", by name of the work.
GOALS = {"small": (0.4, 0.3), "medium": (0.55, 0.45), "large": (0.55, 0.5)}
OURS = ("blobferry", "blobferry-pg")
SERVERS = {"none": "no server", "sink": "sink, HTTP", "sink-tls": "sink, TLS", "rgw": "Ceph RGW, HTTP",
           "versitygw": "versitygw, HTTP"}
NOTES = {
    "blobferry": "tracking in SQLite (synchronous=FULL), audit on, all defaults; the clock runs over `migrate`; `plan` is "
                 "shown beside it, peers have no such step. Against the sink with `--store-profile aws`",
    "blobferry-pg": "the same with tracking in PostgreSQL, which runs on the same machine; its CPU is not the client's",
    "s5cmd": "defaults (256 workers); over TLS with --no-verify-ssl, all others verify the certificate against its CA",
    "rclone": "--transfers 16 --checkers 16, as many as blobferry's files at once; otherwise defaults",
    "rclone-latest": "the newest, built by Go; as rclone",
    "awscli": "defaults", "s3cmd": "defaults, --no-check-md5",
    "read + SHA-256": "reading and hashing alone, on one thread: the floor",
}


def summary(results, values, counts):
    """Medians, and the lowest and highest wall."""
    row = {"runs": len(results)}
    for name in (*values, *counts):
        found = [r[name] for r in results if name in r]
        if found:
            row[name] = statistics.median(found)
    row["wall_low"], row["wall_high"] = (f(r["wall"] for r in results) for f in (min, max))
    return row


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(r) + " |" for r in rows]) + "\n"


def seconds(value):
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def comparison(rows):
    """One row per client: what was measured, and how it stands to s5cmd."""
    by_name = {r["client"]: r for r in rows}
    base, lines = by_name.get("s5cmd"), []
    for r in rows:
        against = ["", ""]
        if base and r is not base:
            against = [f"{r['wall'] / base['wall']:.2f}", f"{r['cpu'] / base['cpu']:.2f}"]
        spread = f"{seconds(r['wall_low'])} to {seconds(r['wall_high'])}" if r["runs"] > 1 else "1 run"
        lines.append([r["client"], f"{seconds(r['wall'])} ({spread})",
                      f"{r['cpu']:.2f}", *against, f"{r['rss_kib'] / 1024:.0f} MiB",
                      f"{r['requests']:.0f}" if "requests" in r else "",
                      f"{r['connections']:.0f}" if "connections" in r else "",
                      f"{r['plan_wall']:.2f}" if "plan_wall" in r else ""])
    return table(["client", "wall s, median (range)", "CPU s", "wall / s5cmd", "CPU / s5cmd", "peak memory", "requests",
                  "connections", "plan s"], lines)


def goals(results):
    """(rows of a table, what was missed)."""
    rows, missed = [], []

    def judge(what, value, limit):
        good = value <= limit
        rows.append([what, f"{value:.2f}", f"{limit:.2f}", "reached" if good else "**missed**"])
        if not good:
            missed.append(f"{what}: {value:.2f}, at most {limit:.2f}")

    for ours in (r for r in results if r["client"] in OURS):
        peers = [r for r in results if (r["server"], r["work"]) == (ours["server"], ours["work"])
                 and r["client"] not in OURS]
        where = f"{ours['client']}, {ours['title']}, {SERVERS[ours['server']]}"
        base = next((p for p in peers if p["client"] == "s5cmd"), None)
        if ours["server"].startswith("sink") and base and ours["work"] in GOALS:
            wall, cpu = GOALS[ours["work"]]
            judge(f"{where}: wall / s5cmd", ours["wall"] / base["wall"], wall)
            judge(f"{where}: CPU / s5cmd", ours["cpu"] / base["cpu"], cpu)
        elif peers and not ours["server"].startswith("sink"):
            fastest = min(peers, key=lambda p: p["wall"])
            judge(f"{where}: wall / {fastest['client']}, the fastest peer", ours["wall"] / fastest["wall"], 1.0)
    return rows, missed


def number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def extra_text(e):
    limit = verdict = ""
    if e["limit"] is not None:
        limit = f", {'at most' if e['at_most'] else 'at least'} {number(e['limit'])}"
        verdict = ": reached" if e["ok"] else ": MISSED"
    return f"{e['name']}: {number(e['value'])} {e['unit']}{limit}{verdict}" + (f" ({e['detail']})" if e["detail"] else "")


def extra_rows(found):
    rows, missed = [], []
    for e in found:
        limit, verdict = "", ""
        if e["limit"] is not None:
            limit = f"{'at most' if e['at_most'] else 'at least'} {number(e['limit'])}"
            verdict = "reached" if e["ok"] else "**missed**"
            if not e["ok"]:
                missed.append(extra_text(e))
        rows.append([e["name"], f"{number(e['value'])} {e['unit']}", limit, verdict, e["detail"]])
    return rows, missed


def machine():
    def read(path, key):
        with open(path) as f:
            return next((line.split(":", 1)[1].strip() for line in f if line.startswith(key)), "unknown")
    release = platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    return {"processor": read("/proc/cpuinfo", "model name"), "cores": len(os.sched_getaffinity(0)),
            "memory": f"{int(read('/proc/meminfo', 'MemTotal').split()[0]) / (1 << 20):.0f} GiB",
            "kernel": platform.release(), "system": release, "load before": f"{os.getloadavg()[2]:.1f}",
            "date": datetime.date.today().isoformat()}


def plot(folder, results):
    """benchmarks.svg by gnuplot; False if it is not there."""
    shown = [r for r in results if r["server"] != "none"]
    names = list(dict.fromkeys(r["client"] for r in shown))
    groups = list(dict.fromkeys((r["server"], r["title"]) for r in shown))
    if not shutil.which("gnuplot") or not groups:
        return False
    for value in ("wall", "cpu"):
        with open(os.path.join(folder, f"plot-{value}.dat"), "w") as f:
            f.write("work " + " ".join(f'"{n}"' for n in names) + "\n")
            for server, title in groups:
                row = {r["client"]: f"{r[value]:.4f}" for r in shown if (r["server"], r["title"]) == (server, title)}
                f.write(f'"{server}\\n{title}" ' + " ".join(row.get(n, "NaN") for n in names) + "\n")
    script = ["set terminal svg size 1200,800 dynamic background rgb 'white' font 'sans,11'", "set output 'benchmarks.svg'",
              "set multiplot layout 2,1", "set style data histogram", "set style histogram cluster gap 1",
              "set style fill solid 0.85 border -1", "set boxwidth 0.9", "set logscale y", "set grid ytics",
              "set key outside right top", "set datafile missing 'NaN'", "set xtics scale 0 noenhanced", "set bmargin 3.5",
              "set key noenhanced"]
    for value, label in (("wall", "wall time, seconds"), ("cpu", "client CPU (user + system), seconds")):
        script.append(f"set ylabel '{label}'")
        columns = ", ".join(f"{'' if i else chr(39) + f'plot-{value}.dat' + chr(39)}{chr(39) * 2 if i else ''} "
                            f"using {i + 2}{':xtic(1)' if not i else ''} title columnheader({i + 2})"
                            for i in range(len(names)))
        script.append("plot " + columns)
    with open(os.path.join(folder, "plot.gp"), "w") as f:
        f.write("\n".join(script) + "\n")
    done = subprocess.run(["gnuplot", "plot.gp"], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stderr)
    return done.returncode == 0


def commit():
    return first_line(["git", "-C", os.path.dirname(os.path.abspath(__file__)), "rev-parse", "--short", "HEAD"]) or "unknown"


def parts(found):
    """How a run that was continued is put together; nothing where it was not."""
    if len(found) < 2:
        return []
    rows = [[p["commit"], p["servers"], p["work"], p["clients"], str(p["runs"])] for p in found]
    return ["## Parts\n", "Measured one after the other on the same machine, each going on with the results of the one before.\n",
            table(["commit", "servers", "work", "clients", "runs"], rows)]


def write(o, bench, took):
    wrong, here, versions = bench.wrong, machine(), dict(bench.versions)
    versions["libcurl"] = first_line(["curl-config", "--version"]) or "unknown"
    versions["commit"] = commit()
    goal_rows, missed = goals(bench.results)
    extra, extra_missed = extra_rows(bench.extras)
    text = ["# Benchmarks\n", "Written by `make bench`; how it measures stands in `tests/bench/README.md`.\n",
            f"Medians of {o.runs} runs after a warm-up; the clients of a table took turns, those that need many times as long as the "
            "fastest one in the first round only. CPU is user + system of the client "
            "and its children; the server ran on the same machine. Objects were checked after each run.\n",
            "## Machine and versions\n",
            table(["what", "is"], [[k, str(v)] for k, v in (*here.items(), *versions.items())])]
    if bench.absent:
        text.append("Absent: " + "; ".join(f"{k} ({v})" for k, v in sorted(bench.absent.items())) + ".\n")
    for server in dict.fromkeys(r["server"] for r in bench.results):
        text.append(f"## {SERVERS.get(server, server)}\n")
        for title in dict.fromkeys(r["title"] for r in bench.results if r["server"] == server):
            rows = [r for r in bench.results if (r["server"], r["title"]) == (server, title)]
            text += [f"### {title}\n", comparison(rows)]
    if goal_rows:
        text += ["## Goals\n", table(["what", "is", "at most", ""], goal_rows)]
    if extra:
        text += ["## More measurements\n", table(["what", "is", "goal", "", "how"], extra)]
    if plot(o.out, bench.results):
        text.append("![wall and CPU time](benchmarks.svg)\n")
    text += ["## How each client ran\n"]
    clients = [c for c in NOTES if any(r["client"] == c for r in bench.results)]
    text.append("\n".join(f"- {c}: {NOTES[c]}" for c in clients) + "\n")
    text += parts(bench.parts)
    if wrong:
        text += ["## Wrong results\n", "\n".join(f"- {w}" for w in wrong) + "\n"]
    text.append(f"The whole run took {took / 60:.0f} minutes.\n")
    with open(os.path.join(o.out, "benchmarks.md"), "w") as f:
        f.write("\n".join(text))
    with open(os.path.join(o.out, "results.json"), "w") as f:
        json.dump({"machine": here, "versions": versions, "absent": bench.absent, "runs": o.runs,
                   "took": took, "parts": bench.parts,
                   "results": bench.results, "extras": bench.extras, "wrong": wrong,
                   "missed": missed + extra_missed}, f, indent=1)
    return missed + extra_missed
