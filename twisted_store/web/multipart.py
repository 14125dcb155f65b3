"""Uploads by form: multipart/form-data (RFC 7578), parsed while it streams."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Self

from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)
from twisted.web.http_headers import Headers

from twisted_store.errors import BadRequestError, IncompleteBodyError, StoreError, TooLargeError

FIELD = "file"
"""The name of the form field that holds the file."""

BOUNDARY_CHARACTERS_MAX = 70  # RFC 2046 section 5.1.1
PART_HEADERS_MAX = 8
PART_HEADER_BYTES_MAX = 4096

OVERHEAD_BYTES_MAX = 64 * 1024
"""All of the body but the file: boundaries, headers, other parts."""


class _Form:
    """What the parser finds in a body: a part, its bytes, None at its end, and so on."""

    def __init__(self, pieces: AsyncIterator[bytes], boundary: str) -> None:
        self._pieces = pieces
        self._parser = PushMultipartParser(
            boundary,
            max_header_size=PART_HEADER_BYTES_MAX,
            max_header_count=PART_HEADERS_MAX,
        )
        self._events: Iterator[MultipartSegment | bytes | None] = iter(())
        self._overhead_bytes = 0

    def count_file_bytes(self, size_bytes: int) -> None:
        """These bytes were the file's and are no overhead."""
        self._overhead_bytes -= size_bytes

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> MultipartSegment | bytes | None:
        try:
            while True:
                for event in self._events:
                    if isinstance(event, MultipartSegment):
                        _check_lines(event)
                    return event
                await self._feed()
        except MultipartError as error:
            raise _refusal(error) from error

    async def _feed(self) -> None:
        """Give the parser more of the body; at its end the last boundary must have been there."""
        if self._overhead_bytes > OVERHEAD_BYTES_MAX:
            raise TooLargeError(
                f"The form has more than {OVERHEAD_BYTES_MAX} bytes around its file."
            )
        piece = await anext(self._pieces, None)
        if piece is None:
            self._end()
            raise StopAsyncIteration
        self._overhead_bytes += len(piece)
        if piece:  # an empty one would mean the end to the parser
            self._events = self._parser.parse(piece)

    def _end(self) -> None:
        try:
            self._parser.close()
        except MultipartError as error:
            raise IncompleteBodyError("The form ends before its last boundary.") from error


class FileBody:
    """
    The bytes of the file in a form.

    The iteration ends when the whole form was read and found complete, so what follows the file
    is checked before anybody takes the file as received.
    """

    def __init__(self, form: _Form) -> None:
        self._form = form
        self._at_end = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        async for event in self._form:
            if self._at_end:
                continue
            if isinstance(event, bytes):
                self._form.count_file_bytes(len(event))
                return event
            self._at_end = True
        raise StopAsyncIteration


@dataclass(frozen=True, slots=True)
class FilePart:
    """The file in a form: the name that the sender gave it, its headers, and its bytes to come."""

    filename: str
    headers: Headers
    body: FileBody


async def file_part(headers: Headers, pieces: AsyncIterator[bytes]) -> FilePart:
    """
    The first part called ``file`` that has a file name, with ``headers`` those of the request.

    Raises BadRequestError when there is none, IncompleteBodyError when the body ends early,
    TooLargeError when there is too much around the file; reading the part's body may raise the
    same.
    """
    form = _Form(pieces, _boundary(headers))
    async for event in form:
        if isinstance(event, MultipartSegment) and event.name == FIELD and event.filename:
            return FilePart(event.filename, _part_headers(event), FileBody(form))
    raise BadRequestError(f"The form has no file in a field called {FIELD}.")


def _boundary(headers: Headers) -> str:
    lines = headers.getRawHeaders(b"Content-Type", [b""])
    media_type, options = parse_options_header(lines[-1].decode("latin-1"))
    boundary: str = options.get("boundary", "")
    if media_type != "multipart/form-data" or not 0 < len(boundary) <= BOUNDARY_CHARACTERS_MAX:
        raise BadRequestError("The body must be multipart/form-data with a boundary.")
    return boundary


def _check_lines(part: MultipartSegment) -> None:
    """The parser refuses a bare line feed itself, but only where a piece ends behind it."""
    if any("\n" in value for _, value in part.headerlist):
        raise BadRequestError("The form is malformed: Invalid line break in segment header.")


def _part_headers(part: MultipartSegment) -> Headers:
    headers = Headers()
    for name, value in part.headerlist:
        headers.addRawHeader(name.encode("utf-8"), value.encode("utf-8"))
    return headers


def _refusal(error: MultipartError) -> StoreError:
    reason = error.args[0]  # behind it may be another error, with the bytes that led to it
    if isinstance(error, ParserLimitReached):
        return TooLargeError(f"The form has a part with too large a header: {reason}.")
    return BadRequestError(f"The form is malformed: {reason}.")
