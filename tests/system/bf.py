"""What system tests stand on: a workspace, the program as a user runs it, and an INDEPENDENT look at the result
with boto3, sqlite3, psycopg2 and hashlib: never blobferry's own word for it."""
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

ROOT = os.environ.get("BLOBFERRY_TEST_ROOT") or os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
BINARY = os.environ.get("BLOBFERRY_TEST_BINARY") or os.path.join(ROOT, "build/blobferry")
ENDPOINT = os.environ.get("BLOBFERRY_TEST_S3_ENDPOINT")
SANITIZER = os.environ.get("BLOBFERRY_TEST_SANITIZER", "")
SLOW = 4 if SANITIZER else 1  # time limits are multiplied by it
sys.path.insert(0, os.path.join(ROOT, "tests/harness"))

import audit_chain  # noqa: E402
import bf_tracker  # noqa: E402
from countproxy import CountProxy, Fault  # noqa: E402,F401

REPORT = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|UndefinedBehaviorSanitizer")
FINISHED = ("completed", "verified")
# Variables that reach the program from outside; everything else a test gives by itself.
PASSED_ON = re.compile(r"^(PATH|TMPDIR|TZ|LC_ALL|(A|L|UB|T)SAN_OPTIONS)$")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def wait_for(condition, limit=20, what="condition"):
    """Poll until condition() is true; its value is returned."""
    end = time.monotonic() + limit * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {limit * SLOW} s")
        time.sleep(0.01)


class Result:
    def __init__(self, args, code, out, err, seconds):
        self.args, self.code, self.out, self.err, self.seconds = args, code, out, err, seconds

    @property
    def text(self):
        return self.out + self.err

    def json(self):
        return json.loads(self.out, object_pairs_hook=audit_chain.unique)

    def __str__(self):
        return f"blobferry {' '.join(self.args)}: exit {self.code}\nstdout:\n{self.out}\nstderr:\n{self.err}"


# ---- object stores, looked at without blobferry -------------------------------------------------------------
class S3Store:
    """A bucket of its own on the test server."""
    kind = "s3"

    def __init__(self, endpoint=None):
        import boto3
        from botocore.config import Config
        self.endpoint = endpoint or ENDPOINT
        self.client = boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1",
                                   config=Config(s3={"addressing_style": "path"}, max_pool_connections=8,
                                                 retries={"max_attempts": 3}))
        self.bucket = "bf-" + uuid.uuid4().hex[:20]
        self.client.create_bucket(Bucket=self.bucket)
        self.target = "s3://" + self.bucket

    def options(self):
        return ["--target", self.target, "--endpoint-url", self.endpoint]

    def environment(self):
        return {k: os.environ[k] for k in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")}

    def keys(self):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return {o["Key"] for page in pages for o in page.get("Contents", ())}

    def get(self, key):
        """The object's bytes; None if there is none."""
        try:
            return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return None

    def head(self, key):
        return self.client.head_object(Bucket=self.bucket, Key=key)

    def put(self, key, data):
        self.client.put_object(Bucket=self.bucket, Key=key, Body=data)

    def delete(self, key):
        self.client.delete_object(Bucket=self.bucket, Key=key)

    def uploads(self):
        answer = self.client.list_multipart_uploads(Bucket=self.bucket)
        return [(u["Key"], u["UploadId"]) for u in answer.get("Uploads", ())]

    def empty(self):
        for key, upload in self.uploads():
            self.client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)
        keys = sorted(self.keys())
        for n in range(0, len(keys), 1000):
            self.client.delete_objects(Bucket=self.bucket,
                                       Delete={"Objects": [{"Key": k} for k in keys[n:n + 1000]]})

    def close(self):
        def gone():
            self.empty()
            try:
                self.client.delete_bucket(Bucket=self.bucket)
            except self.client.exceptions.ClientError as e:
                if e.response["Error"]["Code"] != "BucketNotEmpty":
                    raise
                return False
            return True
        # a PUT that a proxy has delayed may still arrive, although its sender was killed
        wait_for(gone, what=f"bucket {self.bucket} is empty")


