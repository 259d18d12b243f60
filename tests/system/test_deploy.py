"""The manifests of docs/deploy: they parse, refer only to what is there, and their commands and settings are ones that blobferry takes."""
import os
import re
import shlex
import shutil
import subprocess
import unittest

import yaml

import bf

FOLDER = os.path.join(bf.ROOT, "docs/deploy")
MINE = ("BLOBFERRY_", "POSTGRES_", "AWS_", "CLOUDFLARE_", "R2_")


def documents(name):
    with open(os.path.join(FOLDER, name)) as f:
        return list(yaml.safe_load_all(f))


def known_settings():
    with open(os.path.join(bf.ROOT, "src/app/config.c")) as a, open(os.path.join(bf.ROOT, "src/app/config_env.c")) as b, \
            open(os.path.join(bf.ROOT, "src/app/credentials.c")) as c:
        return set(re.findall(r'"([A-Z][A-Z0-9_]+)"', a.read() + b.read() + c.read()))


class Deploy(bf.TestCase):
    def setUp(self):
        super().setUp()
        self.ws.make_files(6)
        self.ws.freeze()
        self.ws.run("init", expect=0)
        self.ws.plan()

    def run_here(self, words, names, watch=False):
        """The manifest's command with its own settings, but for where things lie on this machine."""
        ws = self.ws
        place = {"BLOBFERRY_DB": "sqlite:" + ws.db, "BLOBFERRY_SOURCE_ROOT": ws.sources, "BLOBFERRY_LOG_DIR": ws.logs,
                 "BLOBFERRY_BACKUP_DIR": ws.backups, "BLOBFERRY_BATCH_DIR": ws.batches}
        env = {"BLOBFERRY_TARGET": ws.store.target, "POSTGRES_PASSWORD": "not used",
               "HOME": ws.dir, **{name: place[name] for name in names if name in place}}
        for name in place:
            self.assertIn(name, names)
        options = ws.options
        ws.options = lambda: []
        ws.environment = lambda extra=None: {**os.environ, **env}
        child = ws.start(*words)
        if watch:
            bf.wait_for(lambda: ws.statuses() == {"completed": 6}, what="all completed")
            child.terminate()
        result = ws.finish(child, limit=20)
        ws.options = options
        self.assertEqual(result.code, 143 if watch else 0, str(result))
        self.assertEqual(ws.statuses(), {"completed": 6})
        ws.check()

    def test_deploy_kubernetes_job(self):
        job, = documents("kubernetes-job.yaml")
        secrets = {s["metadata"]["name"]: s["stringData"] for s in documents("kubernetes-secrets.example.yaml")}
        spec = job["spec"]
        pod = spec["template"]["spec"]
        container, = pod["containers"]
        self.assertEqual((job["apiVersion"], job["kind"], spec["completionMode"]), ("batch/v1", "Job", "Indexed"))
        self.assertEqual(pod["restartPolicy"], "Never")  # else podFailurePolicy is refused
        self.assertGreater(pod["terminationGracePeriodSeconds"], 10)
        for rule in spec["podFailurePolicy"]["rules"]:
            self.assertTrue(("onExitCodes" in rule) != ("onPodConditions" in rule), rule)
            self.assertEqual(rule.get("onExitCodes", {}).get("containerName", container["name"]), container["name"])
        with open(os.path.join(bf.ROOT, "VERSION")) as f:
            self.assertTrue(container["image"].endswith(":" + f.read().strip()))
        for variable in container["env"]:
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                self.assertIn(reference["key"], secrets[reference["name"]])
        names = [v["name"] for v in container["env"]]
        self.assertEqual(len(names), len(set(names)))
        self.assertLessEqual({n for n in names if n.startswith(MINE)}, known_settings())
        volumes = {v["name"] for v in pod["volumes"]}
        self.assertEqual({m["name"] for m in container["volumeMounts"]}, volumes)
        self.assertTrue(all(m.get("readOnly") for m in container["volumeMounts"] if m["name"] == "attachments"))
        self.run_here(container["args"], names)

    def test_deploy_systemd_unit(self):
        with open(os.path.join(FOLDER, "blobferry@.service")) as f:
            unit = f.read()
        with open(os.path.join(FOLDER, "blobferry.env.example")) as f:
            names = re.findall(r"^([A-Z0-9_]+)=", f.read(), re.M)
        self.assertLessEqual(set(names), known_settings())
        command, = re.findall(r"^ExecStart=(.*)$", unit, re.M)
        program, *words = shlex.split(command)
        self.assertEqual(program, "/usr/local/bin/blobferry")
        self.assertIn("SuccessExitStatus=143", unit)
        if shutil.which("systemd-analyze"):
            copy = self.ws.path("blobferry@.service")
            with open(copy, "w") as f:
                f.write(unit.replace(program, bf.BINARY))
            done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
            # of the machine's own units this says things too
            self.assertNotIn("blobferry", done.stdout)
            self.assertEqual(done.returncode, 0, done.stdout)
        self.run_here(words, names, watch=True)


if __name__ == "__main__":
    unittest.main()
