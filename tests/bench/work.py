"""The files that are sent: made once of random bytes and kept, with their digests, in a cache folder."""
import hashlib
import json
import os
import re

SETS = {"small": "10000x4K", "medium": "2000x256K", "large": "4x512M"}
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
PER_FOLDER = 1000


def human(size):
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


class Work:
    """`count` files of `size` bytes below `folder`; what is expected of a server afterwards."""

    def __init__(self, cache, name, shape):
        found = re.fullmatch(r"(\d+)x(\d+)([KMG]?)", shape)
        if not found:
            raise ValueError(f"work '{name}': '{shape}' is not COUNTxSIZE, such as 10000x4K")
        self.name, self.shape = name, shape
        self.count, self.size = int(found[1]), int(found[2]) * UNITS[found[3]]
        self.folder = os.path.join(cache, shape, "files")
        self.index = os.path.join(cache, shape, "sha256.json")
        self.digests = self._digests()
        self._ranges = {}

    @property
    def title(self):
        return f"{self.count:,} × {human(self.size)}"

    @property
    def bytes(self):
        return self.count * self.size

    def path(self, key):
        return os.path.join(self.folder, key)

    def _names(self):
        return [f"{n // PER_FOLDER:03d}/file-{n:06d}.bin" for n in range(self.count)]

    def _digests(self):
        """{key: SHA-256}. The index is written last: where it is, the files are whole."""
        if os.path.exists(self.index):
            with open(self.index) as f:
                known = json.load(f)
            if all(os.path.getsize(self.path(k)) == self.size for k in known) and len(known) == self.count:
                return known
        known = {}
        for key in self._names():
            os.makedirs(os.path.dirname(self.path(key)), exist_ok=True)
            digest, left = hashlib.sha256(), self.size
            with open(self.path(key), "wb") as f:
                while left:
                    data = os.urandom(min(left, 1 << 20))
                    digest.update(data)
                    f.write(data)
                    left -= len(data)
            known[key] = digest.hexdigest()
        with open(self.index + ".new", "w") as f:
            json.dump(known, f)
        os.rename(self.index + ".new", self.index)
        return known

    def range_digest(self, key, start, size):
        """SHA-256 of a part of a file, remembered."""
        at = (key, start, size)
        if at not in self._ranges:
            digest = hashlib.sha256()
            with open(self.path(key), "rb") as f:
                f.seek(start)
                while size:
                    data = f.read(min(size, 1 << 20))
                    if not data:
                        break
                    digest.update(data)
                    size -= len(data)
            self._ranges[at] = digest.hexdigest()
        return self._ranges[at]

    def drop_cache(self):
        """What of the files is in memory is forgotten, as far as we may: the first read comes from the disk."""
        os.sync()
        for key in self.digests:
            fd = os.open(self.path(key), os.O_RDONLY)
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)

    def warm_cache(self):
        for key in self.digests:
            with open(self.path(key), "rb") as f:
                while f.read(1 << 20):
                    pass
