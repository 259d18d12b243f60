"""The static checks catch what they are there for: each is run on a small tree with one fault planted."""
import os
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.environ.get("BLOBFERRY_TEST_ROOT") or os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))


class Checks(unittest.TestCase):
    def setUp(self):
        self.tree = tempfile.mkdtemp(prefix="checks.")
        self.addCleanup(shutil.rmtree, self.tree)
        shutil.copytree(os.path.join(ROOT, "mk/checks"), os.path.join(self.tree, "mk/checks"))
        self.put("include/blobferry/base/err.h", "#ifndef E\n#define E\nint err_f(void);\n#endif\n")
        self.put("src/base/err.c", '#include "blobferry/base/err.h"\n\nint err_f(void)\n{\n    return 0;\n}\n')

    def put(self, path, text):
        path = os.path.join(self.tree, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)

    def check(self, name, good, word=""):
        done = subprocess.run([os.path.join(self.tree, "mk/checks", name)], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode == 0, good, done.stdout)
        self.assertIn(word, done.stdout)

    def test_checks_accept_a_good_tree(self):
        for name in ("includes", "lengths", "banned", "headers"):
            self.check(name, True)

    def test_checks_fail_when_there_is_nothing_to_check(self):
        shutil.rmtree(os.path.join(self.tree, "src"))
        shutil.rmtree(os.path.join(self.tree, "include"))
        os.makedirs(os.path.join(self.tree, "src"))
        os.makedirs(os.path.join(self.tree, "include"))
        for name in ("includes", "lengths", "banned", "headers"):
            self.check(name, False)

    def test_checks_includes_upward(self):
        self.put("include/blobferry/net/http.h", "#define H\n")
        self.put("src/base/bad.c", '#include "blobferry/net/http.h"\n')
        self.check("includes", False, "up to net")

    def test_checks_includes_object_and_track(self):
        self.put("include/blobferry/track/t.h", "#define T\n")
        self.put("src/object/bad.c", '#include "blobferry/track/t.h"\n')
        self.check("includes", False, "across to track")

    def test_checks_includes_private_header_of_another_folder(self):
        self.put("src/base/own.h", "#define O\n")
        self.put("src/net/bad.c", '#include "base/own.h"\n')
        self.check("includes", False, "private")

    def test_checks_includes_private_header_in_public_one(self):
        self.put("src/base/own.h", "#define O\n")
        self.put("include/blobferry/base/pub.h", '#include "base/own.h"\n')
        self.check("includes", False, "private")

    def test_checks_includes_circular(self):
        self.put("include/blobferry/base/a.h", '#include "blobferry/base/b.h"\n')
        self.put("include/blobferry/base/b.h", '#include "blobferry/base/a.h"\n')
        self.check("includes", False, "circular")

    def test_checks_includes_missing(self):
        self.put("src/base/bad.c", '#include "blobferry/base/nothing.h"\n')
        self.check("includes", False, "not there")

    def test_checks_headers_not_alone(self):
        self.put("include/blobferry/base/bad.h", "#ifndef B\n#define B\nsize_t bad_size(void);\n#endif\n")
        self.check("headers", False, "does not compile alone")

    def test_checks_headers_without_guard(self):
        self.put("include/blobferry/base/bad.h", "struct bad {\n    int x;\n};\n")
        self.check("headers", False, "does not compile alone")

    def test_checks_lengths_of_functions_and_files(self):
        for lines, good in ((60, True), (61, False)):
            body = '    x += "}"[0]; /* } */\n' * (lines - 5)
            self.put("src/base/f.c", f"int fits(int x)\n{{\n{body}    x++;\n    return x;\n}}\n")
            self.check("lengths", good, "" if good else "61 lines")
        self.put("src/base/f.c", "int x;\n" * 400)
        self.check("lengths", True)
        self.put("src/base/f.c", "int x;\n" * 401)
        self.check("lengths", False, "401 lines")

    def test_checks_lengths_listed_with_a_reason(self):
        self.put("src/base/long.c", "int long_f(int x)\n{\n" + "    x++;\n" * 80 + "    return x;\n}\n")
        self.check("lengths", False, "long_f")
        self.put("docs/decisions/0003-long-functions.md", "- `src/base/long.c` `long_f`: one table\n")
        self.check("lengths", True)
        self.put("src/base/long.c", "int long_f(void);\n")
        self.check("lengths", False, "not too long")

    def test_checks_banned(self):
        for call in ("strcpy(a, b)", "x = atoi(s)", "sprintf (b, s)", "printf(s)", "sqlite3_open(a, b)", "exit(1)",
                     "curl_easy_init()", "p = alloca(3)"):
            self.put("src/base/bad.c", f"void bad(void)\n{{\n    {call};\n}}\n")
            self.check("banned", False, "src/base/bad.c:3")
        for fine in ("snprintf(a, b)", "/* strcpy(a, b) */", 'x("strcpy(a)")', "my_atoi(x)", "o->printf(x)", "fprintf(f)"):
            self.put("src/base/bad.c", f"void bad(void)\n{{\n    {fine};\n}}\n")
            self.check("banned", True)


if __name__ == "__main__":
    unittest.main()
