"""A counting, fault-injecting HTTP/1.1 proxy before an object store (standard library only).

It passes bytes on unchanged, the Host header too, so signatures stay valid; it counts each request by
method and S3 operation; and it can misbehave on purpose:

    with CountProxy("http://127.0.0.1:20505", [Fault("drop_answer", method="PUT", times=1)]) as proxy:
        run("--endpoint-url", proxy.url, ...)
        proxy.count("PUT")

Faults (action: what `value` means)
    reset          RST as soon as the request's head is there
    reset_request  RST after `value` bytes of the request's body have been passed on
    reset_answer   RST after `value` bytes of the answer's body
    drop_answer    the store does its work, the client gets an RST instead of the answer
    delay          wait `value` seconds before passing the request on
    slow           pass the request's body on at `value` bytes a second
    flip_request   flip one bit of byte `value` of the request's body
    flip_answer    flip one bit of byte `value` of the answer's body
    status         answer `value` (a status code) at once, with an S3 error document; closes
"""
import collections
import json
import re
import select
import socket
import struct
import threading
import time
import urllib.parse

HEAD_LIMIT = 1 << 20
BLOCK = 1 << 16


class Fault:
    """What to do to the `skip`+1st .. `skip`+`times`th request that matches; times 0: for ever."""

    def __init__(self, action, value=0, method=None, path=None, op=None, times=1, skip=0, code=None):
        self.action, self.value, self.method, self.op = action, value, method, op
        self.path = re.compile(path) if path else None
        self.times, self.skip, self.code = times, skip, code
        self.fired = 0

    def matches(self, request):
        if self.method and request.method != self.method:
            return False
        if self.op and request.op != self.op:
            return False
        return not self.path or bool(self.path.search(request.path))

    def take(self, request):
        """Called under the proxy's lock."""
        if not self.matches(request) or (self.times and self.fired >= self.times):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.fired += 1
        return True


class Request:
    """One request as it passed: method, path (decoded), query, op, status (0: none came), sent (bytes)."""

    def __init__(self, method, target):
        parts = urllib.parse.urlsplit(target)
        self.method, self.target = method, target
        self.path = urllib.parse.unquote(parts.path, errors="surrogateescape")
        self.query = urllib.parse.parse_qs(parts.query, keep_blank_values=True)
        self.op = self.operation()
        self.status = 0
        self.sent = 0
        self.time = time.time()

    def operation(self):
        query, in_bucket = self.query, self.path.strip("/").count("/") == 0
        if self.method == "POST":
            return ("CreateMultipartUpload" if "uploads" in query
                    else "CompleteMultipartUpload" if "uploadId" in query
                    else "DeleteObjects" if "delete" in query else "POST")
        if self.method == "PUT":
            return ("UploadPart" if "uploadId" in query else "CreateBucket" if in_bucket
                    else "PutObject")
        if self.method == "DELETE":
            return "AbortMultipartUpload" if "uploadId" in query else "DeleteObject"
        if self.method == "GET":
            return ("ListMultipartUploads" if "uploads" in query else "ListParts" if "uploadId" in query
                    else "ListObjects" if in_bucket else "GetObject")
        return "HeadBucket" if in_bucket else "HeadObject"

    def as_dict(self):
        return {"method": self.method, "op": self.op, "path": self.path, "status": self.status,
                "sent": self.sent, "time": self.time}


class Closed(Exception):
    """One of the two ends is gone, or a fault ends the connection."""


class Reader:
    """Buffered reading from a socket."""

    def __init__(self, sock):
        self.sock, self.buf = sock, b""

    def more(self):
        try:
            block = self.sock.recv(BLOCK)
        except OSError as e:
            raise Closed(str(e)) from None
        if not block:
            raise Closed("end of stream")
        self.buf += block

    def head(self):
        """Bytes up to and including the empty line."""
        while b"\r\n\r\n" not in self.buf:
            if len(self.buf) > HEAD_LIMIT:
                raise Closed("head too long")
            self.more()
        head, _, self.buf = self.buf.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    def line(self):
        while b"\n" not in self.buf:
            self.more()
        line, _, self.buf = self.buf.partition(b"\n")
        return line + b"\n"

    def some(self, limit):
        if not self.buf:
            self.more()
        block, self.buf = self.buf[:limit], self.buf[limit:]
        return block


def header(head, name):
    found = re.search(rb"(?im)^" + name.encode() + rb":[ \t]*([^\r\n]*?)[ \t]*\r$", head)
    return found.group(1).decode("latin-1") if found else None


