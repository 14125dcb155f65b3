"""Answers to GET and HEAD of a file, over HTTP."""

from random import Random
from typing import Any

import pytest
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamServerEndpoint

from tests.api.world import MIB, STRIPE, ApiCluster, downloads_of
from tests.simulation.calls import Answer, Calls, content_of
from twisted_store.api.budget import MemoryBudget
from twisted_store.api.file_answer import FileAnswers
from twisted_store.catalog.catalog import Catalog
from twisted_store.catalog.entries import Entry
from twisted_store.web.answers import answer_errors
from twisted_store.web.request import StreamingRequest
from twisted_store.web.site import StreamingSite

OLD, OLDER, NEW = content_of(MIB), content_of(STRIPE), content_of(70_000)
PORT = 8090

BUDGET_BYTES = MIB
"""Each of the files wants more, and gets it all."""


class StaleCatalog:
    """Answers with rows as they were, as long as it has any."""

    def __init__(self, catalog: Catalog) -> None:
        self.stale: list[Entry] = []
        self._catalog = catalog

    async def get(self, name: str) -> Entry | None:
        """A row that may be overwritten by now."""
        return self.stale.pop(0) if self.stale else await self._catalog.get(name)


class Served:
    """The use case on the parts of a running api, on a port of its own."""

    app = Klein()
    answer_errors(app)

    def __init__(self, cluster: ApiCluster, endpoint: IStreamServerEndpoint) -> None:
        api = cluster.api
        catalog: Any = StaleCatalog(api.catalog)
        self.catalog: StaleCatalog = catalog
        self.budget = MemoryBudget("downloads", BUDGET_BYTES, cluster.clock)
        downloads = downloads_of(cluster, catalog)
        self._answers = FileAnswers(downloads, self.budget, cluster.clock, 60.0)
        self._cluster = cluster
        cluster.run(endpoint.listen(StreamingSite(self.app.resource(), cluster.clock, Random(1))))

    @app.route("/files/NAME", methods=["GET"])
    async def get(self, request: StreamingRequest) -> None:
        """As the api routes it."""
        await self._answers.answer(request, request.tail.decode())

    def begin(self) -> "Deferred[Answer]":
        """Begin to read the file."""
        return Deferred.fromCoroutine(self._read())

    async def _read(self) -> Answer:
        clock: Any = self._cluster.clock
        url = f"http://127.0.0.1:{PORT}/files/a"
        response = await self._cluster.client.request("GET", url, reactor=clock, unbuffered=True)
        return Answer(response.code, response.headers, await response.content())


@pytest.fixture
def served(cluster: ApiCluster) -> Served:
    """With a budget for one large file at a time."""
    return Served(cluster, cluster.endpoint(PORT))


@pytest.fixture
def gone(cluster: ApiCluster, calls: Calls) -> list[Entry]:
    """The rows of two versions of ``a`` that are gone, chunks and all; a third is there."""
    entries = []
    for content in (OLDER, OLD, NEW):
        calls.put("a", content)
        entry = cluster.run(Deferred.fromCoroutine(cluster.api.catalog.get("a")))
        assert entry is not None
        entries.append(entry)
    cluster.clock.run_for(90)
    return entries[:2]


@pytest.mark.parametrize("times", [1, 2])
def test_p4_who_is_overwritten_gets_the_new_file(
    cluster: ApiCluster, served: Served, gone: list[Entry], times: int
) -> None:
    """Wholly, however often that happens between the row and the chunks."""
    served.catalog.stale = gone[:times]
    answer = cluster.run(served.begin())
    assert (answer.status, answer.body == NEW) == (200, True)


def test_a_chunk_that_is_missing_is_no_overwrite(
    cluster: ApiCluster, calls: Calls, served: Served
) -> None:
    """The row is still the same: the file cannot be read now, but it is there."""
    calls.put("a", NEW)
    cluster.clock.run_for(3)
    lost = next(iter(cluster.chunk_files())).partition("/")[0]
    cluster.lose_chunks(lost)
    answer = cluster.run(served.begin())
    assert (answer.status, answer.json["error"]) == (503, "node_failed")


def test_memory_is_reserved_before_nodes_are_asked(
    cluster: ApiCluster, calls: Calls, served: Served
) -> None:
    """A second large download waits for the first, and gets what that gives back."""
    calls.put("a", OLDER)
    first, second = served.begin(), served.begin()
    cluster.clock.run_for(0.01)
    assert (served.budget.reserved_bytes, served.budget.contended) == (BUDGET_BYTES, True)
    answers = [cluster.run(first), cluster.run(second)]
    assert all(answer.body == OLDER for answer in answers)
    assert served.budget.reserved_bytes == 0


def test_who_leaves_gives_the_memory_back(
    cluster: ApiCluster, calls: Calls, served: Served
) -> None:
    """While it reads, and while it waits."""
    calls.put("a", OLDER)
    reading, waiting, last = served.begin(), served.begin(), served.begin()
    cluster.clock.run_for(0.01)
    for leaving in (waiting, reading):
        leaving.addErrback(lambda _: None)
        leaving.cancel()
    assert cluster.run(last).body == OLDER
    assert served.budget.reserved_bytes == 0


def test_a_failed_download_gives_the_memory_back(
    cluster: ApiCluster, calls: Calls, served: Served
) -> None:
    """Before the first byte, here."""
    calls.put("a", OLDER)
    cluster.stop(next(iter(cluster.chunk_files())).partition("/")[0])
    assert cluster.run(served.begin()).status == 503
    assert served.budget.reserved_bytes == 0


@pytest.mark.parametrize("value", ["bytes=\xb2-\xb3", "\xff", "bytes=0-1, bytes=2-3"])
def test_a_range_that_cannot_be_read_is_ignored(cluster: ApiCluster, value: str) -> None:
    """RFC 9110 section 14.2; it may have any bytes."""
    Calls(cluster).put("a", NEW)
    client = cluster.dial()
    request = f"GET /files/a HTTP/1.1\r\nHost: x\r\nRange: {value}\r\n\r\n"
    assert client.say(request.encode("latin-1")).startswith(b"HTTP/1.1 200 ")


def test_a_304_says_only_what_validates(calls: Calls) -> None:
    """RFC 9110 section 15.4.5."""
    sent = {"Cache-Control": "max-age=5", "Content-Type": "text/plain", "X-Meta-A": "b"}
    etag = calls.put("a", NEW, sent).header("ETag")
    answer = calls.get("a", {"If-None-Match": etag})
    assert (answer.status, answer.header("ETag")) == (304, etag)
    assert answer.header("Cache-Control") == "max-age=5"
    assert (answer.header("Content-Type"), answer.header("X-Meta-A")) == ("", "")


@pytest.mark.parametrize("content", [b"", NEW])
def test_head_says_what_get_would(calls: Calls, content: bytes) -> None:
    """Without asking a node; a range means nothing to it."""
    calls.put("a", content)
    got = calls.get("a")
    said = calls.call("HEAD", "/files/a", {"Range": "bytes=0-1"})
    assert (said.status, said.header("Content-Length")) == (200, str(len(content)))
    for name in ("ETag", "Last-Modified", "Content-Type", "Accept-Ranges"):
        assert said.header(name) == got.header(name)
