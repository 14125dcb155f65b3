"""Forms: one file, streamed, wherever the body is cut."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers

from twisted_store.errors import BadRequestError, IncompleteBodyError, StoreError, TooLargeError
from twisted_store.web.multipart import OVERHEAD_BYTES_MAX, FilePart, file_part

CONTENT_TYPE = "multipart/form-data; boundary=XX"
CONTENT = b"line\r\n--X\r\n--XXY\r\n\r\nend\r"
FILE = (
    b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a/\xc3\xa9.txt"\r\n'
    b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
    + CONTENT.replace(b"--XXY", b"--XZ")
    + b"\r\n"
)
FIELD = b'--XX\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
TEXT_FILE = b'--XX\r\nContent-Disposition: form-data; name="file"\r\n\r\nno file\r\n'
END = b"--XX--\r\n"


async def pieces_of(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    """A body that comes in these pieces."""
    for piece in pieces:
        yield piece


async def read(pieces: Iterable[bytes], content_type: str = CONTENT_TYPE) -> tuple[FilePart, bytes]:
    """The file of a form, and all of its bytes."""
    headers = Headers({"Content-Type": [content_type]})
    part = await file_part(headers, pieces_of(pieces))
    return part, b"".join([piece async for piece in part.body])


def result_of(pieces: Iterable[bytes], content_type: str = CONTENT_TYPE) -> Any:
    """What `read` returns or raises."""
    results: list[Any] = []
    Deferred.fromCoroutine(read(pieces, content_type)).addBoth(results.append)
    [result] = results
    if isinstance(result, Failure):
        result.raiseException()
    return result


def check(pieces: Iterable[bytes]) -> None:
    """The file in `FILE` is found."""
    part, content = result_of(pieces)
    assert part.filename == "a/é.txt"
    assert part.headers.getRawHeaders("Content-Type") == ["text/plain; charset=utf-8"]
    assert content == CONTENT.replace(b"--XXY", b"--XZ")


@pytest.mark.parametrize(
    "body",
    [
        FILE + END,
        FILE + END.rstrip(),
        FIELD + FILE + END,
        TEXT_FILE + FILE + END,
        FILE + FIELD + FILE.replace(b"line", b"twin") + END,
        b"preamble\r\n" + FILE + END + b"epilogue",
    ],
)
def test_the_first_file_is_found(body: bytes) -> None:
    """Among other fields and other files, in one piece, byte by byte, and with empty pieces."""
    check([body])
    check(body[i : i + 1] for i in range(len(body)))
    check([b"", body[:50], b"", body[50:], b""])


def test_a_form_may_be_cut_at_every_byte() -> None:
    """Boundaries, headers and content across two pieces."""
    body = FIELD + FILE + END
    for cut in range(1, len(body)):
        check([body[:cut], body[cut:]])


def test_a_form_that_ends_early_is_incomplete_wherever_it_ends() -> None:
    """No prefix of a form passes for one, so nothing short is ever stored."""
    body = FILE + END.rstrip()
    for end in range(len(body)):
        with pytest.raises(IncompleteBodyError):
            result_of([body[:end]])


@given(st.binary(), st.integers(1, 50))
def test_every_content_passes(content: bytes, piece_bytes: int) -> None:
    """Whatever does not contain the boundary comes out as it went in."""
    boundary = b"--boundary-that-no-example-has"
    body = boundary + FILE[4 : FILE.index(b"\r\n\r\n") + 4] + content + b"\r\n" + boundary + b"--"
    pieces = [body[i : i + piece_bytes] for i in range(0, len(body), piece_bytes)]
    content_type = f"multipart/form-data; boundary={boundary[2:].decode()}"
    assert result_of(pieces, content_type)[1] == content


@pytest.mark.parametrize("body", [END, FIELD + END, TEXT_FILE + END])
def test_a_form_without_file_is_refused(body: bytes) -> None:
    """A field of that name is no file when it has no file name."""
    with pytest.raises(BadRequestError, match="no file"):
        result_of([body])


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "multipart/mixed; boundary=XX",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "X" * 71,
    ],
)
def test_another_content_type_is_refused(content_type: str) -> None:
    """Without a boundary there is nothing to find."""
    with pytest.raises(BadRequestError, match="multipart/form-data"):
        result_of([FILE + END], content_type)


def test_a_body_without_content_type_is_refused() -> None:
    """As any other that is no form."""
    deferred = Deferred.fromCoroutine(file_part(Headers(), pieces_of([FILE + END])))
    errors: list[Any] = []
    deferred.addErrback(errors.append)
    assert errors[0].check(BadRequestError)


@pytest.mark.parametrize(
    "body",
    [
        b"--XX\r\nno colon\r\n\r\n" + END,
        b"--XX\r\nContent-Disposition: attachment\r\n\r\n\r\n" + END,
        b"--XXgarbage\r\n" + END,
        FILE.replace(b"\r\n--XZ", b"\r\n--XX?") + END,
        b"--XX\r\nContent-Disposition: form-data; name=\xff\r\n\r\n\r\n" + END,
    ],
)
def test_a_malformed_form_is_refused(body: bytes) -> None:
    """Only what its writer must have meant is stored."""
    with pytest.raises(BadRequestError, match="malformed"):
        result_of([body])


def test_a_bare_line_feed_in_a_header_is_refused_wherever_it_is_cut() -> None:
    """Of two readings of a header none is taken."""
    body = FILE.replace(b"Content-Type: text/plain;", b"Content-Type: text/plain;\n") + END
    for cut in range(len(body)):
        with pytest.raises(BadRequestError, match="Invalid line break"):
            result_of([body[:cut], body[cut:]])


def test_a_refusal_does_not_quote_what_cannot_be_read() -> None:
    """The message says what is wrong in words."""
    body = b"--XX\r\nContent-Disposition: form-data; name=\xff\r\n\r\n\r\n" + END
    with pytest.raises(BadRequestError) as caught:
        result_of([body])
    assert str(caught.value) == "The form is malformed: Segment header failed to decode."


@pytest.mark.parametrize(
    "body",
    [
        b"x" * (OVERHEAD_BYTES_MAX + 1),
        FIELD.replace(b"hello", b"x" * (OVERHEAD_BYTES_MAX + 1)) + FILE + END,
        FILE + FIELD.replace(b"hello", b"x" * (OVERHEAD_BYTES_MAX + 1)) + END,
        FILE + END + b"x" * (OVERHEAD_BYTES_MAX + 1),
        b"--XX\r\nName: " + b"x" * 5000 + b"\r\n\r\n" + END,
        b"--XX\r\n" + b"Name: x\r\n" * 9 + b"\r\n" + END,
    ],
)
def test_what_surrounds_the_file_is_bounded(body: bytes) -> None:
    """Nobody is made to read on for ever, before the file or behind it."""
    with pytest.raises(TooLargeError):
        result_of(body[i : i + 1000] for i in range(0, len(body), 1000))


def test_a_large_file_is_no_overhead() -> None:
    """Only its surroundings count."""
    content = b"x" * 10 * OVERHEAD_BYTES_MAX
    body = FILE[: FILE.index(b"\r\n\r\n") + 4] + content + b"\r\n" + END
    assert result_of(body[i : i + 5000] for i in range(0, len(body), 5000))[1] == content


def test_a_failure_of_the_body_goes_through() -> None:
    """A client that stalls or leaves is not taken for the end of a form."""

    async def failing() -> AsyncIterator[bytes]:
        yield FILE[:100]
        raise StoreError("gone")

    async def run() -> None:
        part = await file_part(Headers({"Content-Type": [CONTENT_TYPE]}), failing())
        async for _ in part.body:
            pass

    errors: list[Any] = []
    Deferred.fromCoroutine(run()).addErrback(errors.append)
    assert str(errors[0].value) == "gone"
