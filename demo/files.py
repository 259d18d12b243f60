"""Make the demo's uploads, always the same ones: files.py DIR SQL

Writes at least 200 files of several users below DIR, from 0 bytes to 20 MB, with the names that people
really give to files, and an SQL script with the application's rows for those of DIR/uploads. DIR/archive
holds files that the application does not know.
"""
import hashlib
import os
import random
import sys
import uuid

USERS = ("anna", "björn", "chidi", "user_1", "user%1")
AWKWARD = (
    "Résumé – Zoë.pdf", "re\u0301sume\u0301 (decomposed).pdf", "写真 2024.jpg", "عربى.txt", "emoji 🚀👩‍🚀.png",
    "two  spaces.txt", " leading space.txt", "trailing space ", "percent%20literal.txt", "100%.txt",
    "plus+sign.txt", "it's.txt", 'double "quotes".txt', "semi;colon.csv", "comma, and more.csv", "hash#tag.txt",
    "what?.txt", "a&b=c.txt", "back\\slash.txt", "-rf", ".hidden", "many.dots.tar.gz", "UPPER.TXT", "upper.txt",
    "[brackets] {braces}.txt", "*star*.txt", "<script>alert(1)</script>.html", "pipe|pipe.txt", "$HOME.txt",
    "`tick`.sh", "=cmd()|'A1'.csv", "CON.txt", "~tilde~", "at@sign.eml", "colon:name.txt", "no_extension",
    "x" * 180 + ".bin", "Straße nach Ærø.doc", "дом.txt", "ไทย.txt", "'; DROP TABLE files; --.txt", "{user_id}.txt",
)
KINDS = (("IMG_%04d.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF", 180_000), ("scan-%04d.pdf", b"%%PDF-1.7\n", 90_000),
         ("note %04d.txt", b"", 2_000), ("sheet_%04d.xlsx", b"PK\3\4", 30_000), ("voice-%04d.m4a", b"\0\0\0\x20ftyp", 300_000))
BIG = {"empty.log": 0, "one.byte": 1, "clip.mp4": 20_000_000, "backup.zip": 17_000_001, "disk.img": 16 << 20,
       "movie part.mov": 5 << 20, "raw.tiff": (5 << 20) + 1, "empty again.txt": 0}


def content(rng, head, size):
    if not head:  # text
        words = ("the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "naïve", "façade")
        text = " ".join(rng.choice(words) for _ in range(size // 4 + 1)).encode()
        return text[:size]
    return (head + rng.randbytes(max(0, size - len(head))))[:size]


def plan_of(rng):
    """(path below DIR/uploads, user, content) of each upload."""
    for user in USERS:
        for n in range(34):
            name, head, size = KINDS[n % len(KINDS)]
            month = f"2024/{n % 12 + 1:02d}"
            yield f"{user}/{month}/{name % n}", user, content(rng, head, rng.randrange(1, 2 * size))
    for n, name in enumerate(AWKWARD):
        user = USERS[n % len(USERS)]
        yield f"{user}/odd names/{name}", user, content(rng, b"", rng.randrange(1, 5000))
    for n, (name, size) in enumerate(BIG.items()):
        user = USERS[n % len(USERS)]
        yield f"{user}/big/{name}", user, content(rng, b"\0", size)


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "xb") as f:
        f.write(data)


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def main():
    folder, script = sys.argv[1:]
    rng = random.Random(20261121)
    count = size = 0
    with open(script, "w", encoding="utf-8") as sql:
        sql.write("BEGIN;\n")
        for path, user, data in plan_of(rng):
            write(os.path.join(folder, "uploads", path), data)
            identity = str(uuid.UUID(bytes=rng.randbytes(16), version=4))
            sql.write(f"INSERT INTO files (id, filename, user_id) VALUES ({quoted(identity)}, "
                      f"{quoted(os.path.basename(path))}, {quoted(user)});\n")
            # Half of the attachments carry a checksum, as an application's do.
            md5 = quoted(hashlib.md5(data).hexdigest()) if count % 2 else "NULL"
            sql.write(f"INSERT INTO attachments VALUES ({quoted(identity)}, {quoted('uploads/' + path)}, {md5});\n")
            count, size = count + 1, size + len(data)
        sql.write("COMMIT;\n")
    for n in range(20):
        data = content(rng, b"", rng.randrange(0, 20_000))
        write(os.path.join(folder, "archive", f"{1990 + n}", f"letter no {n}.txt"), data)
        count, size = count + 1, size + len(data)
    print(f"{count} files of {len(USERS)} users and an archive, {size:,} bytes")


if __name__ == "__main__":
    main()
