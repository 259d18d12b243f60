"""Look independently of blobferry, with boto3, sqlite3 and hashlib alone: check.py before|after|undone DIR DB

before   remember every source: bytes, inode, time of last change
after    every row's object holds exactly its source's bytes, and files.r2_key points at it
undone   no object is left in the bucket, no pointer in files
Sources must at all times be what they were before.
"""
import hashlib
import json
import os
import sqlite3
import sys

import boto3
from botocore.config import Config


def snapshot(folder):
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            about = os.lstat(path)
            with open(path, "rb") as f:
                digest = hashlib.sha256(f.read()).hexdigest()
            found[os.path.relpath(path, folder)] = [digest, about.st_size, about.st_ino, about.st_mtime_ns,
                                                    about.st_ctime_ns]
    return found


def bucket():
    s3 = boto3.client("s3", endpoint_url=os.environ["BLOBFERRY_TEST_S3_ENDPOINT"],
                      config=Config(s3={"addressing_style": "path"}))
    return s3, os.environ["BLOBFERRY_TEST_S3_BUCKET"]


def keys(s3, name):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=name)
    return {o["Key"] for page in pages for o in page.get("Contents", ())}


def require(what, message):
    if not what:
        sys.exit(f"check: FAILED: {message}")


def check_after(sources, db):
    s3, name = bucket()
    rows = db.execute("SELECT m.source_path, m.target_r2_key, m.status, m.migrated_checksum, f.r2_key, f.checksum"
                      " FROM file_migrations m JOIN files f ON f.id = m.file_id").fetchall()
    require(len(rows) == len(sources), f"{len(rows)} rows for {len(sources)} files")
    for path, key, status, checksum, pointer, file_checksum in rows:
        digest, size = sources[path][:2]
        body = s3.get_object(Bucket=name, Key=key)["Body"].read()
        require(status in ("completed", "verified"), f"'{path}' is {status}")
        require(len(body) == size and hashlib.sha256(body).hexdigest() == digest, f"object '{key}' differs")
        require(checksum == digest and file_checksum == digest, f"checksum recorded for '{path}' is wrong")
        require(pointer == key, f"pointer of '{path}' is {pointer!r}")
    require(keys(s3, name) == {row[1] for row in rows}, "the bucket holds something else as well")
    print(f"check: {len(rows)} objects read back by boto3, each has its source's SHA-256")


def check_undone(db):
    s3, name = bucket()
    left = keys(s3, name)
    require(not left, f"{len(left)} objects are left")
    require(not s3.list_multipart_uploads(Bucket=name).get("Uploads"), "a multipart upload is left")
    pointers = db.execute("SELECT count(*) FROM files WHERE r2_key IS NOT NULL").fetchone()[0]
    require(pointers == 0, f"{pointers} pointers are left")
    other = db.execute("SELECT count(*) FROM file_migrations WHERE status <> 'rolled_back'").fetchone()[0]
    require(other == 0, f"{other} rows are not rolled back")
    print("check: no object, no multipart upload and no pointer is left")


def main():
    what, folder, database = sys.argv[1:]
    memory = database + ".sources.json"
    if what == "before":
        with open(memory, "w") as f:
            json.dump(snapshot(folder), f)
        return
    with open(memory) as f:
        sources = json.load(f)
    require(snapshot(folder) == sources, "a source file was changed")
    db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    if what == "after":
        check_after(sources, db)
    else:
        check_undone(db)
    print(f"check: {len(sources)} sources are byte-identical and untouched")


if __name__ == "__main__":
    main()
