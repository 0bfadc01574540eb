"""A server on this machine that misbehaves as told, and archives that no publisher would make."""

from __future__ import annotations

import io
import re
import tarfile
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Gives the answers of `script` one after another, the last one over and over; `asked` holds the headers of the requests."""

    def __init__(self) -> None:
        self.script: list[Answer] = []
        self.asked: list[dict[str, str]] = []
        self.paths: dict[str, Answer] = {}
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(dict(self.headers))
                self.close_connection = True
                name = self.path.rsplit("/", 1)[-1]
                answer = server.paths.get(name) or (server.script.pop(0) if len(server.script) > 1 else server.script[0])
                answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Server()
    yield running
    running.close()


def send(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, object], body: bytes = b"") -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, str(value))
    handler.end_headers()
    handler.wfile.write(body)


def status(code: int) -> Answer:
    return lambda handler: send(handler, code, {"Content-Length": 0})


def good(content: bytes, tag: str | None = '"1"', cut: int | None = None, heeds_if_range: bool = True) -> Answer:
    """A server as RFC 9110 wants it; cut: the connection breaks after so many bytes of an answer."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        headers: dict[str, object] = {} if tag is None else {"ETag": tag}
        first = 0
        if asked and (handler.headers.get("If-Range") == tag or not heeds_if_range):
            first = int(asked[1])
            if first >= len(content):
                return send(handler, 416, headers | {"Content-Range": f"bytes */{len(content)}", "Content-Length": 0})
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        body = content[first:]
        send(handler, 206 if first else 200, headers | {"Content-Length": len(body)}, body[:cut])

    return answer


def archive(*members: tarfile.TarInfo | tuple[str, bytes]) -> bytes:
    """A .tgz of these files (name and content) and members as they are."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return content.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """A link, device, ... of an archive."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member
