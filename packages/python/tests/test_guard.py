"""The middleware, in front of a small application. Run with: python -m unittest discover tests"""

import asyncio
import base64
import hashlib
import hmac
import io
import json
import unittest
from wsgiref.util import setup_testing_defaults

from firn_core.guard import Asgi, Wsgi

CARD = "4111 1111 1111 1111"
MASKED = "****-****-****-1111"
SECRET = "a secret that is long"
MIB = 1 << 20
DOCUMENT = json.dumps(
    {
        "routes": [
            {"path": "/hooks", "takes": "webhook", "signed": "servicenow", "secrets": [SECRET], "to": "/inside"},
            {"path": "/chat/*", "takes": "any", "sends": "masked", "answers": "masked"},
        ]
    }
)


class Behind:
    """An application, as WSGI and as ASGI, that answers what it is told to."""

    def __init__(self):
        self.status, self.headers, self.pieces = 200, [("content-type", "text/plain")], [b"ok"]
        self.reached = []

    def wsgi(self, environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        self.reached.append((environ["PATH_INFO"], body))
        start_response(f"{self.status} X", self.headers)
        return iter(self.pieces)

    async def asgi(self, scope, receive, send):
        message = await receive()
        self.reached.append((scope["path"], message["body"]))
        headers = [(n.encode(), v.encode()) for n, v in self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        for piece in self.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def by_wsgi(guard, path, body, headers, method):
    environ = {"REQUEST_METHOD": method, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    path, _, environ["QUERY_STRING"] = path.partition("?")
    environ["PATH_INFO"] = path
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else "HTTP_" + key] = value
    setup_testing_defaults(environ)
    told = {}

    def start(status, headers, exc_info=None):
        told.update(status=int(status.split()[0]), headers=dict(headers))

    body = b"".join(guard(environ, start))
    return told["status"], told["headers"], body


def by_asgi(guard, path, body, headers, method):
    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    path, _, query = path.partition("?")
    raw = [(n.lower().encode(), v.encode()) for n, v in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": raw}
    asyncio.run(guard(scope, receive, send))
    whole = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], {n.decode(): v.decode() for n, v in sent[0]["headers"]}, whole


class Guards(unittest.TestCase):
    def each(self):
        for name, call in (("wsgi", by_wsgi), ("asgi", by_asgi)):
            behind, logged = Behind(), []
            kind = Wsgi if name == "wsgi" else Asgi
            guard = kind(getattr(behind, name), DOCUMENT, log=logged.append)

            def ask(path, body=b"", headers=None, method="POST", call=call, guard=guard):
                return call(guard, path, body, headers or {"content-type": "application/json"}, method)

            with self.subTest(name):
                yield behind, logged, ask

    def test_refuses_a_document_with_faults(self):
        with self.assertRaisesRegex(ValueError, "routes: there is no route"):
            Wsgi(None, "{}")
        document = {"routes": [{"path": "/h", "takes": "webhook", "secrets": ["env:SECRET"]}]}
        with self.assertRaisesRegex(ValueError, "put the secret itself here"):
            Asgi(None, json.dumps(document))

    def test_lets_in_what_is_signed(self):
        for behind, logged, ask in self.each():
            body = b'{"a":1}'
            self.assertEqual(ask("/hooks", body)[0], 401)
            self.assertEqual(behind.reached, [])
            self.assertTrue(logged[0].startswith("/hooks: "), logged)
            mac = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
            self.assertEqual(ask("/hooks", body, {"X-ServiceNow-Signature": mac})[0], 200)
            self.assertEqual(behind.reached, [("/inside", body)])

    def test_masks_there_and_back(self):
        for behind, _, ask in self.each():
            behind.headers = [("content-type", "text/plain"), ("etag", "x"), ("content-length", "24")]
            behind.pieces = [b"card 4111 1111", b" 1111 1111"]
            status, headers, body = ask("/chat/1", json.dumps({"text": CARD}).encode())
            self.assertEqual((status, body.decode()), (200, f"card {MASKED}"))
            self.assertNotIn("etag", headers)
            self.assertEqual(headers["content-length"], str(len(body)))
            self.assertEqual(behind.reached[0][1].decode(), json.dumps({"text": MASKED}))

    def test_what_cannot_be_masked_is_not_passed_on(self):
        def endless():
            while True:
                yield f"data: {CARD}\n\n".encode()

        for behind, logged, ask in self.each():
            answers = [
                ([("content-type", "image/png")], [CARD.encode()]),
                ([("content-encoding", "gzip")], [CARD.encode()]),
                ([("content-type", "text/plain")], [b"a" * (MIB + 1)]),
            ]
            if ask.__defaults__[3] is by_wsgi:
                answers.append(([("content-type", "text/event-stream")], endless()))
            for behind.headers, behind.pieces in answers:
                status, headers, body = ask("/chat/1", b"{}")
                self.assertEqual(status, 502)
                self.assertTrue(json.loads(body)["type"].endswith("unreadable-answer"))
                self.assertNotIn("content-encoding", headers)
            self.assertEqual(len(logged), len(answers))

    def test_what_no_route_names_is_not_touched(self):
        for behind, _, ask in self.each():
            body = b"\xff" * (MIB + 7)
            behind.pieces = [body]
            self.assertEqual(ask("/other?a=1", body)[2], body)
            self.assertEqual(behind.reached, [("/other", body)])

    def test_what_is_too_long_or_no_text_goes_nowhere(self):
        for behind, _, ask in self.each():
            self.assertEqual(ask("/chat/1", b"x" * (MIB + 1))[0], 413)
            self.assertEqual(ask("/chat/1", b"x", {"content-encoding": "gzip"})[0], 415)
            self.assertEqual(ask("/chat/1", b"\xff\xfe")[0], 415)
            self.assertEqual(behind.reached, [])

    def test_answers_without_a_body_stay_as_they_are(self):
        for behind, _, ask in self.each():
            behind.status, behind.headers, behind.pieces = 304, [("etag", "x")], []
            self.assertEqual(ask("/chat/1", method="GET")[:2], (304, {"etag": "x"}))

    def test_an_answer_that_has_no_body_is_given_none(self):
        for behind, _, ask in self.each():
            behind.pieces = [CARD.encode()]
            for behind.status, method in ((204, "POST"), (304, "GET"), (200, "HEAD")):
                self.assertEqual(ask("/chat/1", method=method)[2], b"")

    def test_small_pieces_take_no_longer_than_large_ones(self):
        for behind, _, ask in self.each():
            behind.pieces = [b"a"] * 50_000
            self.assertEqual(ask("/chat/1", b"{}")[2], b"a" * 50_000)

    def test_a_mounted_application_is_guarded(self):
        document = json.dumps({"routes": [{"path": "/hooks", "takes": "webhook", "secrets": [SECRET]}]})
        behind, sent = Behind(), []

        async def receive():
            return {"type": "http.request", "body": b"{}", "more_body": False}

        async def send(message):
            sent.append(message.get("status"))

        scope = {"type": "http", "method": "POST", "query_string": b"", "headers": []}
        for path, mount in (("/api/hooks", "/api"), ("/hooks", "/api"), ("/hooks", "")):
            asyncio.run(Asgi(behind.asgi, document, log=str)({**scope, "path": path, "root_path": mount}, receive, send))
            environ = {"REQUEST_METHOD": "POST", "SCRIPT_NAME": mount, "PATH_INFO": "/hooks"}
            setup_testing_defaults(environ)
            Wsgi(behind.wsgi, document, log=str)(environ, lambda status, *_: sent.append(int(status.split()[0])))
        self.assertEqual([status for status in sent if status], [401] * 6)
        self.assertEqual(behind.reached, [])

    def test_a_file_that_a_server_would_send_is_not_sent_past_the_mask(self):
        seen = []

        async def app(scope, receive, send):
            seen.append(scope["extensions"])

        async def receive():
            return {"type": "http.request", "body": b"{}", "more_body": False}

        scope = {"type": "http", "method": "POST", "path": "/chat/1", "query_string": b"", "headers": []}
        scope["extensions"] = {"http.response.pathsend": {}, "other": {}}
        asyncio.run(Asgi(app, DOCUMENT)(scope, receive, None))
        self.assertEqual(seen, [{"other": {}}])

    def test_an_error_in_the_middle_takes_the_place_of_what_there_was(self):
        def app(environ, start_response):
            write = start_response("200 OK", [("content-type", "text/plain")])
            write(b"part")
            start_response("500 Error", [("content-type", "text/plain")], (None, None, None))
            return [b"error"]

        status, _, body = by_wsgi(Wsgi(app, DOCUMENT), "/chat/1", b"{}", {"content-type": "application/json"}, "POST")
        self.assertEqual((status, body), (500, b"error"))

    def test_a_body_that_breaks_off_goes_nowhere(self):
        behind = Behind()
        for more in (
            {"CONTENT_LENGTH": "100"},
            {"CONTENT_LENGTH": "-1"},
            {"CONTENT_LENGTH": "x"},
            {"HTTP_TRANSFER_ENCODING": "chunked"},
        ):
            environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/chat/1", "wsgi.input": io.BytesIO(b"{"), **more}
            setup_testing_defaults(environ)
            told = []
            Wsgi(behind.wsgi, DOCUMENT)(environ, lambda status, *_: told.append(status))
            self.assertTrue(told[0].startswith("400"), told)
        self.assertEqual(behind.reached, [])


if __name__ == "__main__":
    unittest.main()