class DirStore:
    """A directory: an object is the file of its key's name; what begins with '.blobferry' is the driver's own."""
    kind = "dir"
    OWN = ".blobferry"

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.target = "file://" + folder

    def options(self):
        return ["--target", self.target]

    def environment(self):
        return {}

    def keys(self):
        found = set()
        for where, folders, names in os.walk(self.folder):
            folders[:] = [f for f in folders if not f.startswith(self.OWN)]
            found |= {os.path.relpath(os.path.join(where, n), self.folder) for n in names
                      if not n.startswith(self.OWN)}
        return found

    def get(self, key):
        try:
            with open(os.path.join(self.folder, key), "rb") as f:
                return f.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def put(self, key, data):
        path = os.path.join(self.folder, key)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)

    def delete(self, key):
        os.unlink(os.path.join(self.folder, key))

    def uploads(self):
        """Multipart uploads under way or left behind."""
        folder = os.path.join(self.folder, self.OWN, "uploads")
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []

    def close(self):
        pass


# ---- the workspace --------------------------------------------------------------------------------------------
def hear_interrupts():
    """A shell's background job is born deaf to SIGINT, and blobferry, like nohup's children, leaves it so."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Workspace:
    """A folder with sources, database, logs; runs blobferry in it and checks what it did."""

    def __init__(self, store="dir", tracker="sqlite"):
        self.dir = os.path.realpath(tempfile.mkdtemp(prefix="bf."))
        self.sources = self.path("files")
        self.db = self.path("tracking.db")
        self.logs = self.path("logs")
        self.backups = self.path("backups")
        self.batches = self.path("batches")
        os.mkdir(self.sources)
        self.store = {"dir": lambda: DirStore(self.path("bucket")), "s3": S3Store}[store]()
        self.tracker = bf_tracker.make(tracker, self)
        self.endpoint = None  # a proxy's URL in place of the store's
        self.profile = None  # what the store is said to be; unsaid, it is found out by a probe
        self.before = {}
        self.children = []

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def close(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
                child.wait()
        self.tracker.close()
        self.store.close()
        subprocess.run(["chmod", "-R", "u+rwX", self.dir], check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- sources ------------------------------------------------------------------------------------------
    def write(self, name, data):
        path = os.path.join(self.sources, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def make_files(self, count, smallest=0, largest=3000, seed=1):
        """`count` files with names d<n>/file-<n>.bin and fixed content; returns their names."""
        rng = random.Random(seed)
        names = [f"d{n % 10}/file-{n:05d}.bin" for n in range(count)]
        for name in names:
            self.write(name, rng.randbytes(rng.randint(smallest, largest)))
        return names

    def source(self, name):
        with open(os.path.join(self.sources, name), "rb") as f:
            return f.read()

    def snapshot(self):
        """Everything about the sources that a reader may not change."""
        found = {}
        for where, _, names in os.walk(self.sources):
            for name in names:
                path = os.path.join(where, name)
                about = os.lstat(path)
                digest = None
                if os.path.isfile(path) and not os.path.islink(path) and about.st_mode & 0o400:
                    with open(path, "rb") as f:
                        digest = sha256(f.read())
                found[os.path.relpath(path, self.sources)] = (
                    digest, about.st_ino, about.st_size, about.st_mode, about.st_uid, about.st_nlink,
                    about.st_mtime_ns, about.st_ctime_ns)
        return found

    def freeze(self):
        """Remember the sources as they are; check() compares."""
        self.before = self.snapshot()

    # ---- the program --------------------------------------------------------------------------------------
    def options(self):
        store = self.store.options()
        if self.endpoint:
            store[store.index("--endpoint-url") + 1] = self.endpoint
        return ["--db", self.tracker.url(), "--source-root", self.sources, "--log-dir", self.logs,
                "--backup-dir", self.backups, "--batch-dir", self.batches, *store,
                *(["--store-profile", self.profile] if self.profile else [])]

    def environment(self, extra=None):
        env = {k: v for k, v in os.environ.items() if PASSED_ON.match(k)}
        env.update({"HOME": self.dir, "TMPDIR": self.dir, **self.store.environment(), **self.tracker.environment()})
        env.update(extra or {})
        return {k: v for k, v in env.items() if v is not None}

    def command(self, args, unprivileged=False, wrap=(), bare=False):
        command = [*wrap, BINARY, *([] if bare else self.options()), *args]
        if unprivileged and os.geteuid() == 0:
            # root without the right to pass over permissions is bound by them like anyone
            caps = "-dac_override,-dac_read_search"
            command = ["setpriv", "--bounding-set", caps, "--inh-caps", caps, *command]
        return command

    def run(self, *args, expect=None, env=None, limit=60, stdin=subprocess.DEVNULL, unprivileged=False,
            wrap=(), bare=False, text_input=None):
        """Run to the end. expect: the exit code that it must have."""
        begun = time.monotonic()
        given = {"input": text_input} if text_input is not None else {"stdin": stdin}
        done = subprocess.run(self.command(args, unprivileged, wrap, bare), cwd=self.dir,
                              env=self.environment(env), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=limit * SLOW, **given)
        result = Result(args, done.returncode, done.stdout.decode(errors="replace"),
                        done.stderr.decode(errors="replace"), time.monotonic() - begun)
        self.judge(result)
        if expect is not None and result.code != expect:
            raise AssertionError(f"expected exit {expect}: {result}")
        return result

    @staticmethod
    def judge(result):
        if REPORT.search(result.err):
            raise AssertionError(f"a sanitizer reports: {result}")

    def start(self, *args, env=None, wrap=(), unprivileged=False):
        """Start and return the process; its output goes to files of the workspace."""
        number = len(self.children)
        with open(self.path(f"out.{number}"), "wb") as out, open(self.path(f"err.{number}"), "wb") as err:
            child = subprocess.Popen(self.command(args, unprivileged, wrap), cwd=self.dir, stdout=out, stderr=err,
                                     env=self.environment(env), stdin=subprocess.DEVNULL,
                                     preexec_fn=hear_interrupts)
        child.number, child.blobferry_args = number, args
        self.children.append(child)
        return child

    def finish(self, child, limit=60):
        """Wait for a started process; its Result."""
        begun = time.monotonic()
        try:
            code = child.wait(limit * SLOW)
        except subprocess.TimeoutExpired:
            child.kill()
            raise AssertionError(f"does not end: blobferry {' '.join(child.blobferry_args)}") from None
        texts = []
        for kind in ("out", "err"):
            with open(self.path(f"{kind}.{child.number}"), errors="replace") as f:
                texts.append(f.read())
        result = Result(child.blobferry_args, code, *texts, time.monotonic() - begun)
        if code != -signal.SIGKILL:
            self.judge(result)
        return result

    def plan(self, batch="b1", user="u1", *args, expect=0):
        return self.run("plan", "--from-dir", self.sources, "--batch-id", batch, "--user-id", user, *args,
                        expect=expect)

    def migrated(self, count=5, **sizes):
        """Sources, planned and migrated; returns the names."""
        names = self.make_files(count, **sizes)
        self.freeze()
        self.run("init", expect=0)
        self.plan()
        self.run("migrate", "--batch-id", "b1", expect=0)
        return names

    # ---- the database, read without blobferry -------------------------------------------------------------
    def database(self, write=False):
        return self.tracker.database(write)

    def sql(self, statement, *values):
        with self.database() as db:
            return db.execute(statement, values).fetchall()

    def change(self, statement, *values):
        with self.database(write=True) as db:
            return db.execute(statement, values).rowcount

    def statuses(self, batch=None):
        """{status: rows}"""
        where, values = ("WHERE batch_id = ?", (batch,)) if batch else ("", ())
        return {r[0]: r[1] for r in self.sql(
            f"SELECT status, count(*) FROM file_migrations {where} GROUP BY status", *values)}

    def rows(self):
        return self.sql("SELECT m.*, f.r2_key, f.checksum, f.filename, f.user_id, f.id AS f_id FROM file_migrations m"
                        " LEFT JOIN files f ON f.id = m.file_id ORDER BY m.source_path")

    def row(self, name):
        found = [r for r in self.rows() if r["source_path"] in (name, os.path.join(self.sources, name))]
        if len(found) != 1:
            raise AssertionError(f"{len(found)} rows for '{name}'")
        return found[0]

    def source_of(self, row):
        return os.path.join(self.sources, row["source_path"])

    def dump(self):
        """All rows of all tables: a dry run may not change any of it."""
        with self.database() as db:
            return {t: sorted((tuple(r) for r in db.execute(f'SELECT * FROM "{t}"')), key=repr)
                    for t in self.tracker.tables(db)}

    # ---- the invariants (FAILURES.md) -----------------------------------------------------------------------
    def check(self, after_kill=False):
        """I1 to I6 and I11 of the failure matrix. after_kill: before the next run has put things in order."""
        rows = self.rows()
        keys = self.store.keys()
        for row in rows:
            what = f"row '{row['source_path']}' ({row['status']})"
            if row["status"] == "processing" and not after_kill:
                raise AssertionError(f"{what} is left in hand")
            if row["status"] in FINISHED:
                self.check_finished(row, what)
            if row["status"] in ("rolled_back", "pending", "failed") and row["r2_key"] == row["target_r2_key"]:
                others = [r for r in rows if r["r2_key"] == row["r2_key"] and r["status"] in FINISHED]
                if not others:
                    raise AssertionError(f"{what} still has its pointer")
            if row["status"] == "failed" and not row["error_message"]:
                raise AssertionError(f"{what} failed without a message")
        for pointer, in self.sql("SELECT r2_key FROM files WHERE r2_key IS NOT NULL AND r2_key <> ''"):
            if pointer not in keys:
                raise AssertionError(f"pointer to nothing: '{pointer}'")
        self.check_counters()
        if self.before and self.snapshot() != self.before:
            raise AssertionError("a source was touched")
        if not after_kill:
            if self.store.uploads():
                raise AssertionError(f"multipart uploads left: {self.store.uploads()}")
            if os.path.exists(self.audit_file()):
                self.audit()
        return rows

    def check_finished(self, row, what):
        body = self.store.get(row["target_r2_key"])
        if body is None:
            raise AssertionError(f"{what}: no object '{row['target_r2_key']}'")
        with open(self.source_of(row), "rb") as f:
            source = f.read()
        if body != source:
            raise AssertionError(f"{what}: the object has other bytes ({len(body)} v {len(source)})")
        if row["migrated_checksum"] != sha256(source):
            raise AssertionError(f"{what}: migrated_checksum is {row['migrated_checksum']}")
        if row["f_id"] is not None:
            if row["r2_key"] != row["target_r2_key"]:
                raise AssertionError(f"{what}: files.r2_key is {row['r2_key']!r}")
            if row["checksum"] != row["migrated_checksum"]:
                raise AssertionError(f"{what}: files.checksum is {row['checksum']!r}")
        if row["completed_at"] is None or not re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row["completed_at"]):
            raise AssertionError(f"{what}: completed_at is {row['completed_at']!r}")
        if abs(time.time() - calendar_time(row["completed_at"])) > 3600:
            raise AssertionError(f"{what}: completed_at {row['completed_at']} is not the time in UTC")

    def check_counters(self):
        for b in self.sql("SELECT * FROM migration_batches"):
            have = self.statuses(b["batch_id"])
            want = (sum(have.values()), have.get("completed", 0) + have.get("verified", 0), have.get("verified", 0),
                    have.get("failed", 0), derived_status(have))
            got = (b["total_files"], b["completed_files"], b["verified_files"], b["failed_files"], b["status"])
            if want != got:
                raise AssertionError(f"batch '{b['batch_id']}': (total, completed, verified, failed, status)"
                                     f" is {got}, the rows say {want}")

    # ---- the audit trail ------------------------------------------------------------------------------------
    def audit_file(self):
        return os.path.join(self.logs, "audit.jsonl")

    def audit(self, action=None):
        entries = audit_chain.read(self.audit_file())
        return [e for e in entries if action is None or e["action"] == action]


def calendar_time(text):
    import calendar
    return calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M:%S"))


def derived_status(have):
    """The batch's status that follows from {status: rows}, as the contract says it."""
    total = sum(have.values())
    ended = sum(have.get(s, 0) for s in ("completed", "verified", "failed", "rolled_back"))
    if total == have.get("pending", 0):
        return "pending"
    if have.get("processing") or (have.get("pending") and ended):
        return "processing"
    if total == have.get("completed", 0) + have.get("verified", 0):
        return "completed"
    for status in ("failed", "rolled_back"):
        if total == have.get(status, 0):
            return status
    return "partial"


class TestCase(unittest.TestCase):
    """A test with a workspace in self.ws; `store` names the kind of object store, `tracker` that of database."""
    store = "dir"
    tracker = "sqlite"
    maxDiff = 4000

    def setUp(self):
        if self.store == "s3" and not ENDPOINT:
            self.skipTest("no S3 server (see: tests/run)")
        if self.tracker == "postgres" and not bf_tracker.POSTGRES:
            self.skipTest("no PostgreSQL server (see: tests/run)")
        if self.tracker == "d1" and "BLOBFERRY_TEST_D1_URL" not in os.environ:
            self.skipTest(os.environ.get("BLOBFERRY_TEST_D1_MISSING", "no D1 (see: tests/run)"))
        self.ws = Workspace(self.store, self.tracker)
        self.addCleanup(self.ws.close)

    def proxy(self, *faults):
        """A counting proxy between the program and the store, until the test ends."""
        proxy = CountProxy(self.ws.store.endpoint, faults)
        self.addCleanup(proxy.close)
        self.ws.endpoint = proxy.url
        return proxy
