"""Servers that the clients send to: our sink, Ceph RGW, versitygw; and a look at what they hold afterwards."""
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.realpath(os.path.join(HERE, "../.."))
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "benchbenchbenchbench", "AWS_SECRET_ACCESS_KEY": "bench-secret-of-no-value"}
BUCKET = "bench"


class Wrong(Exception):
    """A result that is not what was asked for: the bench fails."""


def certificate(folder):
    """A CA and a certificate for 127.0.0.1 signed by it: (ca, certificate, key), made once per folder."""
    ca, ca_key, cert, key = (os.path.join(folder, n) for n in ("ca.pem", "ca.key", "server.pem", "server.key"))
    if not os.path.exists(cert):
        os.makedirs(folder, exist_ok=True)
        request, extra = os.path.join(folder, "server.csr"), os.path.join(folder, "server.ext")
        with open(extra, "w") as f:
            f.write("subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n")
        ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        for command in (["req", "-x509", *ec, "-keyout", ca_key, "-out", ca, "-days", "30", "-subj", "/CN=bench CA"],
                        ["req", *ec, "-keyout", key, "-out", request, "-subj", "/CN=127.0.0.1"],
                        ["x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial",
                         "-days", "30", "-extfile", extra, "-out", cert]):
            subprocess.run(["openssl", *command], check=True, capture_output=True)
    return ca, cert, key


class Sink:
    """Our own server, which forgets the bodies. `--check` hashes them: for the checked run, outside the clock."""
    name = "sink"
    # It stands for a store that checks what it is sent, as AWS, R2 and RGW do, and does so only with --check: hashing
    # would take the client's cores. A client that finds out by itself would see a lax store.
    honours = "aws"

    def __init__(self, build, folder, tls=False, args=()):
        self.ca = None
        command = [os.path.join(build, "bench/sink"), "--die-with-parent", *args]
        self.checked = "--check" in args
        if tls:
            self.ca, cert, key = certificate(folder)
            command += ["--tls", cert, key]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("port "):
            raise Wrong("the sink does not listen")
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{int(line[5:])}"
        self.credentials = CREDENTIALS
        self.context = ssl.create_default_context(cafile=self.ca) if tls else None

    def _ask(self, path, data=None):
        with urllib.request.urlopen(self.endpoint + path, data=data, context=self.context, timeout=60) as answer:
            return answer.read()

    def stats(self):
        return json.loads(self._ask("/__stats"))

    def reset(self):
        self._ask("/__reset", data=b"")

    def objects(self):
        return [json.loads(line) for line in self._ask("/__objects").splitlines()]

    def check(self, work, prefix):
        """Count and bytes; with --check the SHA-256 of every object, part by part where it came in parts."""
        stats = self.stats()
        if (stats["objects"], stats["object_bytes"]) != (work.count, work.bytes):
            raise Wrong(f"{stats['objects']} objects of {stats['object_bytes']} bytes at the server, "
                        f"not {work.count} of {work.bytes}")
        if not self.checked:
            return
        for found in self.objects():
            key = found["key"][len(f"{BUCKET}/{prefix}"):]
            if key not in work.digests:
                raise Wrong(f"object '{found['key']}' was not asked for")
            if not found["parts"]:
                right = found["sha256"] == work.digests[key]
            else:
                at, right = 0, True
                for part in found["parts"]:
                    right = right and part["sha256"] == work.range_digest(key, at, part["size"])
                    at += part["size"]
                right = right and at == work.size
            if not right:
                raise Wrong(f"object '{found['key']}' has other bytes than its file")

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


class S3Server:
    """What Rgw and Versitygw share: objects are listed by boto3, and a sample of them read and hashed."""
    SAMPLE = 20
    honours = None  # it is found out

    def _connect(self):
        import boto3
        from botocore.config import Config
        self.client = boto3.client(
            "s3", endpoint_url=self.endpoint, region_name="us-east-1",
            aws_access_key_id=self.credentials["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.credentials["AWS_SECRET_ACCESS_KEY"],
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 5}))
        names = [b["Name"] for b in self.client.list_buckets()["Buckets"]]
        if BUCKET not in names:
            self.client.create_bucket(Bucket=BUCKET)

    def _pages(self):
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            yield page.get("Contents", ())

    def stats(self):
        return {}

    def reset(self):
        for entries in self._pages():
            keys = [{"Key": o["Key"]} for o in entries]
            if keys:
                self.client.delete_objects(Bucket=BUCKET, Delete={"Objects": keys, "Quiet": True})

    def check(self, work, prefix):
        import hashlib
        sizes = {o["Key"]: o["Size"] for entries in self._pages() for o in entries}
        expected = {prefix + key: work.size for key in work.digests}
        if sizes != expected:
            wrong = [k for k in set(sizes) | set(expected) if sizes.get(k) != expected.get(k)]
            raise Wrong(f"{len(wrong)} objects are missing, too many or of another size, such as '{sorted(wrong)[0]}'")
        keys = sorted(work.digests)
        for key in keys[::max(1, len(keys) // self.SAMPLE)]:
            digest = hashlib.sha256()
            for data in self.client.get_object(Bucket=BUCKET, Key=prefix + key)["Body"].iter_chunks(1 << 20):
                digest.update(data)
            if digest.hexdigest() != work.digests[key]:
                raise Wrong(f"object '{prefix + key}' has other bytes than its file")


class Rgw(S3Server):
    name = "rgw"
    ca = None

    def __init__(self, build, folder):
        self.folder = tempfile.mkdtemp(prefix="bench-rgw-", dir="/tmp")
        self.harness = os.path.join(ROOT, "tests/harness/rgw")
        started = subprocess.run([sys.executable, self.harness, "start", "--owner", str(os.getpid()),
                                  "--memory", "8192", self.folder], capture_output=True, text=True, check=True)
        values = dict(line[7:].split("=", 1) for line in started.stdout.splitlines() if line.startswith("export "))
        values = {k: v.strip("'\"") for k, v in values.items()}
        self.endpoint = values["BLOBFERRY_TEST_S3_ENDPOINT"]
        self.credentials = {k: values[k] for k in CREDENTIALS}
        self._connect()

    def reset(self):
        super().reset()
        # What is deleted is freed some seconds later, by a collector that must not run beside the next client.
        subprocess.run(["radosgw-admin", f"--conf={self.folder}/ceph.conf", "-n", "client.admin", "gc", "process",
                        "--include-all"], capture_output=True, check=True)

    def close(self):
        subprocess.run([sys.executable, self.harness, "stop", self.folder], capture_output=True)


class Versitygw(S3Server):
    name = "versitygw"
    ca = None

    def __init__(self, build, folder, program="versitygw"):
        import socket
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.folder = tempfile.mkdtemp(prefix="bench-versitygw-", dir=folder)
        self.endpoint = f"http://127.0.0.1:{port}"
        self.credentials = CREDENTIALS
        self.process = subprocess.Popen(
            [program, "--port", f"127.0.0.1:{port}", "--access", CREDENTIALS["AWS_ACCESS_KEY_ID"],
             "--secret", CREDENTIALS["AWS_SECRET_ACCESS_KEY"], "posix", self.folder],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while True:
            try:
                self._connect()
                return
            except Exception:
                if time.monotonic() > end or self.process.poll() is not None:
                    self.close()
                    raise Wrong("versitygw does not answer") from None
                time.sleep(0.1)

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
