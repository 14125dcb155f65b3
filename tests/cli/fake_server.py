"""A `FakeStore` behind HTTP, its nodes included."""

import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from tests.cli.fake_store import FakeStore
from twisted_store.core.striping import UNIT_BYTES, UNSIZED_UNIT_BYTES

_CHUNK = re.compile(r"/node\d/chunks/([0-9a-f]+)/(\d)")
_JOB = re.compile(r"/jobs/(repair|rebalance)")
_NODE = re.compile(r"/nodes/([0-9a-f]{16})(?:/(drain|safe-to-stop))?")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@contextmanager
def served(store: FakeStore) -> Iterator[FakeStore]:
    """Serve the store at its ``url`` on a port that is free."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.store = store
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    store: FakeStore
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print only what is not a client that hangs up."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are written apart; the second would wait for an acknowledgement of the first.
    disable_nagle_algorithm = True

    @property
    def store(self) -> FakeStore:
        return cast(_Server, self.server).store

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""

    def do_PUT(self) -> None:
        """Store a file."""
        body, unit_bytes = self._body()
        name = self._name()
        with self.store.lock:
            new = name not in self.store.files
            if not self.store.ready:
                return self._error(503, "too_few_nodes")
            if not new and self.store.heeds_conditions and "If-None-Match" in self.headers:
                return self._error(412, "precondition_failed")
            self.store.store(name, body, unit_bytes, self.headers.get("Content-Type", ""))
            return self._json(201 if new else 200, self.store.view(name))

    def do_POST(self) -> None:
        """Change a job, or drain a node."""
        asked = json.loads(self._body()[0])
        job, node = _JOB.fullmatch(self.path), _NODE.fullmatch(self.path)
        if job is not None:
            self._json(200, self.store.jobs.change(job[1], asked))
        elif node is not None and node[2] == "drain":
            self._json(200, self.store.drain(node[1], **asked))
        else:
            self._error(404, "not_found")

    def do_DELETE(self) -> None:
        """Delete a file, or forget a node."""
        path, _, query = self.path.partition("?")
        node = _NODE.fullmatch(path)
        if node is not None and node[1] in self.store.needed and query != "gone=true":
            return self._error(409, "node_needed")
        if node is not None:
            self.store.forgotten.add(node[1])
            return self._answer(204, b"")
        if self._name() not in self.store.files:
            return self._error(404, "not_found")
        if self.store.heeds_deletes:
            del self.store.files[self._name()]
        return self._answer(204, b"")

    def do_HEAD(self) -> None:
        """Answer like GET, without the body."""
        self.do_GET()

    def do_GET(self) -> None:
        """Answer all that asks."""
        url = urlsplit(self.path)
        chunk, node = _CHUNK.fullmatch(url.path), _NODE.fullmatch(url.path)
        if url.path == "/files":
            asked = {key: values[0] for key, values in parse_qs(url.query).items()}
            words = [asked.get(key, "") for key in ("prefix", "delimiter", "after")]
            self._json(200, self.store.page(*words))
        elif url.path == "/cluster":
            self._json(200, self.store.cluster())
        elif url.path == "/health/ready":
            self._json(200 if self.store.ready else 503, self.store.readiness())
        elif node is not None:
            answer = self.store.safe_to_stop(node[1])
            self._json(200 if answer["safe"] else 412, answer)
        elif chunk is not None and not self._knows_secret():
            self._error(401, "unauthorized")
        elif chunk is not None:
            chunk_bytes = self.store.chunk_bytes(chunk[1], int(chunk[2]))
            self._answer(200, b"", {"Content-Length": str(chunk_bytes)})
        elif url.path == "/explain":
            tried = parse_qs(url.query)
            self._json(200, self.store.dry_run(int(tried["size"][0]), tried["scheme"][0]))
        elif self._name() not in self.store.files:
            self._error(404, "not_found")
        elif url.path.startswith("/explain/"):
            self._json(200, self.store.explanation(self._name()))
        else:
            self._file(self._name())

    def _name(self) -> str:
        return unquote(urlsplit(self.path).path.split("/", 2)[-1])

    def _knows_secret(self) -> bool:
        wanted = self.store.secret and f"Bearer {self.store.secret}"
        return self.headers.get("Authorization") == wanted

    def _body(self) -> tuple[bytes, int]:
        """The body, and the stripe unit that a store would choose for it."""
        length = self.headers.get("Content-Length")
        if length is not None:
            return self.rfile.read(int(length)), UNIT_BYTES
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces), UNSIZED_UNIT_BYTES

    def _file(self, name: str) -> None:
        file = self.store.files[name]
        content = file.content
        headers = {
            "ETag": f'"{file.etag}"',
            "Content-Type": file.content_type,
            "Last-Modified": "Sun, 01 Mar 2026 12:00:00 GMT",
        }
        status = 200
        asked = _RANGE.fullmatch(self.headers.get("Range", "")) if self.store.heeds_ranges else None
        if asked is not None:
            first, last = _bounds(asked, len(content))
            if first >= len(content):
                return self._error(416, "range_not_satisfiable")
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            content, status = content[first : last + 1], 206
        if content and name.endswith(self.store.flipped):
            content = bytes([content[0] ^ 1]) + content[1:]
        headers["Content-Length"] = str(len(content))
        if name.endswith(self.store.cut) and self.command == "GET":
            content = content[:-1]
            self.close_connection = True
        return self._answer(status, content, headers)

    def _json(self, status: int, value: dict[str, Any]) -> None:
        self._answer(status, json.dumps(value).encode())

    def _error(self, status: int, code: str) -> None:
        self._json(status, {"error": code, "message": f"message of {code}", "request_id": "r1"})

    def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _bounds(asked: re.Match[str], size: int) -> tuple[int, int]:
    if not asked[1]:
        return size - int(asked[2]), size - 1
    return int(asked[1]), min(int(asked[2] or size), size - 1)
