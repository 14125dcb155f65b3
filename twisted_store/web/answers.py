"""
Answers in JSON, and the one place where an error becomes a status.

Every error answer is ``{"error": code, "message": …, "request_id": …}``; the codes are those of
`twisted_store.errors`, and a few for what only HTTP can get wrong.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from klein import Klein
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import RequestRedirect

from twisted_store.errors import (
    BadRequestError,
    ConflictError,
    NoSpaceError,
    NotFoundError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
    SlowClientError,
    StoppingError,
    StoreError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)
from twisted_store.web.conditional import format_etag

if TYPE_CHECKING:
    from twisted_store.web.request import StreamingRequest

RETRY_AFTER_SECONDS = 2
"""What a 503 asks for when its error does not say."""

STATUSES: Final[Mapping[type[StoreError], int]] = {
    BadRequestError: 400,
    UnauthorizedError: 401,
    NotFoundError: 404,
    SlowClientError: 408,
    ConflictError: 409,
    PreconditionFailedError: 412,
    TooLargeError: 413,
    RangeNotSatisfiableError: 416,
    StoreError: 500,
    UnavailableError: 503,
    NoSpaceError: 507,
}

_JSON = json.JSONEncoder(ensure_ascii=False)

log = Logger()


def status_of(error: StoreError) -> int:
    """The status of an error: that of its nearest class in the table."""
    return next(STATUSES[base] for base in type(error).__mro__ if base in STATUSES)


def encode_json(value: object) -> bytes:
    """One line of JSON in UTF-8; a lone surrogate stays an escape."""
    return _JSON.encode(value).encode("utf-8", "backslashreplace") + b"\n"


def error_body(code: str, message: str, request_id: str) -> bytes:
    """The body of an error answer."""
    return encode_json({"error": code, "message": message, "request_id": request_id})


def answer_json(
    request: "StreamingRequest",
    status: int,
    value: object,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Write a whole answer; finishing the request is left to Klein, or to who calls without it."""
    _answer(request, status, encode_json(value), headers or {})


def answer_failure(request: "StreamingRequest", failure: Failure) -> Deferred[None] | None:
    """
    Answer with an error.

    After the first byte nothing true can be said any more, so the connection is aborted, and the
    Deferred that is returned then never fires: nobody may add to the answer.
    """
    status, code, message, headers = _describe(failure)
    if status == 500:
        log.failure("request {request_id} failed", failure, request_id=request.request_id)
    if request.finished:
        return None
    if request.startedWriting:
        request.abort()
        return Deferred()
    request.forget_headers()
    _answer(request, status, error_body(code, message, request.request_id), headers)
    return None


def answer_errors(app: Klein) -> None:
    """Let the routes of ``app`` raise: every exception gets its answer here."""

    def answer(*arguments: Any) -> Deferred[None] | None:
        # Klein puts the instance in front where the app is bound to one.
        request, failure = arguments[-2:]
        return answer_failure(request, failure)

    app.handle_errors(Exception)(cast(Any, answer))


def _answer(
    request: "StreamingRequest", status: int, body: bytes, headers: Mapping[str, str]
) -> None:
    request.setResponseCode(status)
    request.setHeader("Content-Type", "application/json")
    request.setHeader("Content-Length", str(len(body)))
    for name, value in headers.items():
        request.setHeader(name, value)
    request.write(body)


def _describe(failure: Failure) -> tuple[int, str, str, dict[str, str]]:
    error = failure.value
    if isinstance(error, HTTPException):
        return _describe_routing(error)
    if isinstance(error, CancelledError):
        error = StoppingError("The request was cancelled here; try again.")
    if isinstance(error, StoreError):
        status = status_of(error)
        return status, error.code, error.message, _headers_of(error)
    return 500, "internal", "The store failed; its log has the reason under this request id.", {}


def _describe_routing(error: HTTPException) -> tuple[int, str, str, dict[str, str]]:
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        return 405, "method_not_allowed", f"Allowed here: {allowed}.", {"Allow": allowed}
    # A redirect would merge slashes or add one; the path as it stands names nothing.
    if isinstance(error, RequestRedirect) or error.code == 404:
        return 404, NotFoundError.code, "There is nothing at this path.", {}
    return 400, BadRequestError.code, str(error), {}


def _headers_of(error: StoreError) -> dict[str, str]:
    headers = {}
    if error.retry_after_seconds is not None or isinstance(error, UnavailableError):
        headers["Retry-After"] = str(error.retry_after_seconds or RETRY_AFTER_SECONDS)
    if isinstance(error, PreconditionFailedError) and error.etag is not None:
        headers["ETag"] = format_etag(error.etag)
    if isinstance(error, RangeNotSatisfiableError):
        headers["Content-Range"] = f"bytes */{error.size_bytes}"
    if isinstance(error, UnauthorizedError):
        headers["WWW-Authenticate"] = "Bearer"
    return headers
