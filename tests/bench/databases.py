"""Tracking databases of a run: SQLite in the run's own folder, or a private PostgreSQL, emptied before each run."""
import os
import shlex
import subprocess
import sys
import tempfile

from servers import ROOT


class Postgres:
    """$BLOBFERRY_TEST_POSTGRES if that is set, else a cluster of our own by tests/harness/pg."""

    def __init__(self):
        self.folder = None
        self.url = os.environ.get("BLOBFERRY_TEST_POSTGRES")
        if self.url:
            return
        self.harness = os.path.join(ROOT, "tests/harness/pg")
        self.folder = tempfile.mkdtemp(prefix="bench-pg-", dir="/tmp")
        started = subprocess.run([sys.executable, self.harness, "start", "--owner", str(os.getpid()), self.folder],
                                 capture_output=True, text=True, check=True)
        values = dict(w.split("=", 1) for line in started.stdout.splitlines() if line.startswith("export ")
                      for w in shlex.split(line)[1:])
        self.url = values["BLOBFERRY_TEST_POSTGRES"]

    def reset(self):
        subprocess.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", self.url, "-c",
                        "SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public"],
                       check=True, capture_output=True)

    def version(self):
        done = subprocess.run(["psql", "-At", self.url, "-c", "SHOW server_version"], capture_output=True, text=True)
        return "PostgreSQL " + done.stdout.strip()

    def close(self):
        if self.folder:
            subprocess.run([sys.executable, self.harness, "stop", self.folder], capture_output=True)


def postgres(program):
    """(database, None), or (None, why there is none)."""
    if not os.environ.get("BLOBFERRY_TEST_POSTGRES") and not os.path.exists(os.path.join(ROOT, "tests/harness/pg")):
        return None, "no tests/harness/pg and no BLOBFERRY_TEST_POSTGRES"
    try:
        db = Postgres()
        db.reset()
    except (OSError, KeyError, subprocess.CalledProcessError) as e:
        why = getattr(e, "stderr", "") or str(e)
        return None, why.strip().splitlines()[-1] if why.strip() else "it does not start"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([program, "init", "--no-config", "--quiet"], cwd=folder, capture_output=True, text=True,
                              env={"PATH": os.environ["PATH"], "BLOBFERRY_DB": db.url})
    if done.returncode != 0:
        db.close()
        return None, done.stderr.strip().splitlines()[0] if done.stderr.strip() else f"init: exit {done.returncode}"
    return db, None
