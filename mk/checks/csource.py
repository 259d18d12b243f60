"""C sources as the checks see them: without comments and literals, line numbers kept."""
import glob
import os
import re

LAYERS = ("base", "model", "codec", "net", "object", "track", "engine", "app", "web", "cli")
TOKEN = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.S)


def sources(*kinds):
    """All .c and/or .h files of the product, from the root of the tree."""
    found = []
    for kind in kinds:
        found += glob.glob(f"src/**/*.{kind}", recursive=True)
        found += glob.glob(f"include/**/*.{kind}", recursive=True)
    return sorted(found)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def bare(text):
    """Comments become blanks, literals become empty literals; every newline stays where it was."""
    def blank(match):
        token = match.group(0)
        if token[0] in "\"'":
            return token[0] + " " * (len(token) - 2) + token[0]
        return re.sub(r"[^\n]", " ", token)
    return TOKEN.sub(blank, text)


def layer(path):
    """'codec' for src/codec/x.c and include/blobferry/codec/x.h; None for anything else."""
    parts = path.split("/")
    name = parts[1] if parts[0] == "src" else parts[2] if parts[:2] == ["include", "blobferry"] else None
    return name if name in LAYERS else None


def functions(text):
    """Yields (name, first line, last line) of each function defined in bare text."""
    text = re.sub(r"(?m)^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)
    depth, begin, statement = 0, 0, 0
    name = None
    for at, char in enumerate(text):
        if char == "{":
            if depth == 0:
                head = text[statement:at]
                found = re.search(r"(\w+)\s*\([^;={}]*\)\s*(?:__attribute__\s*\(\(.*\)\)\s*)?$", head, re.S)
                name = found.group(1) if found and "=" not in head.split("(")[0] else None
                begin = statement + len(head) - len(head.lstrip())
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                if name:
                    yield name, text.count("\n", 0, begin) + 1, text.count("\n", 0, at) + 1
                statement = at + 1
        elif char == ";" and depth == 0:
            statement = at + 1


def enter_root():
    os.chdir(os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", ".."))
