"""Blobferry and its peers: where each is, what version it is, and the command that sends a folder."""
import json
import os
import shutil
import subprocess
import tempfile

from servers import BUCKET, Wrong

LIMIT = 1800  # seconds of one run
PLAIN = {k: os.environ[k] for k in ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL") if k in os.environ}


def first_line(command, env=None):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=env or PLAIN)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return lines[0].strip() if lines else None


def measured(build, command, env, cwd, log):
    """Run under build/bench/measure: {code, wall, user, system, cpu, rss_kib, ...}."""
    out = os.path.join(cwd, "measured.json")
    with open(log, "wb") as f:
        try:  # measure dies, and takes its command along
            subprocess.run([os.path.join(build, "bench/measure"), out, *command], env=env, cwd=cwd, timeout=LIMIT,
                           stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.STDOUT, check=True)
        except subprocess.TimeoutExpired:
            raise Wrong(f"'{command[0]}' does not end within {LIMIT} s") from None
    with open(out) as f:
        result = json.load(f)
    result["cpu"] = result["user"] + result["system"]
    return result


class Client:
    """One run: prepare() outside the clock, command() inside it, finish() afterwards."""
    name = program = None
    prefix = ""  # of the keys
    note = ""

    def __init__(self, build, cache, program=None, name=None):
        self.build, self.cache = build, cache
        self.program = program or shutil.which(self.program, path=self.search())
        self.name = name or self.name

    def search(self):
        return os.path.join(self.cache, "bin") + ":/usr/bin:" + os.environ["PATH"]

    def version(self):
        return first_line([self.program, "--version"]) if self.program else None

    def environment(self, server):
        return {**PLAIN, **server.credentials, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true"}

    def prepare(self, server, work, folder):
        return {}

    def command(self, server, work, folder):
        raise NotImplementedError

    def finish(self, server, work, folder, log):
        pass

    def run(self, server, work):
        """One measured run against an emptied server; Wrong if the client says that it failed."""
        folder = tempfile.mkdtemp(prefix=f"run-{self.name}-", dir=self.cache)
        try:
            extra = self.prepare(server, work, folder)
            log = os.path.join(folder, "log.txt")
            command, env = self.command(server, work, folder), self.environment(server)
            result = measured(self.build, command, env, folder, log)
            result.update(extra)
            if result["code"] != 0:
                with open(log, errors="replace") as f:
                    raise Wrong(f"{self.name}: exit {result['code']}: {f.read()[-2000:]}")
            self.finish(server, work, folder, log)
            return result
        finally:
            shutil.rmtree(folder, ignore_errors=True)


class Blobferry(Client):
    name = "blobferry"

    def __init__(self, build, cache, db=None, args=(), name=None):
        super().__init__(build, cache, os.path.realpath(os.path.join(build, "blobferry")), name)
        self.db, self.args = db, list(args)

    def environment(self, server):
        env = super().environment(server)
        env.update({"BLOBFERRY_TARGET": f"s3://{BUCKET}", "BLOBFERRY_ENDPOINT_URL": server.endpoint})
        if server.honours:
            env["BLOBFERRY_STORE_PROFILE"] = server.honours
        if server.ca:
            env["BLOBFERRY_CA_FILE"] = server.ca
        if self.db:
            env.update(BLOBFERRY_DB=self.db.url, **self.db.environment)
        return env

    def prepare(self, server, work, folder):
        if self.db:
            self.db.reset()
        env = self.environment(server)
        log = os.path.join(folder, "prepare.txt")
        for what in (["init"], ["plan", "--from-dir", work.folder, "--batch-id", "bench", "--key-template", "{path}"]):
            result = measured(self.build, [self.program, *what], env, folder, log)
            if result["code"] != 0:
                with open(log, errors="replace") as f:
                    raise Wrong(f"blobferry {what[0]}: exit {result['code']}: {f.read()[-2000:]}")
        return {"plan_wall": result["wall"], "plan_cpu": result["cpu"]}

    def command(self, server, work, folder):
        return [self.program, "migrate", "--batch-id", "bench", "--source-root", work.folder, "--quiet", *self.args]


class S5cmd(Client):
    name = program = "s5cmd"
    note = "TLS: the certificate is not verified (--no-verify-ssl)"

    def version(self):
        return first_line([self.program, "version"]) if self.program else None

    def command(self, server, work, folder):
        tls = ["--no-verify-ssl"] if server.ca else []
        return [self.program, "--endpoint-url", server.endpoint, *tls, "--log", "error", "cp",
                work.folder + "/", f"s3://{BUCKET}/"]


class Rclone(Client):
    name = program = "rclone"
    note = "--transfers 16 --checkers 16, no other option of speed"

    def environment(self, server):
        env = super().environment(server)
        env.update({"RCLONE_CONFIG": "/dev/null", "RCLONE_CONFIG_B_TYPE": "s3", "RCLONE_CONFIG_B_PROVIDER": "Other",
                    "RCLONE_CONFIG_B_ENV_AUTH": "true", "RCLONE_CONFIG_B_ENDPOINT": server.endpoint,
                    "RCLONE_CONFIG_B_REGION": "us-east-1"})
        return env

    def command(self, server, work, folder):
        tls = ["--ca-cert", server.ca] if server.ca else []
        return [self.program, *tls, "--transfers", "16", "--checkers", "16", "--s3-no-check-bucket", "copy",
                work.folder, f"b:{BUCKET}"]


class Awscli(Client):
    name, program = "awscli", "aws"

    def command(self, server, work, folder):
        tls = ["--ca-bundle", server.ca] if server.ca else []
        return [self.program, "--endpoint-url", server.endpoint, *tls, "s3", "cp", "--recursive", "--quiet",
                work.folder, f"s3://{BUCKET}/"]


class S3cmd(Client):
    name = program = "s3cmd"

    def command(self, server, work, folder):
        host = server.endpoint.split("//")[1]
        tls = ["--ssl", f"--ca-certs={server.ca}"] if server.ca else ["--no-ssl"]
        return [self.program, "--config=/dev/null", f"--host={host}", f"--host-bucket={host}", *tls, "--no-progress",
                "--quiet", "--no-check-md5", "--recursive", "put", work.folder + "/", f"s3://{BUCKET}/"]


class Floor(Client):
    """Reading and SHA-256 alone, in this order, on one thread: what no client that hashes can go below."""
    name = "read + SHA-256"

    def __init__(self, build, cache):
        super().__init__(build, cache, os.path.realpath(os.path.join(build, "bench/floor")))

    def version(self):
        return "tests/bench/floor.c"

    def command(self, server, work, folder):
        return [self.program, work.folder]


PEERS = (S5cmd, Rclone, Awscli, S3cmd)
