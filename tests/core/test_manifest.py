"""The manifest: canonical bytes, of a length known before the digest is."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_store.core.ids import object_id
from twisted_store.core.manifest import ETAG_PLACEHOLDER, SCHEME_PLAIN, Manifest
from twisted_store.errors import FormatError

DRAFT = Manifest(
    object_id=object_id(1, 2, 3),
    name="a/b",
    size_bytes=12,
    unit_bytes=2**20,
    scheme=SCHEME_PLAIN,
    etag=ETAG_PLACEHOLDER,
    created_us=1_750_000_000_000_000,
    content_type="text/plain",
    headers=(("X-Meta-A", "b"),),
)


@given(name=st.text(min_size=1), size=st.integers(0, 2**63), value=st.text())
def test_a_manifest_comes_back(name: str, size: int, value: str) -> None:
    """Whatever a client calls its file."""
    name = name.encode("utf-8", "ignore").decode()
    value = value.encode("utf-8", "ignore").decode()
    manifest = replace(DRAFT, name=name, size_bytes=size, headers=(("X-Meta-A", value),))
    assert Manifest.decode(manifest.encode()) == manifest


def test_digest_and_time_do_not_change_the_length() -> None:
    """So the length of a chunk's body can be announced before either is known."""
    final = replace(DRAFT, etag="f" * 64, created_us=9_999_999_999_999_999)
    assert len(final.encode()) == len(DRAFT.encode())


def test_the_form_is_canonical() -> None:
    """Sorted, compact, UTF-8 unescaped."""
    encoded = replace(DRAFT, name="\u2603").encode()
    assert "\u2603".encode() in encoded
    assert list(json.loads(encoded)) == sorted(json.loads(encoded))
    assert b": " not in encoded


@pytest.mark.parametrize("encoded", [b"", b"[]", b"{}", b"\xff", b'{"headers": 1}', b"null"])
def test_what_is_no_manifest_is_refused(encoded: bytes) -> None:
    """With one error for all of it."""
    with pytest.raises(FormatError):
        Manifest.decode(encoded)
