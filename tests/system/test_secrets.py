"""No secret in any output, log, audit line, backup, database, process title (P8)."""
import os
import unittest

import bf

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "SENTINEL1secret0access0key", "AWS_SESSION_TOKEN": "SENTINEL2session/token+A==",
    "CLOUDFLARE_API_TOKEN": "SENTINEL3cloudflare_token", "POSTGRES_PASSWORD": "SENTINEL4 postgres&password",
}


class Secrets(bf.TestCase):
    store = "s3"

    def everything(self, results):
        """All bytes that the runs have left anywhere below the workspace, sources aside."""
        for n, result in enumerate(results):
            yield f"output {n} ({' '.join(result.args)})", result.text.encode()
        for where, _, names in os.walk(self.ws.dir):
            for name in names:
                path = os.path.join(where, name)
                if not path.startswith(self.ws.sources) and os.path.isfile(path):
                    with open(path, "rb") as f:
                        yield path, f.read()

    def grep(self, results, secrets):
        seen = 0
        for where, data in self.everything(results):
            seen += 1
            for secret in secrets:
                self.assertNotIn(secret.encode(), data, f"secret in {where}")
            self.assertNotIn(b"AWS4-HMAC-SHA256 Credential", data, f"Authorization header in {where}")
            self.assertNotIn(b"X-Amz-Signature", data, f"signature in {where}")
        self.assertGreater(seen, len(results) + 3, "looked at too little")

    def test_secrets_of_a_whole_job(self):
        ws = self.ws
        ws.make_files(5)
        verbose = ("--verbose", "--log-level", "debug")
        results = [
            ws.run(*verbose, "init", expect=0),
            ws.run(*verbose, "plan", "--from-dir", ws.sources, "--batch-id", "b1", "--user-id", "u", expect=0),
            ws.run(*verbose, "migrate", "--batch-id", "b1", expect=0),
            ws.run(*verbose, "verify", "--batch-id", "b1", "--deep", expect=0),
            ws.run(*verbose, "--json", "status", "--batch-id", "b1", expect=0),
            ws.run(*verbose, "rollback", "--batch-id", "b1", "--confirm", "--force", expect=0),
            ws.run(*verbose, "audit", "verify", expect=0)]
        self.grep(results, [os.environ["AWS_SECRET_ACCESS_KEY"]])

    def test_secrets_that_are_refused(self):
        """The store says no, and says why, at length: nothing of it may carry a secret."""
        ws = self.ws
        ws.make_files(3)
        env = {**SECRETS, "AWS_ACCESS_KEY_ID": "AKIDVISIBLE"}
        results = [ws.run("init", env=env, expect=0)]
        results.append(ws.run("plan", "--from-dir", ws.sources, "--batch-id", "b1", "--user-id", "u", env=env, expect=0))
        for args in (("migrate", "--batch-id", "b1"), ("verify", "--batch-id", "b1"), ("status",),
                     ("--json", "migrate", "--batch-id", "b1")):
            results.append(ws.run("--verbose", "--log-level", "debug", *args, env=env))
        self.grep(results, SECRETS.values())

    def test_secrets_are_not_in_process_titles(self):
        ws = self.ws
        ws.make_files(10)
        ws.run("init", expect=0)
        ws.plan()
        proxy = self.proxy(bf.Fault("delay", 0.5, method="PUT", times=0))
        child = ws.start("migrate", "--batch-id", "b1")
        bf.wait_for(lambda: proxy.count("PUT") > 0, what="a PUT")
        with open(f"/proc/{child.pid}/cmdline", "rb") as f:
            title = f.read()
        with open(f"/proc/{child.pid}/limits") as f:
            core = [line for line in f if line.startswith("Max core file size")][0].split()[4:6]
        proxy.faults.clear()
        self.assertEqual(ws.finish(child).code, 0)
        self.assertIn(b"migrate", title)
        self.assertNotIn(os.environ["AWS_SECRET_ACCESS_KEY"].encode(), title)
        self.assertEqual(core, ["0", "0"])

    def test_secrets_are_not_taken_from_the_command_line(self):
        ws = self.ws
        for option in ("--secret-access-key", "--aws-secret-access-key", "--password", "--token", "--secret"):
            result = ws.run("status", option, "SENTINEL5", expect=2)
            self.assertNotIn("SENTINEL5", result.text)
        result = ws.run("--db", "postgres://u:SENTINEL6@127.0.0.1/x", "status", bare=True, expect=2)
        self.assertNotIn("SENTINEL6", result.text)


if __name__ == "__main__":
    unittest.main()
