"""A D1 of tests/harness/d1 as another client sees it: by the query endpoint, never through blobferry."""
import http.client
import json
import os
import urllib.parse


class Refused(Exception):
    """The endpoint's own error."""


class D1:
    def __init__(self):
        self.url = os.environ["BLOBFERRY_TEST_D1_URL"]
        self.file = os.environ["BLOBFERRY_TEST_D1_FILE"]
        self.token = os.environ["BLOBFERRY_TEST_D1_TOKEN"]
        self.account = os.environ["BLOBFERRY_TEST_D1_ACCOUNT"]
        self.database = os.environ["BLOBFERRY_TEST_D1_DATABASE"]

    def ask(self, path, body=None):
        """(status, answer) of one request."""
        where = urllib.parse.urlsplit(self.url)
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
        try:
            connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body),
                               {"Authorization": "Bearer " + self.token, "Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def path(self):
        return f"/client/v4/accounts/{self.account}/d1/database/{self.database}/query"

    def batch(self, *statements):
        """The rows of each statement, as dicts; all in one transaction."""
        status, answer = self.ask(self.path(), {"batch": [{"sql": s} if isinstance(s, str) else {"sql": s[0],
                                                           "params": list(s[1:])} for s in statements]})
        if status != 200 or not answer["success"]:
            raise Refused(f"{status}: {answer['errors']}")
        return [r["results"] for r in answer["result"]]

    def rows(self, statement, *params):
        return self.batch((statement, *params))[0]

    def fault(self, **fault):
        """The next request (times: so many) goes wrong: status, retry_after, after."""
        self.ask("/faults", [fault])

    def no_faults(self):
        self.ask("/faults", [])

    def requests(self):
        return self.ask("/requests")[1]

    def wipe(self):
        """Back to an empty database: the next test knows of none before it."""
        self.no_faults()
        names = self.rows("SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE"
                          " 'sqlite_%' AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\'")
        if names:
            self.batch(*[f'DROP {n["type"].upper()} "{n["name"]}"' for n in names])
