"""A gateway as middleware: :class:`Wsgi` for Flask, Django and other WSGI applications, :class:`Asgi` for FastAPI,
Starlette and other ASGI ones. What it decides, the core decides (:mod:`firn_core.gateway`); here is only what HTTP in
Python needs around it.

Bodies of routes are read whole, and so are answers that are to be masked. What no route names is not touched.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import time
import urllib.parse
from typing import Any, Awaitable, Callable, Iterable, List, Optional, Tuple

from . import gateway

_LIMIT = 1 << 20
#: Stands for a body that is longer than that: nothing but its length is looked at.
_LONGER = " " * (_LIMIT + 1)
_BODILESS = (204, 304)

Headers = List[Tuple[str, str]]
Log = Callable[[str], None]


def _warn(why: str) -> None:
    logging.getLogger("firn").warning(why)


def _sound(document: str) -> str:
    faults = [fault for fault in gateway.check(document) if fault.level == "error"]
    if faults:
        told = (f"{fault.at or 'the document'}: {fault.text}; {fault.remedy}" for fault in faults)
        raise ValueError("\n".join(told))
    return document


def _text(raw: bytes) -> Optional[str]:
    if len(raw) > _LIMIT:
        return _LONGER
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _changed(headers: Headers, onward: gateway.Onward) -> Headers:
    """Headers, their names in lower case, as a message goes on with them."""
    gone = {*onward.without, *(name for name, _ in onward.headers)}
    return [(name, value) for name, value in headers if name not in gone] + list(onward.headers)


def _broken() -> gateway.Reply:
    problem = {
        "detail": "it broke off, or its chunks are none",
        "status": 400,
        "title": "The body cannot be read",
        "type": "https://firn.dev/problems/broken-body",
    }
    return gateway.Reply(
        status=400,
        headers=[("content-type", "application/problem+json")],
        body=json.dumps(problem),
        why=None,
    )


class _Guard:
    def __init__(
        self, app: Any, document: str, *, log: Log = _warn, now: Callable[[], float] = time.time
    ) -> None:
        """``document`` is JSON; secrets stand in it: ``env:NAME`` is nothing here. ``log`` is told why something was
        turned away, never with a value of a record.

        Raises :class:`ValueError` with every fault of the document, a line each.
        """
        self._app = app
        self._document = _sound(document)
        self._log = log
        self._now = now

    def _look(self, method: str, paths: Iterable[str], headers: Headers) -> Tuple[str, Any]:
        """What is done with a request, and by which of its paths: an application may be mounted, and routes by what
        is left of the path, or by all of it."""
        ways = [(path, gateway.look(self._document, method, path, headers)) for path in paths]
        return next((way for way in ways if not isinstance(way[1], gateway.WayThrough)), ways[0])

    def _receive(self, method: str, path: str, headers: Headers, raw: bytes) -> Any:
        request = gateway.Request(method=method, path=path, headers=headers, body=_text(raw))
        return gateway.receive(self._document, request, int(self._now() * 1000))

    def _answer(self, method: str, path: str, headers: Headers, body: Optional[str]) -> Any:
        response = gateway.Response(headers=headers, body=body)
        return gateway.answer(self._document, method, path, response)

    def _told(self, reply: gateway.Reply) -> gateway.Reply:
        if reply.why:
            self._log(reply.why)
        return reply


class Wsgi(_Guard):
    """``app.wsgi_app = Wsgi(app.wsgi_app, document)``"""

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        mount, path = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
        query = "?" + environ["QUERY_STRING"] if environ.get("QUERY_STRING") else ""
        # As the application will read it, whatever it was spelled like.
        paths = [_quoted(one.encode("latin-1")) + query for one in (mount + path, path)]
        headers = _headers(environ)
        path, way = self._look(method, paths, headers)
        if isinstance(way, gateway.WayThrough):
            return self._app(environ, start_response)
        if isinstance(way, gateway.WayAnswered):
            return self._reply(way.value, start_response)
        raw = _body(environ)
        if raw is None:
            return self._reply(_broken(), start_response)
        verdict = self._receive(method, path, headers, raw)
        if isinstance(verdict, gateway.VerdictAnswered):
            return self._reply(verdict.value, start_response)
        _goes_on(environ, verdict.value, headers, raw)
        if isinstance(way, gateway.WayRead):
            return self._app(environ, start_response)
        return self._held(method, path, environ, start_response)

    def _reply(self, reply: gateway.Reply, start_response: Callable, exc_info: Any = None) -> Iterable[bytes]:
        self._told(reply)
        raw = reply.body.encode()
        headers = [*reply.headers, ("content-length", str(len(raw)))]
        start_response(f"{reply.status} Answered by the gateway", headers, exc_info)
        return [raw]

    def _held(
        self, method: str, path: str, environ: dict, start_response: Callable
    ) -> Iterable[bytes]:
        begun: dict = {}
        pieces: List[bytes] = []

        def start(status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], None]:
            # What there was of another answer has not left, and does not.
            pieces.clear()
            begun["status"] = status
            begun["headers"] = [(name.lower(), value) for name, value in headers]
            return pieces.append

        answer = self._app(environ, start)
        size = 0
        try:
            for piece in answer:
                if "status" not in begun:
                    raise RuntimeError("the application answered before start_response")
                # What cannot be masked is not waited for: it may never end.
                if piece and not pieces:
                    verdict = self._answer(method, path, begun["headers"], "-")
                    if isinstance(verdict, gateway.VerdictAnswered):
                        return self._reply(verdict.value, start_response)
                pieces.append(piece)
                size += len(piece)
                if size > _LIMIT:
                    break
        finally:
            close = getattr(answer, "close", None)
            if close:
                close()
        if "status" not in begun:
            raise RuntimeError("the application ended before start_response")
        raw, headers, status = b"".join(pieces), begun["headers"], begun["status"]
        if method == "HEAD" or int(status.split()[0]) in _BODILESS:
            raw = b""
        if raw:
            verdict = self._answer(method, path, headers, _text(raw))
            if isinstance(verdict, gateway.VerdictAnswered):
                return self._reply(verdict.value, start_response)
            headers = _changed(headers, verdict.value)
            if verdict.value.body is not None:
                raw = verdict.value.body.encode()
                headers.append(("content-length", str(len(raw))))
        start_response(status, headers)
        return [raw]


def _headers(environ: dict) -> Headers:
    headers = [
        (name[5:].lower().replace("_", "-"), value)
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers.append((name.lower().replace("_", "-"), environ[name]))
    return headers


def _body(environ: dict) -> Optional[bytes]:
    """The body, or a little more than is read; nothing if it broke off."""
    stream = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH")
    if not length:
        if environ.get("wsgi.input_terminated"):
            return stream.read(_LIMIT + 1)
        # Where a body ends that comes in chunks, only some servers tell.
        return None if environ.get("HTTP_TRANSFER_ENCODING") else b""
    if not (length.isascii() and length.isdigit()):
        return None
    wanted = min(int(length), _LIMIT + 1)
    try:
        raw = stream.read(wanted)
    except OSError:
        return None
    return raw if len(raw) == wanted else None


def _goes_on(environ: dict, onward: gateway.Onward, headers: Headers, raw: bytes) -> None:
    body = raw if onward.body is None else onward.body.encode()
    for name, _ in headers:
        environ.pop(_key(name), None)
    for name, value in _changed(headers, onward):
        environ[_key(name)] = value
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    if onward.path is not None:
        path, _, query = onward.path.partition("?")
        path, mount = urllib.parse.unquote_to_bytes(path).decode("latin-1"), environ.get("SCRIPT_NAME", "")
        if path.startswith(mount + "/"):
            path = path[len(mount) :]
        else:
            environ["SCRIPT_NAME"] = ""
        environ["PATH_INFO"] = path
        environ["QUERY_STRING"] = query


def _key(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key


def _quoted(path: bytes) -> str:
    return urllib.parse.quote(path, safe="/:@!$&'()*+,;=~-._")


class Asgi(_Guard):
    """``app.add_middleware(Asgi, document=document)``"""

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        method = scope.get("method", "GET")
        whole, mount = scope["path"], scope.get("root_path", "")
        query = "?" + scope["query_string"].decode("latin-1") if scope.get("query_string") else ""
        # As the application will read it, whatever it was spelled like: some leave out where it is mounted.
        read = {whole, whole[len(mount) :] if mount and whole.startswith(mount) else mount + whole}
        paths = [_quoted(one.encode("utf-8", "surrogateescape")) + query for one in sorted(read)]
        headers = [(n.decode("latin-1").lower(), v.decode("latin-1")) for n, v in scope["headers"]]
        path, way = self._look(method, paths, headers)
        if isinstance(way, gateway.WayThrough):
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            # A route is read whole, and this never is.
            await send({"type": "websocket.close", "code": 1008})
            return
        if isinstance(way, gateway.WayAnswered):
            await self._reply(way.value, send)
            return
        raw = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            more = message.get("more_body", False)
            if len(raw) <= _LIMIT:
                raw += message.get("body", b"")
        verdict = self._receive(method, path, headers, bytes(raw))
        if isinstance(verdict, gateway.VerdictAnswered):
            await self._reply(verdict.value, send)
            return
        onward = verdict.value
        body = bytes(raw) if onward.body is None else onward.body.encode()
        framing = ("content-length", "transfer-encoding")
        changed = [(name, value) for name, value in _changed(headers, onward) if name not in framing]
        if body:
            changed.append(("content-length", str(len(body))))
        scope = {**scope, "headers": _bytes(changed)}
        if onward.path is not None:
            to, _, query = onward.path.partition("?")
            scope.update(path=urllib.parse.unquote(to), raw_path=to.encode(), query_string=query.encode())
        waiting: List[dict] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> dict:
            return waiting.pop() if waiting else await receive()

        if isinstance(way, gateway.WayRead):
            await self._app(scope, again, send)
        else:
            await self._held(method, path, (scope, again, send))

    async def _reply(self, reply: gateway.Reply, send: Callable[[dict], Awaitable[None]]) -> None:
        self._told(reply)
        raw = reply.body.encode()
        headers = [*reply.headers, ("content-length", str(len(raw)))]
        await _sent(send, reply.status, _bytes(headers), raw)

    async def _held(self, method: str, path: str, asked: Tuple[dict, Callable, Callable]) -> None:
        scope, receive, send = asked
        # A file that the server is to send by itself cannot be masked.
        extensions = {
            name: value
            for name, value in (scope.get("extensions") or {}).items()
            if name not in ("http.response.pathsend", "http.response.zerocopysend", "http.response.trailers")
        }
        scope = {**scope, "extensions": extensions}
        begun: dict = {}
        pieces: List[bytes] = []
        size = 0
        done = False

        async def keep(message: dict) -> None:
            nonlocal done, size
            if done:
                # Whoever goes on for ever is to let others have their turn.
                await asyncio.sleep(0)
                return
            if message["type"] == "http.response.start":
                begun.update(message)
                return
            if message["type"] != "http.response.body":
                return
            status = begun["status"]
            headers = [
                (n.decode("latin-1").lower(), v.decode("latin-1")) for n, v in begun.get("headers", [])
            ]
            piece = message.get("body", b"")
            # What cannot be masked is not waited for: it may never end.
            if piece and not pieces:
                verdict = self._answer(method, path, headers, "-")
                if isinstance(verdict, gateway.VerdictAnswered):
                    done = True
                    await self._reply(verdict.value, send)
                    return
            pieces.append(piece)
            size += len(piece)
            if message.get("more_body", False) and size <= _LIMIT:
                return
            done = True
            raw = b"".join(pieces)
            if method == "HEAD" or status in _BODILESS:
                raw = b""
            if raw:
                verdict = self._answer(method, path, headers, _text(raw))
                if isinstance(verdict, gateway.VerdictAnswered):
                    await self._reply(verdict.value, send)
                    return
                headers = _changed(headers, verdict.value)
                if verdict.value.body is not None:
                    raw = verdict.value.body.encode()
                    headers.append(("content-length", str(len(raw))))
            await _sent(send, status, _bytes(headers), raw)

        await self._app(scope, receive, keep)


def _bytes(headers: Headers) -> List[Tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def _sent(send: Callable, status: int, headers: List[Tuple[bytes, bytes]], raw: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": raw})
