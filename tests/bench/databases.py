"""Tracking databases of a run: SQLite in the run's own folder, or a private PostgreSQL, emptied before each run."""
import os
import re
import shlex
import subprocess
import sys
import tempfile
import urllib.parse

from servers import ROOT


class Postgres:
    """$BLOBFERRY_TEST_POSTGRES if that is set, else a cluster of our own by tests/harness/pg."""

    def __init__(self):
        self.folder = None
        full = os.environ.get("BLOBFERRY_TEST_POSTGRES") or self._start()
        parts = urllib.parse.urlsplit(full)
        # The password travels apart: blobferry takes none from a URL.
        self.url = parts._replace(netloc=re.sub(r":[^@]*@", "@", parts.netloc)).geturl()
        self.environment = {"PGPASSWORD": urllib.parse.unquote(parts.password)} if parts.password else {}

    def _start(self):
        self.harness = os.path.join(ROOT, "tests/harness/pg")
        self.folder = tempfile.mkdtemp(prefix="bench-pg-", dir="/tmp")
        started = subprocess.run([sys.executable, self.harness, "start", "--owner", str(os.getpid()), self.folder],
                                 capture_output=True, text=True, check=True)
        values = dict(w.split("=", 1) for line in started.stdout.splitlines() if line.startswith("export ")
                      for w in shlex.split(line)[1:])
        return values["BLOBFERRY_TEST_POSTGRES"]

    def _psql(self, *args):
        return subprocess.run(["psql", "-qAt", "-v", "ON_ERROR_STOP=1", self.url, *args], check=True, text=True,
                              capture_output=True, env={**os.environ, **self.environment}).stdout.strip()

    def reset(self):
        self._psql("-c", "SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public")

    def version(self):
        return "PostgreSQL " + self._psql("-c", "SHOW server_version")

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
                              env={"PATH": os.environ["PATH"], "BLOBFERRY_DB": db.url, **db.environment})
    if done.returncode != 0:
        db.close()
        return None, done.stderr.strip().splitlines()[0] if done.stderr.strip() else f"init: exit {done.returncode}"
    return db, None
