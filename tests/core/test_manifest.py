"""The manifest: canonical bytes, of a length known before the digest is."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_store.core.ids import object_id
from twisted_store.core.manifest import ETAG_PLACEHOLDER, Manifest
from twisted_store.core.scheme import Scheme
from twisted_store.errors import FormatError

DRAFT = Manifest(
    object_id=object_id(1, 2, 3),
    name="a/b",
    size_bytes=12,
    unit_bytes=2**20,
    scheme=Scheme.PLAIN,
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
    assert Manifest.decode(manifest.encoded) == manifest


def test_digest_and_time_do_not_change_the_length() -> None:
    """So the length of a chunk's body can be announced before either is known."""
    final = replace(DRAFT, etag="f" * 64, created_us=9_999_999_999_999_999)
    assert len(final.encoded) == len(DRAFT.encoded)


def test_the_form_is_canonical() -> None:
    """Sorted, compact, UTF-8 unescaped."""
    encoded = replace(DRAFT, name="\u2603").encoded
    assert "\u2603".encode() in encoded
    assert list(json.loads(encoded)) == sorted(json.loads(encoded))
    assert b": " not in encoded


def test_fields_of_a_later_version_are_passed_over() -> None:
    """As long as it did not raise the format."""
    values = json.loads(DRAFT.encoded)
    assert values["format"] == 1
    assert Manifest.decode(json.dumps(values | {"colour": "blue"}).encode()) == DRAFT


@pytest.mark.parametrize("number", [2, 0, None])
def test_another_format_is_refused(number: int | None) -> None:
    """It may mean something else by the same fields."""
    values = json.loads(DRAFT.encoded) | {"format": number}
    with pytest.raises(FormatError, match=f"format {number}, this version knows 1"):
        Manifest.decode(json.dumps(values).encode())


@pytest.mark.parametrize("name", ["format", "etag"])
def test_a_manifest_without_one_of_its_fields_is_refused(name: str) -> None:
    """None has a default."""
    values = json.loads(DRAFT.encoded)
    del values[name]
    with pytest.raises(FormatError, match=name):
        Manifest.decode(json.dumps(values).encode())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("created_us", None),
        ("created_us", 1.5),
        ("size_bytes", "12"),
        ("size_bytes", True),
        ("size_bytes", -1),
        ("size_bytes", float("nan")),
        ("unit_bytes", 0),
        ("unit_bytes", 2**16 + 1),
        ("unit_bytes", []),
        ("name", 7),
        ("name", "\ud800"),
        ("etag", None),
        ("content_type", {}),
        ("object_id", 1),
        ("headers", [["A", 1]]),
        ("headers", [["A", "\udfff"]]),
        ("headers", [["A"]]),
        ("scheme", []),
    ],
)
def test_a_field_that_nobody_could_use_is_refused(name: str, value: object) -> None:
    """Whoever decodes a manifest may go on without looking at it again."""
    values = json.loads(DRAFT.encoded) | {name: value}
    with pytest.raises(FormatError, match="Not a manifest"):
        Manifest.decode(json.dumps(values).encode())


@pytest.mark.parametrize(
    "encoded", [b"", b"[]", b"{}", b"\xff", b'{"headers": 1}', b"null", b"[" * 60_000]
)
def test_what_is_no_manifest_is_refused(encoded: bytes) -> None:
    """With one error for all of it."""
    with pytest.raises(FormatError):
        Manifest.decode(encoded)
