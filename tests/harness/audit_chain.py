"""An independent reader of logs/audit.jsonl, written from DESIGN section 6 and not from blobferry's code.

Line i ends in ,"hash":"H"} where H = SHA-256 hex over: the previous line's H (64 zeros before the first
line), a line feed, and the line's bytes without that member and without its line feed.
"""
import hashlib
import json
import re

END = re.compile(rb',"hash":"([0-9a-f]{64})"\}$')


class BrokenChain(Exception):
    def __init__(self, line, problem):
        super().__init__(f"line {line}: {problem}")
        self.line = line


def unique(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("duplicate member")
    return dict(pairs)


def read(path):
    """All lines as objects; BrokenChain at the first bad one. Torn tails that are on record are passed over."""
    with open(path, "rb") as f:
        data = f.read()
    if data and not data.endswith(b"\n"):
        raise BrokenChain(data.count(b"\n") + 1, "torn tail that is not on record")
    entries, previous, torn = [], "0" * 64, None
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        found = END.search(line)
        if found is None:
            if torn is not None:
                raise BrokenChain(number, "no hash")
            torn = line
            continue
        bare = line[:found.start()] + b"}"
        digest = hashlib.sha256(previous.encode() + b"\n" + bare).hexdigest()
        if digest != found.group(1).decode():
            raise BrokenChain(number, "hash does not match")
        entry = json.loads(line.decode(), object_pairs_hook=unique)
        if torn is not None:
            if entry.get("action") != "torn_tail" or entry.get("sha256") != hashlib.sha256(torn).hexdigest():
                raise BrokenChain(number - 1, "torn line that is not on record")
            torn = None
        if entry.get("seq") != len(entries) + 1:
            raise BrokenChain(number, f"seq {entry.get('seq')} in place of {len(entries) + 1}")
        if entries and entry.get("log") != entries[0].get("log"):
            raise BrokenChain(number, "line of another log")
        entries.append(entry)
        previous = digest
    if torn is not None:
        raise BrokenChain(data.count(b"\n"), "torn line that is not on record")
    return entries
