"""What the headers of a file's requests and answers say of the file."""

import base64
import re
from collections.abc import Sequence

from twisted.web.http_headers import Headers

from twisted_store.api.digests import ExpectedDigests
from twisted_store.api.upload import FileToStore
from twisted_store.core.manifest import Manifest
from twisted_store.core.scheme import SchemeChoice, parse_choice
from twisted_store.errors import BadRequestError
from twisted_store.web.conditional import format_etag, parse_conditions
from twisted_store.web.dates import format_date

CONTENT_TYPE_DEFAULT = "application/octet-stream"

METADATA_BYTES_MAX = 2048
"""All stored headers of a file together, names and values, its Content-Type included."""

SCHEME_HEADER = "X-Scheme"
"""How much redundancy an upload asks for."""

KEPT_HEADERS = (
    "Cache-Control",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Expires",
    "Repr-Digest",
)
"""Stored with a file and sent with it, besides Content-Type and ``X-Meta-*``."""

_METADATA_PREFIX = "X-Meta-"
_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SHA256 = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]*):\s*(?:$|,)", re.IGNORECASE)


def file_to_store(name: str, size_bytes: int | None, headers: Headers) -> FileToStore:
    """
    What a PUT says of its file; raises `BadRequestError` for what contradicts itself.

    ``Content-Range`` is refused, as RFC 9110 section 14.5 asks of a server that does not store
    parts.
    """
    if headers.hasHeader("Content-Range"):
        raise BadRequestError("A PUT with Content-Range would store a part; send the whole file.")
    content_type = field_value(headers, "Content-Type") or CONTENT_TYPE_DEFAULT
    kept = _kept_headers(headers)
    _check_metadata([("Content-Type", content_type), *kept])
    return FileToStore(
        name=name,
        size_bytes=size_bytes,
        content_type=content_type,
        headers=kept,
        conditions=parse_conditions(headers),
        digests=_expected_digests(headers),
        scheme=scheme_choice(SCHEME_HEADER, field_value(headers, SCHEME_HEADER)),
    )


def describing_headers(manifest: Manifest) -> dict[str, str]:
    """The headers that tell a client of the file, for GET, HEAD and their partial answers."""
    return {
        "Content-Type": manifest.content_type,
        "ETag": format_etag(manifest.etag),
        "Last-Modified": format_date(manifest.modified_seconds),
        "Accept-Ranges": "bytes",
        **dict(manifest.headers),
    }


def scheme_choice(field: str, text: str | None) -> SchemeChoice | None:
    """The choice that a header or parameter ``field`` names; raises `BadRequestError`."""
    try:
        return None if text is None else parse_choice(text)
    except ValueError as error:
        raise BadRequestError(f"{field}: {error}") from error


def field_value(headers: Headers, name: str) -> str | None:
    """The value of a header, its lines joined (RFC 9110 section 5.3); any byte is a character."""
    lines = headers.getRawHeaders(name.encode("latin-1"))
    return None if lines is None else _joined(lines)


def _joined(lines: Sequence[bytes]) -> str:
    return b", ".join(lines).decode("latin-1")


def _kept_headers(headers: Headers) -> tuple[tuple[str, str], ...]:
    kept = []
    for raw, lines in headers.getAllRawHeaders():
        name, value = raw.decode("latin-1"), _joined(lines)
        if name.startswith(_METADATA_PREFIX) or (value and name in KEPT_HEADERS):
            kept.append((name, value))
    return tuple(sorted(kept))


def _check_metadata(fields: Sequence[tuple[str, str]]) -> None:
    for name, value in fields:
        # RFC 9110 section 5.5: dangerous to those who are sent them again.
        if _CONTROL_CHARACTER.search(value) is not None:
            raise BadRequestError(f"{name} has a control character in its value.")
    size_bytes = sum(len(name) + len(value) for name, value in fields)
    if size_bytes > METADATA_BYTES_MAX:
        raise BadRequestError(
            f"The headers to be stored with the file have {size_bytes} bytes; at most "
            f"{METADATA_BYTES_MAX} are kept."
        )


def _expected_digests(headers: Headers) -> ExpectedDigests:
    md5 = field_value(headers, "Content-MD5")
    sha256 = _SHA256.search(field_value(headers, "Repr-Digest") or "")
    return ExpectedDigests(
        md5=None if md5 is None else _decoded("Content-MD5", md5, 16),
        sha256=None if sha256 is None else _decoded("Repr-Digest", sha256[1], 32),
    )


def _decoded(field: str, text: str, digest_bytes: int) -> bytes:
    try:
        digest = base64.b64decode(text, validate=True)
    except ValueError:  # binascii.Error is one, and so is text that is not ASCII
        digest = b""
    if len(digest) != digest_bytes:
        raise BadRequestError(f"{field} is not the base64 form of {digest_bytes} bytes.")
    return digest
