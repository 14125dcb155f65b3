"""Request targets: the raw path and query of a request, taken apart without a router."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from twisted_store.errors import BadRequestError, NotFoundError

PLACEHOLDER = b"NAME"
"""What the router sees where the target has a tail: a route is literally ``/files/NAME``."""

QUERY_PARAMETERS_MAX = 16

_MALFORMED_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE_FORM = re.compile(rb"https?://[^/?]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """
    Where a request goes.

    ``segments`` are those of the path that the router sees, decoded; ``tail`` is what follows the
    prefix of a tail path, decoded once, and empty for other paths.
    """

    segments: tuple[bytes, ...]
    tail: bytes
    query: bytes


def split_target(uri: bytes, tails: Collection[bytes]) -> Target:
    """
    Take a request target (RFC 9112 section 3.2, origin or absolute form) apart.

    A path that begins with one of the prefixes ``tails``, each one segment like ``/files/``, has a
    tail, in which slashes, escaped or not, and dots are bytes like all others. In every other path
    an empty segment or an escaped slash names nothing. Raises BadRequestError, NotFoundError.
    """
    path, _, query = _origin_form(uri).partition(b"?")
    head, slash, rest = path[1:].partition(b"/")
    segment = percent_decode(head)
    if slash and b"/" + segment + b"/" in tails:
        return Target((segment, PLACEHOLDER), percent_decode(rest), query)
    segments = tuple(map(percent_decode, path[1:].split(b"/")))
    if b"" in segments[:-1] or any(b"/" in segment for segment in segments):
        raise NotFoundError("There is nothing at this path.")
    _utf8(b"".join(segments))
    return Target(segments, b"", query)


def parse_query(query: bytes) -> dict[str, str]:
    """
    The parameters of a query, ``+`` standing for a space.

    Raises BadRequestError for a parameter given twice, malformed escapes and what is not UTF-8.
    """
    parameters: dict[str, str] = {}
    for pair in query.split(b"&") if query else []:
        name, _, value = (
            _utf8(percent_decode(part)) for part in pair.replace(b"+", b" ").partition(b"=")
        )
        if name in parameters:
            raise BadRequestError(f"The query has {name!r} twice.")
        if len(parameters) == QUERY_PARAMETERS_MAX:
            raise BadRequestError(f"The query has more than {QUERY_PARAMETERS_MAX} parameters.")
        parameters[name] = value
    return parameters


def percent_decode(escaped: bytes) -> bytes:
    """The bytes that ``escaped`` stands for (RFC 3986 section 2.1), decoded once."""
    if b"%" not in escaped:
        return escaped
    if _MALFORMED_ESCAPE.search(escaped):
        raise BadRequestError("A percent sign needs two hexadecimal digits; %25 stands for itself.")
    return unquote_to_bytes(escaped)


def _origin_form(uri: bytes) -> bytes:
    if uri.startswith(b"/"):
        return uri
    match = _ABSOLUTE_FORM.match(uri)
    if match is None:
        raise BadRequestError("The request target must be a path that begins with a slash.")
    origin_form = uri[match.end() :]
    return origin_form if origin_form.startswith(b"/") else b"/" + origin_form


def _utf8(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequestError("The request target is not UTF-8.") from None