def reset(sock):
    """Close with an RST: nothing that is still in flight arrives."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    except OSError:
        pass


class Relay:
    """Passes one body on, with the faults that apply to it."""

    def __init__(self, source, sink, flip=None, reset_after=None, rate=None):
        self.source, self.sink = source, sink
        self.flip, self.reset_after, self.rate = flip, reset_after, rate
        self.passed = 0

    def send(self, data):
        try:
            self.sink.sendall(data)
        except OSError as e:
            raise Closed(str(e)) from None

    def payload(self, block):
        if self.flip is not None and self.passed <= self.flip < self.passed + len(block):
            at = self.flip - self.passed
            block = block[:at] + bytes([block[at] ^ 1]) + block[at + 1:]
        if self.reset_after is not None and self.passed + len(block) >= self.reset_after:
            self.send(block[:self.reset_after - self.passed])
            raise Closed("reset after bytes")
        self.send(block)
        self.passed += len(block)
        if self.rate:
            time.sleep(len(block) / self.rate)

    def counted(self, length):
        step = max(1, int(self.rate / 10)) if self.rate else BLOCK
        while length > 0:
            block = self.source.some(min(step, length))
            length -= len(block)
            self.payload(block)

    def chunked(self):
        while True:
            line = self.source.line()
            self.send(line)
            size = int(line.split(b";")[0], 16)
            self.counted(size)
            if size == 0:
                while line not in (b"\r\n", b"\n"):
                    line = self.source.line()
                    self.send(line)
                return
            self.send(self.source.line())

    def to_end(self):
        try:
            while True:
                self.payload(self.source.some(BLOCK))
        except Closed as e:
            if str(e) != "end of stream":
                raise


class CountProxy:
    def __init__(self, target, faults=(), port=0):
        parts = urllib.parse.urlsplit(target)
        self.upstream = (parts.hostname, parts.port or 80)
        self.faults = list(faults)
        self.lock = threading.Lock()
        self.requests = []
        self.closing = False
        self.server = socket.create_server(("127.0.0.1", port), backlog=256)
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.closing = True
        self.server.close()
        self.thread.join()

    # ---- what the tests ask -----------------------------------------------------------------------
    def select(self, method=None, op=None, path=None):
        with self.lock:
            return [r for r in self.requests if (not method or r.method == method)
                    and (not op or r.op == op) and (not path or re.search(path, r.path))]

    def count(self, method=None, op=None, path=None):
        return len(self.select(method, op, path))

    def writes(self):
        """Requests that could change something in the store."""
        return [r for r in self.select() if r.method not in ("GET", "HEAD")]

    def counts(self):
        with self.lock:
            return {"methods": dict(collections.Counter(r.method for r in self.requests)),
                    "ops": dict(collections.Counter(r.op for r in self.requests)),
                    "statuses": dict(collections.Counter(r.status for r in self.requests)),
                    "bytes": sum(r.sent for r in self.requests)}

    def clear(self):
        with self.lock:
            self.requests.clear()

    def add_fault(self, fault):
        with self.lock:
            self.faults.append(fault)
        return fault

    # ---- connections ------------------------------------------------------------------------------
    def accept(self):
        while not self.closing:
            try:
                if not select.select([self.server], [], [], 0.1)[0]:
                    continue
                sock, _ = self.server.accept()
            except (OSError, ValueError):
                return
            threading.Thread(target=self.connection, args=(sock,), daemon=True).start()

    def connection(self, client):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = None
        try:
            reader = Reader(client)
            head = reader.head()
            if head.startswith(b"GET /-/counts "):
                body = json.dumps(self.counts()).encode()
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: "
                               b"close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                client.close()
                return
            server = socket.create_connection(self.upstream)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answers = Reader(server)
            while self.exchange(head, reader, client, answers, server):
                head = reader.head()
            client.close()
        except (Closed, OSError, ValueError):
            reset(client)
        finally:
            if server is not None:
                reset(server)

    def begin(self, head):
        method, target = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")[:2]
        request = Request(method, target)
        with self.lock:
            self.requests.append(request)
            return request, {f.action: f for f in self.faults if f.take(request)}

    def exchange(self, head, reader, client, answers, server):
        """One request and its answer; False when the connection ends with it."""
        request, faults = self.begin(head)
        value = {action: f.value for action, f in faults.items()}
        if "reset" in faults:
            raise Closed("reset")
        if "status" in faults:
            client.sendall(canned(faults["status"]))
            drain(reader, head)
            client.close()
            return False
        if "delay" in faults:
            time.sleep(value["delay"])
        self.forward(request, head, reader, client, server, value)
        answer = answers.head()
        while answer.startswith(b"HTTP/1.1 100"):
            answer = answers.head()
        request.status = int(answer.split(b" ")[1])
        if "drop_answer" in faults:
            raise Closed("answer dropped")
        back = Relay(answers, client, value.get("flip_answer"), value.get("reset_answer"))
        back.send(answer)
        length = header(answer, "Content-Length")
        if request.method == "HEAD" or request.status in (204, 304):
            pass
        elif "chunked" in (header(answer, "Transfer-Encoding") or ""):
            back.chunked()
        elif length is not None:
            back.counted(int(length))
        else:
            back.to_end()
            return False
        return (header(answer, "Connection") or "").lower() != "close"

    @staticmethod
    def forward(request, head, reader, client, server, value):
        there = Relay(reader, server, value.get("flip_request"), value.get("reset_request"),
                      value.get("slow"))
        if (header(head, "Expect") or "").lower() == "100-continue":
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            head = re.sub(rb"(?im)^Expect:[^\r\n]*\r\n", b"", head)
        there.send(head)
        try:
            if "chunked" in (header(head, "Transfer-Encoding") or ""):
                there.chunked()
            else:
                there.counted(int(header(head, "Content-Length") or 0))
        finally:
            request.sent = there.passed


def canned(fault):
    code = fault.code or {429: "SlowDown", 503: "SlowDown", 500: "InternalError", 403: "AccessDenied",
                          404: "NoSuchKey", 400: "RequestTimeout"}.get(fault.value, "InternalError")
    body = (f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code>'
            f"<Message>injected</Message></Error>").encode()
    return (f"HTTP/1.1 {fault.value} Injected\r\nContent-Type: application/xml\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def drain(reader, head):
    """Read the rest of a refused request, so that the client sees the answer and not an RST."""
    left = int(header(head, "Content-Length") or 0)
    while left > 0:
        left -= len(reader.some(left))
