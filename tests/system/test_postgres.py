"""PostgreSQL as it is met in the field: a server that is restarted under the work, a standby, a pooler, TLS, doors that stay shut.
Each kind of server is a private one."""
import os
import pwd
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

import bf
import bf_tracker

HARNESS = os.path.join(bf.ROOT, "tests/harness/pg")


def harness(*args):
    done = subprocess.run([HARNESS, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=90)
    if done.returncode != 0:
        raise AssertionError(f"pg {' '.join(args)}: {done.stderr}")
    return dict(shlex.split(line)[1].split("=", 1) for line in done.stdout.splitlines())


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Postgres(bf.TestCase):
    """A test on a server of its class's own."""
    settings = ()

    @classmethod
    def setUpClass(cls):
        cls.server = harness("start", "--owner", str(os.getpid()), *cls.settings)
        cls.dir = cls.server["BLOBFERRY_TEST_POSTGRES_DIR"]
        cls.addClassCleanup(harness, "stop", cls.dir)

    def setUp(self):
        super().setUp()
        self.ws.tracker = bf_tracker.Postgres(self.ws, self.server["BLOBFERRY_TEST_POSTGRES"])

    def planned(self, count):
        names = self.ws.make_files(count)
        self.ws.freeze()
        self.ws.run("init", expect=0)
        self.ws.plan()
        return names


class Restarts(Postgres):
    def completed(self):
        return self.ws.statuses().get("completed", 0)

    def restarted(self, *how):
        """A migration goes on while its server is restarted twice."""
        ws = self.ws
        self.planned(300)
        child = ws.start("migrate", "--batch-id", "b1", "--concurrency", "4", "--bwlimit", "100k")
        for part in (30, 150):
            bf.wait_for(lambda: self.completed() >= part or child.poll() is not None, 60, "progress")
            self.assertIsNone(child.poll(), "it ended before the server was restarted")
            harness("restart", *how, self.dir)
        result = ws.finish(child, 120)
        self.assertEqual(result.code, 0, str(result))
        self.assertEqual(ws.statuses(), {"completed": 300})
        ws.check()
        counts = ws.sql("SELECT min(attempts), max(attempts) FROM blobferry_records")[0]
        self.assertEqual(tuple(counts), (1, 1))  # nothing was claimed twice

    def test_postgres_restart_under_a_migration(self):
        self.restarted("--mode", "fast")

    def test_postgres_crash_under_a_migration(self):
        self.restarted("--mode", "immediate")

    def test_postgres_that_stays_down_is_told(self):
        """The claims of a run that loses its server are taken up by the next one."""
        ws = self.ws
        self.planned(200)
        child = ws.start("migrate", "--batch-id", "b1", "--concurrency", "4", "--bwlimit", "100k")
        bf.wait_for(lambda: self.completed() >= 30 or child.poll() is not None, 60, "progress")
        self.assertIsNone(child.poll())
        harness("crash", self.dir)
        result = ws.finish(child, 120)
        harness("restart", self.dir)
        self.assertEqual(result.code, 3, str(result))
        self.assertRegex(result.err, "see that the server runs|run again")
        ws.check(after_kill=True)
        ws.run("migrate", "--batch-id", "b1", expect=0)
        self.assertEqual(ws.statuses(), {"completed": 200})
        ws.check()


class ManyFiles(Postgres):
    """More than a page: a second connection claims, and the first one writes results."""
    store = "s3"
    CLAIMS = """CREATE TABLE claims (pid integer, n bigint);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO claims SELECT pg_backend_pid(), count(*) FROM new WHERE lease_owner IS NOT NULL HAVING count(*) > 1;
        IF FOUND THEN PERFORM pg_sleep(0.1); END IF; RETURN NULL; END $$;
        CREATE TRIGGER note AFTER UPDATE ON blobferry_records REFERENCING NEW TABLE AS new
        FOR EACH STATEMENT EXECUTE FUNCTION note()"""

    def commits(self):
        """Transactions of ended connections to this database; the server counts them when a connection ends."""
        return self.ws.sql("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")[0][0]

    def test_postgres_pages_are_claimed_beside_the_results(self):
        ws = self.ws
        self.planned(1000)
        for statement in self.CLAIMS.split(";\n        CREATE"):
            ws.change(statement if statement.startswith("CREATE") else "CREATE" + statement)
        ws.run("migrate", "--batch-id", "b1", expect=0)
        claims = ws.sql("SELECT pid, n FROM claims")
        self.assertEqual(sum(n for _, n in claims), 1000)
        self.assertEqual(len({pid for pid, _ in claims}), 2)
        self.assertEqual(ws.statuses(), {"completed": 1000})
        self.assertEqual(ws.sql("SELECT max(attempts) FROM blobferry_records")[0][0], 1)
        ws.check()
        ws.run("audit", "verify", expect=0)

    def test_postgres_signal_gives_back_what_was_claimed_ahead(self):
        ws = self.ws
        self.planned(1000)
        child = ws.start("migrate", "--batch-id", "b1", "--bwlimit", "500k")
        bf.wait_for(lambda: ws.statuses().get("completed", 0) >= 250 or child.poll() is not None, 60, "progress")
        child.terminate()
        self.assertNotEqual(ws.finish(child).code, 0)
        self.assertLessEqual(set(ws.statuses()), {"completed", "pending"})
        self.assertEqual(ws.sql("SELECT count(*) FROM blobferry_records WHERE lease_owner IS NOT NULL")[0][0], 0)
        ws.check()
        ws.run("migrate", "--batch-id", "b1", expect=0)
        self.assertEqual(ws.statuses(), {"completed": 1000})
        ws.check()

    def test_postgres_restart_under_both_connections(self):
        ws = self.ws
        self.planned(1000)
        child = ws.start("migrate", "--batch-id", "b1", "--bwlimit", "500k")
        for part in (250, 500):
            bf.wait_for(lambda: ws.statuses().get("completed", 0) >= part or child.poll() is not None, 60, "progress")
            self.assertIsNone(child.poll(), "it ended before the server was restarted")
            harness("restart", "--mode", "fast", self.dir)
        result = ws.finish(child, 120)
        self.assertEqual(result.code, 0, str(result))
        self.assertEqual(ws.statuses(), {"completed": 1000})
        self.assertEqual(tuple(ws.sql("SELECT min(attempts), max(attempts) FROM blobferry_records")[0]), (1, 1))
        ws.check()
        ws.run("audit", "verify", expect=0)

    def test_postgres_plan_does_not_ask_for_every_file(self):
        ws = self.ws
        ws.make_files(900)
        ws.run("init", expect=0)
        before = self.commits()
        ws.plan()
        time.sleep(1)  # nothing tells that the statistics have come
        self.assertLess(self.commits() - before, 100)
        self.assertIn("planned already", str(ws.plan("b2", expect=None)))


class Standby(Postgres):
    def test_postgres_standby_is_read_and_never_written(self):
        ws = self.ws
        self.planned(5)
        ws.run("migrate", "--batch-id", "b1", expect=0)
        folder = tempfile.mkdtemp(prefix="bf-standby.")
        os.rmdir(folder)
        standby = harness("standby", self.dir, folder)
        self.addCleanup(harness, "stop", folder)
        ws.tracker.door = re.search(r"@([^/]*)/", standby["BLOBFERRY_TEST_POSTGRES"]).group(1)
        self.assertIn("b1", ws.run("status", expect=0).out)
        self.assertEqual(ws.run("--json", "status", "--batch-id", "b1", expect=0).json()["exit_code"], 0)
        ws.run("rollback", "--batch-id", "b1", expect=0)  # a dry run only reads
        for args in (("rollback", "--batch-id", "b1", "--confirm", "--force"), ("migrate", "--all"), ("verify", "--batch-id", "b1")):
            result = ws.run(*args)
            if args[0] != "migrate":  # nothing is left to migrate: that is no fault
                self.assertEqual(result.code, 3, str(result))
                self.assertIn("read-only", result.err)
        self.assertEqual(ws.statuses(), {"completed": 5})


class Pooled(Postgres):
    """pgbouncer, two connections to the server, each lent for one transaction."""

    def setUp(self):
        program = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")
        if program is None:
            self.skipTest("pgbouncer is not installed (see: make deps)")
        super().setUp()
        tracker, port = self.ws.tracker, free_port()
        folder = tempfile.mkdtemp(prefix="bf-pool.")
        self.addCleanup(shutil.rmtree, folder)
        host, upstream = tracker.host.split(":")
        role = tracker.user.split("//")[1]
        with open(os.path.join(folder, "users"), "w") as f:
            f.write(f'"{role}" "{tracker.password}"\n')
        with open(os.path.join(folder, "ini"), "w") as f:
            f.write(f"[databases]\n* = host={host} port={upstream}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
                    f"listen_port = {port}\nauth_type = scram-sha-256\nauth_file = {folder}/users\n"
                    "pool_mode = transaction\ndefault_pool_size = 2\nmax_client_conn = 100\n"
                    "unix_socket_dir =\nlogfile =\npidfile =\n")
        how = {}
        if os.geteuid() == 0:  # it refuses to be root
            who = pwd.getpwnam("nobody")
            how = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
            for path in (folder, folder + "/users", folder + "/ini"):
                os.chown(path, who.pw_uid, who.pw_gid)
        self.pooler = subprocess.Popen([program, os.path.join(folder, "ini")], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **how)
        self.addCleanup(self.end)
        tracker.door = f"127.0.0.1:{port}"
        bf.wait_for(lambda: self.listens(port), 20, "pgbouncer")

    def end(self):
        self.pooler.kill()
        self.pooler.wait()

    @staticmethod
    def listens(port):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    def test_postgres_whole_job_through_a_pooler(self):
        ws = self.ws
        self.planned(200)
        workers = [ws.start("migrate", "--batch-id", "b1", "--concurrency", "2") for _ in range(4)]
        for worker in workers:
            result = ws.finish(worker, 120)
            self.assertEqual(result.code, 0, str(result))
        self.assertEqual(ws.statuses(), {"completed": 200})
        ws.check()
        self.assertEqual(ws.sql("SELECT max(attempts) FROM blobferry_records")[0][0], 1)
        ws.run("verify", "--batch-id", "b1", expect=0)
        ws.run("rollback", "--batch-id", "b1", "--confirm", "--force", expect=0)
        self.assertEqual(ws.statuses(), {"rolled_back": 200})
        ws.check()
        ws.run("audit", "verify", expect=0)


class Doors(Postgres):
    settings = ("--tls",)

    def test_postgres_variables_of_the_guide_name_the_database(self):
        ws, t = self.ws, self.ws.tracker
        host, port = t.host.split(":")
        env = {"POSTGRES_HOST": host, "POSTGRES_PORT": port, "POSTGRES_DB": t.name,
               "POSTGRES_USER": t.user.split("//")[1], "POSTGRES_PASSWORD": t.password, "USE_D1_DATABASE": "false"}
        ws.run("init", bare=True, env=env, expect=0)
        ws.run("status", bare=True, env=env, expect=0)
        self.assertEqual(ws.sql("SELECT count(*) FROM blobferry_schema")[0][0], 1)

    def test_postgres_variables_of_libpq_fill_what_the_url_leaves(self):
        ws, t = self.ws, self.ws.tracker
        host, port = t.host.split(":")
        env = {"PGHOST": host, "PGPORT": port, "PGDATABASE": t.name, "PGUSER": t.user.split("//")[1],
               "PGPASSWORD": t.password, "BLOBFERRY_DB": "postgres:///"}
        ws.run("init", bare=True, env=env, expect=0)
        self.assertEqual(ws.sql("SELECT count(*) FROM blobferry_schema")[0][0], 1)

    def test_postgres_certificate_is_checked_when_asked(self):
        ws, t = self.ws, self.ws.tracker
        ca = self.server["BLOBFERRY_TEST_POSTGRES_CA"]
        t.parameters = f"?sslmode=verify-full&sslrootcert={ca}"
        ws.run("init", expect=0)
        t.parameters = "?sslmode=verify-full&sslrootcert=/nonexistent.crt"
        result = ws.run("status", expect=3)
        self.assertIn("sslrootcert", result.err)

    def test_postgres_shut_doors_end_with_exit_3_and_a_hint(self):
        ws, t = self.ws, self.ws.tracker
        ws.run("init", expect=0)
        wrong = {"POSTGRES_PASSWORD": "GEHEIM-1234"}
        for change, env, hint in (({}, wrong, "password"), ({}, {"POSTGRES_PASSWORD": None}, "POSTGRES_PASSWORD"),
                                  ({"name": "no_such_db"}, {}, "createdb"),
                                  ({"door": f"127.0.0.1:{free_port()}"}, {}, "server runs")):
            with self.subTest(hint=hint):
                kept = {k: getattr(t, k) for k in change}
                vars(t).update(change)
                begun = time.monotonic()
                result = ws.run("status", env=env, expect=3)
                vars(t).update(kept)
                self.assertIn(hint, result.err)
                self.assertNotIn("GEHEIM", result.text)
                self.assertLess(time.monotonic() - begun, 15 * bf.SLOW)

    def test_postgres_password_is_nowhere(self):
        """Not in the output, the logs, the audit trail, nor in what others see of the process (P8)."""
        ws, t = self.ws, self.ws.tracker
        ws.migrated(3)
        ws.run("rollback", "--batch-id", "b1", "--confirm", "--force", expect=0)
        for where, _, names in os.walk(ws.dir):
            for name in names:
                with open(os.path.join(where, name), "rb") as f:
                    self.assertNotIn(t.password.encode(), f.read(), name)
        result = ws.run("--db", f"{t.user}:{t.password}@{t.host}/{t.name}", "status", bare=True, expect=2)
        self.assertNotIn(t.password, result.text)


if __name__ == "__main__":
    unittest.main()
