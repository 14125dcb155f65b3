"""What headers say of a file: what is kept, what is refused, what is sent again."""

import base64
import hashlib
from dataclasses import replace

import pytest
from twisted.web.http_headers import Headers

from tests.catalog.objects import manifest_of
from twisted_store.api.digests import ExpectedDigests
from twisted_store.api.file_headers import (
    CONTENT_TYPE_DEFAULT,
    METADATA_BYTES_MAX,
    describing_headers,
    field_value,
    file_to_store,
)
from twisted_store.api.upload import FileToStore
from twisted_store.core.frames import MANIFEST_BYTES_MAX
from twisted_store.core.names import NAME_BYTES_MAX
from twisted_store.errors import BadRequestError

MD5 = hashlib.md5(b"x").digest()
SHA256 = hashlib.sha256(b"x").digest()
MD5_FIELD = base64.b64encode(MD5)
SHA256_FIELD = b"sha-256=:" + base64.b64encode(SHA256) + b":"


def file(*fields: tuple[bytes, bytes]) -> FileToStore:
    """What a PUT with these headers says."""
    headers = Headers()
    for name, value in fields:
        headers.addRawHeader(name, value)
    return file_to_store("a", 5, headers)


def test_what_describes_the_content_is_kept() -> None:
    """And the user's own, under the names they came with; the rest of a request is not."""
    stored = file(
        (b"content-type", b"text/plain"),
        (b"cache-control", b"no-store"),
        (b"x-meta-colour", b"blue"),
        (b"x-metadata", b"no"),
        (b"Authorization", b"Bearer secret"),
        (b"Cookie", b"a=b"),
    )
    assert stored.content_type == "text/plain"
    assert stored.headers == (("Cache-Control", "no-store"), ("X-Meta-Colour", "blue"))


def test_a_file_without_a_type_has_the_general_one() -> None:
    """So that no browser guesses."""
    assert file().content_type == CONTENT_TYPE_DEFAULT


def test_lines_of_one_header_are_one_value() -> None:
    """RFC 9110 section 5.3."""
    assert file((b"X-Meta-A", b"1"), (b"x-meta-a", b"2")).headers == (("X-Meta-A", "1, 2"),)


def test_any_byte_comes_back_as_it_was() -> None:
    """Headers are not UTF-8; Latin-1 keeps every byte."""
    assert file((b"X-Meta-A", b"\xff\xfe\x80")).headers == (("X-Meta-A", "\xff\xfe\x80"),)
    assert field_value(Headers({b"Range": [b"\xb2"]}), "Range") == "\xb2"


@pytest.mark.parametrize("name", [b"X-Meta-A", b"Content-Type", b"Content-Disposition"])
@pytest.mark.parametrize("value", [b"a\x00b", b"\x1b[31m", b"a\x0bb", b"\x7f"])
def test_control_characters_are_not_stored(name: bytes, value: bytes) -> None:
    """They would be sent to others, and each takes six bytes of a manifest."""
    with pytest.raises(BadRequestError, match="control character"):
        file((name, value))


def test_a_tab_is_no_control_character_in_a_header() -> None:
    """RFC 9110 section 5.5."""
    assert file((b"X-Meta-A", b"a\tb")).headers == (("X-Meta-A", "a\tb"),)


@pytest.mark.parametrize("name", [b"Content-Type", b"X-Meta-A", b"Expires"])
def test_what_is_stored_has_a_limit_in_all(name: bytes) -> None:
    """Names and values, the type included: it goes with every chunk."""
    room = METADATA_BYTES_MAX - len("Content-Type") - len(name)
    if name != b"Content-Type":
        room -= len(CONTENT_TYPE_DEFAULT)
    else:
        room += len("Content-Type")
    file((name, b"x" * room))
    with pytest.raises(BadRequestError, match=str(METADATA_BYTES_MAX)):
        file((name, b"x" * (room + 1)))


def test_the_largest_manifest_that_can_be_made_is_one_that_nodes_take() -> None:
    """With the longest name and headers of what takes most room in JSON."""
    stored = file((b"X-Meta-A", b'"' * (METADATA_BYTES_MAX - 60)))
    manifest = replace(
        manifest_of("\0" * NAME_BYTES_MAX, 1, size_bytes=2**60),
        content_type=stored.content_type,
        headers=stored.headers,
    )
    assert len(manifest.encoded) < MANIFEST_BYTES_MAX / 4


@pytest.mark.parametrize(
    ("fields", "digests"),
    [
        ([], ExpectedDigests()),
        ([(b"Content-MD5", MD5_FIELD)], ExpectedDigests(md5=MD5)),
        ([(b"Repr-Digest", SHA256_FIELD)], ExpectedDigests(sha256=SHA256)),
        ([(b"Repr-Digest", b"sha-512=:AA==:, " + SHA256_FIELD)], ExpectedDigests(sha256=SHA256)),
        ([(b"Repr-Digest", b"sha-512=:AA==:")], ExpectedDigests()),
    ],
)
def test_digests_are_read(fields: list[tuple[bytes, bytes]], digests: ExpectedDigests) -> None:
    """Those that can be checked here."""
    assert file(*fields).digests == digests


@pytest.mark.parametrize(
    "value", [b"", b"nonsense", b"AAAA", b"\xff\xfe", MD5_FIELD + b"=", b"A" * 24]
)
def test_a_digest_that_is_none_is_a_bad_request(value: bytes) -> None:
    """Not one of ours: characters beyond ASCII included."""
    with pytest.raises(BadRequestError, match="Content-MD5"):
        file((b"Content-MD5", value))


@pytest.mark.parametrize("value", [b"sha-256=::", b"sha-256=:=:", b"sha-256=:AAAA:"])
def test_a_sha256_of_another_length_is_a_bad_request(value: bytes) -> None:
    """32 bytes it has."""
    with pytest.raises(BadRequestError, match="Repr-Digest"):
        file((b"Repr-Digest", value))


def test_a_part_of_a_file_cannot_be_put() -> None:
    """RFC 9110 section 14.5."""
    with pytest.raises(BadRequestError, match="Content-Range"):
        file((b"Content-Range", b"bytes 0-1/2"))


def test_an_answer_describes_the_file() -> None:
    """What was stored, the validators, and that ranges are taken."""
    described = describing_headers(manifest_of("a", 7))
    assert described == {
        "Content-Type": "text/plain",
        "ETag": '"e7"',
        "Last-Modified": "Tue, 14 Nov 2023 22:13:20 GMT",
        "Accept-Ranges": "bytes",
        "X-Meta-Number": "7",
    }
