"""Digests of a body: its ETag, and whether it is what the client meant."""

import hashlib

import pytest
from blake3 import blake3

from twisted_store.api.digests import BodyDigests, ExpectedDigests
from twisted_store.errors import DigestMismatchError

BODY = b"some content"
MD5 = hashlib.md5(BODY).digest()
SHA256 = hashlib.sha256(BODY).digest()


def etag_of(expected: ExpectedDigests) -> str:
    """What comes of the body, given in two pieces."""
    digests = BodyDigests(expected)
    digests.update(BODY[:5])
    digests.update(BODY[5:])
    return digests.verified_etag()


@pytest.mark.parametrize(
    "expected",
    [
        ExpectedDigests(),
        ExpectedDigests(md5=MD5),
        ExpectedDigests(sha256=SHA256),
        ExpectedDigests(md5=MD5, sha256=SHA256),
    ],
)
def test_the_etag_is_the_blake3_of_the_whole_body(expected: ExpectedDigests) -> None:
    """However it is cut, and whatever else is asked for."""
    assert etag_of(expected) == blake3(BODY).hexdigest()


@pytest.mark.parametrize(
    ("expected", "field"),
    [
        (ExpectedDigests(md5=bytes(16)), "Content-MD5"),
        (ExpectedDigests(sha256=bytes(32)), "Repr-Digest"),
        (ExpectedDigests(md5=MD5, sha256=bytes(32)), "Repr-Digest"),
    ],
)
def test_another_body_than_announced_is_refused(expected: ExpectedDigests, field: str) -> None:
    """The message names the header, and what arrived."""
    with pytest.raises(DigestMismatchError, match=field):
        etag_of(expected)


def test_an_empty_body_has_an_etag_too() -> None:
    """A file may have 0 bytes."""
    assert BodyDigests(ExpectedDigests()).verified_etag() == blake3().hexdigest()
