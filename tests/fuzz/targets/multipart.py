"""Bodies of forms, however they are cut."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers

from tests.fuzz.cuts import pieces_of
from tests.fuzz.target import Target
from twisted_store.errors import BadRequestError, StoreError, TooLargeError
from twisted_store.web.multipart import OVERHEAD_BYTES_MAX, file_part

HEADERS = Headers({"Content-Type": ["multipart/form-data; boundary=XX"]})

FILE = (
    b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a/\xc3\xa9.txt"\r\n'
    b"Content-Type: text/plain; charset=utf-8\r\n\r\nline\r\n--X\r\n--XZ\r\n\r\nend\r\r\n"
)
FIELD = b'--XX\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
EMPTY = b"--XX\r\nContent-Disposition: form-data; name=file; filename*=utf-8''%e2%98%83\r\n\r\n\r\n"
END = b"--XX--\r\n"

DEPENDS_ON_CUTS = (
    "in front of first boundary",
    "Invalid line break",
    "too large a header",
)
"""
What the parser refuses only when it sees it in one piece, or only when it does not.

That is junk before the first boundary, a line feed before the name of a header, and a header of
the largest size. What it takes is the same either way.
"""

Parsed = tuple[str, list[tuple[bytes, Sequence[bytes]]], bytes]


def parse(pieces: Sequence[bytes]) -> Parsed | StoreError:
    """Name, headers and bytes of the file; or the error that the client would be told."""
    results: list[Any] = []
    Deferred.fromCoroutine(_parse(pieces)).addBoth(results.append)
    [result] = results
    if isinstance(result, Failure):
        if not isinstance(result.value, StoreError):
            result.raiseException()
        return result.value
    parsed: Parsed = result
    return parsed


async def _parse(pieces: Sequence[bytes]) -> Parsed:
    part = await file_part(HEADERS, _body(pieces))
    content = b"".join([piece async for piece in part.body])
    return part.filename, list(part.headers.getAllRawHeaders()), content


async def _body(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def depends_on_cuts(error: StoreError) -> bool:
    """Whether other pieces of the same form may be accepted."""
    return any(words in str(error) for words in DEPENDS_ON_CUTS)


def take(raw: bytes) -> str:
    """The same file comes of a form at once and in pieces, or none of both."""
    raw = raw[:OVERHEAD_BYTES_MAX]
    whole, cut = parse([raw]), parse(pieces_of(raw))
    for one, other in ((whole, cut), (cut, whole)):
        if isinstance(one, StoreError):
            assert isinstance(other, StoreError) or depends_on_cuts(one), other
            raise one
    assert whole == cut
    assert not isinstance(whole, StoreError)
    name, headers, content = whole
    assert name
    assert content in raw
    return f"{min(len(headers), 5)} headers, content {bool(content)}"


TARGET = Target(
    samples=[
        FILE + END,
        FILE + END.rstrip(),
        FIELD + FILE + END,
        EMPTY + FIELD + FILE + END,
        FILE + FIELD + FILE.replace(b"line", b"twin") + END,
        b"preamble\r\n" + FILE + END + b"epilogue",
    ],
    take=take,
    errors=(BadRequestError, TooLargeError),
)
