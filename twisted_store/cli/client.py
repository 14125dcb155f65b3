"""The calls of the api as a command makes them."""

import functools
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import quote

import click
import httpx

from twisted_store.cli.answers import (
    Cluster,
    DryRun,
    Explanation,
    File,
    JobChanges,
    JobName,
    Node,
    Page,
    Readiness,
    SafeToStop,
    ThrottledJob,
)
from twisted_store.cli.exits import (
    CommandError,
    FileNotInStoreError,
    StoreUnavailableError,
    UnreachableError,
    refused,
)

# A commit waits for the disks of several machines, and a request for its turn in memory.
TIMEOUT = httpx.Timeout(60.0, connect=10.0, read=180.0)


def files_path(name: str, collection: str = "files") -> str:
    """
    The request path of a file.

    ``.`` and ``..`` are bytes of a name like all others, and written so that nothing on the way
    takes them for steps of a path.
    """
    try:
        parts = quote(name, safe="/").split("/")
    except UnicodeEncodeError as error:
        raise CommandError(f"{name!r} is not UTF-8, so it cannot be a name.") from error
    dots = {".": "%2E", "..": "%2E%2E"}
    return f"/{collection}/" + "/".join(dots.get(part, part) for part in parts)


class StoreClient:
    """
    The api at ``url``, for use by one or more threads; ``headers`` go with each call.

    Every call raises a `CommandError` if the answer is an error, or if there is none.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self.url = url
        try:
            self._http = httpx.Client(
                base_url=url,
                timeout=TIMEOUT,
                headers={"Accept-Encoding": "identity"} | dict(headers or {}),
                verify=_trusted_certificates(),
            )
        except httpx.InvalidURL as error:
            raise _not_a_url(url, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    @contextmanager
    def open(
        self, method: str, path: str, *, accept: int | None = None, **options: Any
    ) -> Iterator[httpx.Response]:
        """
        Make a call whose answer the caller reads; the options are those of ``httpx.Client.stream``.

        ``accept`` is an error status that is an answer here.
        """
        try:
            with self._http.stream(method, path, **options) as answer:
                if answer.is_error and answer.status_code != accept:
                    answer.read()
                    raise _refusal(answer)
                yield answer
        except httpx.UnsupportedProtocol as error:
            raise _not_a_url(self.url, error) from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise UnreachableError(
                f"Nothing answers at {self.url} ({error}). Is this where the store runs?"
            ) from error
        except httpx.LocalProtocolError as error:
            raise CommandError(f"The request could not be finished: {error}.") from error
        except httpx.TransportError as error:
            raise StoreUnavailableError(
                f"The connection to {self.url} broke off: {error or type(error).__name__}."
            ) from error

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Make a call with a short answer."""
        with self.open(method, path, **options) as answer:
            answer.read()
        return answer

    def put(
        self,
        name: str,
        body: Iterable[bytes],
        size_bytes: int | None,
        headers: dict[str, str] | None = None,
    ) -> tuple[File, bool]:
        """
        Store a file; returns it, and whether it is new.

        When the size is None the body is sent chunked.
        """
        length = {} if size_bytes is None else {"Content-Length": str(size_bytes)}
        answer = self.call("PUT", files_path(name), content=body, headers=length | (headers or {}))
        return cast(File, self._json(answer)), answer.status_code == httpx.codes.CREATED

    def delete(self, name: str) -> None:
        """Delete a file."""
        self.call("DELETE", files_path(name))

    def pages(self, prefix: str, delimiter: str = "") -> Iterator[Page]:
        """The listing of the names that begin with a prefix, as it comes."""
        query = {"prefix": prefix} | ({"delimiter": delimiter} if delimiter else {})
        while True:
            page = cast(Page, self._json(self.call("GET", "/files", params=query)))
            yield page
            if page["next"] is None:
                return
            query["after"] = page["next"]

    def names_under(self, prefix: str) -> Iterator[str]:
        """All names that begin with a prefix, of which there must be one."""
        found = False
        for page in self.pages(prefix):
            for file in page["files"]:
                found = True
                yield file["name"]
        if not found:
            raise FileNotInStoreError(f"No name begins with {prefix!r}.")

    def explain(self, name: str) -> Explanation:
        """Where a file is."""
        return cast(Explanation, self._json(self.call("GET", files_path(name, "explain"))))

    def explain_size(self, size_bytes: int, name: str | None, scheme: str | None) -> DryRun:
        """Where a file of that size would go; ``name`` and ``scheme`` if they matter."""
        query: dict[str, str | int] = {"size": size_bytes}
        query |= {"name": name} if name is not None else {}
        query |= {"scheme": scheme} if scheme is not None else {}
        return cast(DryRun, self._json(self.call("GET", "/explain", params=query)))

    def cluster(self, timeout: httpx.Timeout = TIMEOUT) -> Cluster:
        """The state of the whole."""
        return cast(Cluster, self._json(self.call("GET", "/cluster", timeout=timeout)))

    def change_job(self, name: JobName, changes: JobChanges) -> ThrottledJob:
        """Ask a job for changes; returns it as it is then."""
        answer = self.call("POST", f"/jobs/{name}", json=changes)
        return cast(ThrottledJob, self._json(answer))

    def drain(self, node_id: str, *, draining: bool) -> Node:
        """Begin to move chunks away from a node, or end that; returns the node."""
        wanted = {"draining": draining}
        return cast(Node, self._json(self.call("POST", f"/nodes/{node_id}/drain", json=wanted)))

    def forget(self, node_id: str, gone: bool) -> None:
        """Take a node off the list; ``gone``: it will not come back."""
        self.call("DELETE", f"/nodes/{node_id}", params={"gone": "true"} if gone else None)

    def safe_to_stop(self, node_id: str) -> SafeToStop:
        """Whether a node can be stopped."""
        answer = self.call("GET", f"/nodes/{node_id}/safe-to-stop", accept=412)
        return cast(SafeToStop, self._json(answer))

    def readiness(self) -> Readiness:
        """Whether the api can take files now."""
        return cast(Readiness, self._json(self.call("GET", "/health/ready", accept=503)))

    def _json(self, answer: httpx.Response) -> Any:
        try:
            return answer.json()
        except ValueError as error:
            raise CommandError(f"{self.url} does not answer like a twisted_store.") from error


@functools.cache
def _trusted_certificates() -> ssl.SSLContext:
    """Read once: it takes longer than many a call."""
    return httpx.create_ssl_context()


def _not_a_url(url: str, error: Exception) -> click.UsageError:
    return click.UsageError(f"{url!r} is not the URL of a store: {error}")


def _refusal(answer: httpx.Response) -> CommandError:
    """The error that an answer carries; that of a HEAD, or of a proxy on the way, has no JSON."""
    try:
        error = answer.json()
        message, request_id = error["message"], error.get("request_id")
    except (ValueError, TypeError, KeyError):
        request = answer.request
        message = f"{request.method} {request.url}: {answer.status_code} {answer.reason_phrase}"
        request_id = None
    if answer.is_server_error and request_id:
        message = f"{message} (request {request_id})"
    return refused(message, answer.status_code)
