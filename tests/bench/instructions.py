#!/usr/bin/python3
"""Instructions that migrate executes per small file, counted by callgrind: what a clock cannot tell on a busy machine.

    tests/bench/instructions.py [--build build] [--record]

A run of 300 files less one of 100, so that what a run costs by itself falls out. The record, in instructions.json, is
compared by tests/system/test_instructions.py. OpenSSL is kept from using AVX, which not every machine has.
"""
import argparse
import json
import os
import re
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import clients  # noqa: E402
import servers  # noqa: E402
import work as works  # noqa: E402

FEW, MANY = 100, 300
MARGIN = 1.10
RECORD = os.path.join(servers.HERE, "instructions.json")
# Bit 60: AVX; second word, bit 5: AVX2.
SAME_EVERYWHERE = {"OPENSSL_ia32cap": "~0x1000000000000000:~0x20"}


def of_run(build, cache, count):
    """Instructions of one migrate of `count` files of 4 KiB."""
    work = works.Work(cache, "instructions", f"{count}x4K")
    out = os.path.join(cache, f"callgrind.{count}")
    client = clients.Blobferry(build, cache)
    plain, environment = client.command, client.environment
    client.command = lambda *a: ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}", *plain(*a)]
    client.environment = lambda server: {**environment(server), **SAME_EVERYWHERE}
    server = servers.Sink(build, cache)
    try:
        client.run(server, work)
        server.check(work, client.prefix)
    finally:
        server.close()
    with open(out) as f:
        total = re.search(r"^(?:summary|totals): (\d+)$", f.read(), re.M)
    if not total:
        raise servers.Wrong("callgrind has counted nothing")
    return int(total[1])


def per_file(build, cache):
    return (of_run(build, cache, MANY) - of_run(build, cache, FEW)) // (MANY - FEW)


def recorded():
    with open(RECORD) as f:
        return json.load(f)["instructions_per_4k_file"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(servers.ROOT, "build"))
    parser.add_argument("--record", action="store_true", help="write the count into instructions.json")
    o = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="instructions.") as cache:
        count = per_file(os.path.realpath(o.build), cache)
    print(f"{count} instructions per 4 KiB file")
    if o.record:
        with open(RECORD, "w") as f:
            json.dump({"instructions_per_4k_file": count}, f)
            f.write("\n")


if __name__ == "__main__":
    main()
