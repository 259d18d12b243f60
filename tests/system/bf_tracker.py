"""Tracking databases, looked at without blobferry: sqlite3 on a file, psycopg2 on a database of its own. Rows answer by
position and by name; times are texts 'YYYY-MM-DD HH:MM:SS' in UTC; '?' stands for a value, on both."""
import contextlib
import os
import re
import shutil
import sqlite3
import uuid

import d1_client

POSTGRES = os.environ.get("BLOBFERRY_TEST_POSTGRES")


class Sqlite:
    kind = "sqlite"

    def __init__(self, ws):
        self.ws = ws

    def url(self):
        return "sqlite:" + self.ws.db

    def environment(self):
        return {}

    @contextlib.contextmanager
    def database(self, write=False):
        db = sqlite3.connect(f"file:{self.ws.db}?mode={'rw' if write else 'ro'}", uri=True, timeout=20)
        db.row_factory = sqlite3.Row
        try:
            with db:
                yield db
        finally:
            db.close()

    def tables(self, db):
        return [r[0] for r in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]

    def save(self):
        """Keeps the database as it is; restore() goes back to it."""
        with self.database() as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(self.ws.db, self.ws.db + ".saved")

    def restore(self):
        for suffix in ("-wal", "-shm"):
            if os.path.exists(self.ws.db + suffix):
                os.unlink(self.ws.db + suffix)
        shutil.copy(self.ws.db + ".saved", self.ws.db)

    def close(self):
        pass


class Cursor:
    """psycopg2's connection with sqlite3's execute()."""

    def __init__(self, connection):
        self.connection = connection

    def execute(self, statement, values=()):
        cursor = self.connection.cursor()
        cursor.execute(statement.replace("%", "%%").replace("?", "%s"), tuple(values))
        return cursor


class Postgres:
    """A database of its own on the test server."""
    kind = "postgres"

    def __init__(self, ws, server=None):
        import psycopg2
        import psycopg2.extensions
        import psycopg2.extras
        self.ws, self.psycopg2 = ws, psycopg2
        self.rows = psycopg2.extras.DictCursor
        found = re.fullmatch(r"(postgres://[^:]+):([^@]*)@(.*)/[^/]*", server or POSTGRES)
        self.user, self.password, self.host = found.groups()
        self.name = "bf_" + uuid.uuid4().hex[:20]
        self.server(f'CREATE DATABASE "{self.name}" TEMPLATE blobferry_template')
        self.saved = None
        self.door = self.host  # where the program goes in: a pooler perhaps
        self.parameters = ""  # of the URL, as in "?sslmode=require"
        self.times = psycopg2.extensions.new_type((1114, 1184), "TIMES", self.text_of_time)

    @staticmethod
    def text_of_time(value, _cursor):
        return value if value is None else re.sub(r"(\.\d+)?(\+00)?$", "", value)

    def url(self):
        return f"{self.user}@{self.door}/{self.name}{self.parameters}"

    def environment(self):
        return {"POSTGRES_PASSWORD": self.password}

    def connect(self, name=None):
        return self.psycopg2.connect(f"{self.user}:{self.password}@{self.host}/{name or self.name}",
                                     cursor_factory=self.rows, options="-c timezone=UTC -c datestyle=ISO",
                                     application_name="test")

    def server(self, statement):
        connection = self.connect("postgres")
        connection.autocommit = True
        try:
            connection.cursor().execute(statement)
        finally:
            connection.close()

    @contextlib.contextmanager
    def database(self, write=False):
        connection = self.connect()
        connection.set_session(readonly=not write)
        self.psycopg2.extensions.register_type(self.times, connection)
        try:
            with connection:
                yield Cursor(connection)
        finally:
            connection.close()

    def tables(self, db):
        return [r[0] for r in db.execute("SELECT tablename FROM pg_tables WHERE schemaname NOT IN"
                                         " ('pg_catalog', 'information_schema') ORDER BY tablename")]

    def save(self):
        self.saved = self.name + "_saved"
        self.server(f'CREATE DATABASE "{self.saved}" TEMPLATE "{self.name}"')

    def restore(self):
        self.server(f'DROP DATABASE "{self.name}" WITH (FORCE)')
        self.server(f'CREATE DATABASE "{self.name}" TEMPLATE "{self.saved}"')

    def close(self):
        for name in (self.name, self.saved):
            if name:
                self.server(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


class D1(Sqlite):
    """The D1 of tests/harness/d1: blobferry goes by Cloudflare's API, we look at workerd's file. There is one for all tests:
    only those in test_d1.py use it."""
    kind = "d1"
    FLEETING = ("blobferry_work", "blobferry_planned")  # notes of requests, gone with the next one

    def __init__(self, ws):
        super().__init__(ws)
        self.d1 = d1_client.D1()
        self.d1.wipe()
        ws.db = self.d1.file

    def url(self):
        return f"d1://{self.d1.account}/{self.d1.database}"

    def environment(self):
        return {"CLOUDFLARE_API_TOKEN": self.d1.token, "BLOBFERRY_CLOUDFLARE_API": self.d1.url}

    def tables(self, db):
        return [t for t in super().tables(db) if not t.startswith("_cf_") and t not in self.FLEETING]

    def close(self):
        self.d1.wipe()


def make(kind, ws):
    return {"sqlite": Sqlite, "postgres": Postgres, "d1": D1}[kind](ws)
