#!/usr/bin/python3
"""Check a blobferry audit trail without blobferry: verify_audit.py logs/audit.jsonl [SEQ HASH]

Exits 0 when the chain holds (and line SEQ has HASH, as the database or a note remembers it), 1 naming the first bad
line, 2 when the file cannot be read. One pass, Python's standard library alone. The format: docs/audit.md."""
import hashlib
import json
import re
import sys

TAIL = re.compile(rb',"hash":"([0-9a-f]{64})"\}\n\Z')
HEAD = re.compile(rb'\{"v":1,"time":"[^"\\]{24}","log":"([^"\\]+)","run":"[^"\\]+","seq":(\d+),"action":"([^"\\]+)"')


def judge(line, log, seq, previous):
    """What is wrong with a line that ought to be number seq, or None; its hash and action."""
    tail, head = TAIL.search(line), HEAD.match(line)
    if not tail or not head or len(line) > (1 << 20) + 1:
        return "this is no audit line", None, None
    if int(head[2]) != seq:
        return "a line is missing, doubled or out of order here", None, None
    if log not in (None, head[1]) or (seq == 1) != (head[3] == b"log_begin"):
        return "the line belongs to another audit file", None, None
    if hashlib.sha256(previous + b"\n" + line[:tail.start()] + b"}").hexdigest().encode() != tail[1]:
        return "the hash does not match: this line was changed", None, None
    return None, tail[1], head[3]


def verify(lines, want=None):
    """(number of the first bad line or 0, what is wrong or the last hash)."""
    log, seq, previous, number, torn, found = None, 0, b"0" * 64, 0, None, want is None
    for number, line in enumerate(lines, 1):
        problem, digest, action = judge(line, log, seq + 1, previous)
        if problem:  # perhaps a torn tail: then a later line records exactly these bytes, without the last LF
            torn = torn or [number, problem, 0, hashlib.sha256(), b""]
            torn[3].update(torn[4] + line[:-1])
            torn[2], torn[4] = torn[2] + len(line), line[-1:]
            continue
        record = json.loads(line) if action == b"torn_tail" else {}
        if torn and (record.get("bytes"), record.get("sha256")) != (torn[2] - 1, torn[3].hexdigest()):
            return torn[0], torn[1]
        if record and not torn:
            return number, "the torn line that this line records is missing"
        log, seq, previous, torn = log or HEAD.match(line)[1], seq + 1, digest, None
        found = found or (seq, previous) == want
    if torn or not number:
        return (torn[0], torn[1]) if torn else (1, "the file is empty")
    return (0, previous.decode()) if found else (number + 1, "the remembered line is not here: cut off, or rewritten")


if __name__ == "__main__":
    try:
        with open(sys.argv[1], "rb") as file:
            bad, said = verify(file, (int(sys.argv[2]), sys.argv[3].encode()) if len(sys.argv) > 3 else None)
    except (OSError, IndexError, ValueError) as fault:
        sys.exit(print(fault, __doc__, sep="\n", file=sys.stderr) or 2)
    print(f"line {bad}: {said}" if bad else f"whole, last hash {said}")
    sys.exit(1 if bad else 0)
