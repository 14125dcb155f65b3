"""The manifest: what an object version is. It goes with every chunk and into the catalog."""

import json
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Self

from twisted_store.core.ids import ObjectId
from twisted_store.core.scheme import Scheme
from twisted_store.core.striping import Striping
from twisted_store.errors import FormatError

ETAG_PLACEHOLDER = "0" * 64
"""Stands in for a digest not known yet, so that the encoded length is."""

FORMAT = 1
"""Raised when readers of the one before could not make sense of a manifest any more."""

_CANONICAL = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)


@dataclass(frozen=True)
class Manifest:
    """
    One version of one object.

    ``etag`` is the hex BLAKE3 of all its bytes, ``created_us`` microseconds since 1970,
    ``headers`` the response headers stored with it, as pairs of name and value.
    """

    object_id: ObjectId
    name: str
    size_bytes: int
    unit_bytes: int
    scheme: Scheme
    etag: str
    created_us: int
    content_type: str
    headers: tuple[tuple[str, str], ...]

    @property
    def striping(self) -> Striping:
        """How its bytes are cut."""
        return Striping(self.size_bytes, self.unit_bytes)

    def chunk_bytes(self, index: int) -> int:
        """Bytes of chunk ``index``, data or not."""
        return self.striping.chunk_bytes(self.scheme.model(index))

    @property
    def chunk_sizes(self) -> list[int]:
        """Bytes of each chunk."""
        sizes = self.striping.chunk_sizes
        return [sizes[self.scheme.model(index)] for index in range(self.scheme.width)]

    @property
    def modified_seconds(self) -> int:
        """``created_us`` in whole seconds, as ``Last-Modified`` has it."""
        return self.created_us // 1_000_000

    @cached_property
    def encoded(self) -> bytes:
        """Canonical JSON in UTF-8: the same manifest always gives the same bytes."""
        values = {name: getattr(self, name) for name in _FIELDS}
        return _CANONICAL.encode({"format": FORMAT, **values}).encode()

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        """
        Raise `FormatError` unless ``encoded`` is a manifest of this format.

        Fields that are not known here are passed over.
        """
        try:
            values = json.loads(encoded)
            if values["format"] != FORMAT:
                raise FormatError(
                    f"The manifest has format {values['format']!r}, this version knows {FORMAT}."
                )
            values["scheme"] = Scheme(values["scheme"])
            values["headers"] = tuple((name, value) for name, value in values["headers"])
            manifest = cls(**{name: values[name] for name in _FIELDS})
            manifest._check()
            return manifest
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise FormatError(f"Not a manifest: {error}.") from error

    @staticmethod
    def names(encoded: bytes, object_id: ObjectId) -> bool:
        """
        Whether an encoded manifest is that of the object, without looking at the rest of it.

        Quotes in names and headers are escaped, so what a client says cannot look like this.
        """
        return f'"object_id":"{object_id}"'.encode() in encoded

    def _check(self) -> None:
        """Raise `TypeError` or `ValueError` on what no reader could make sense of."""
        for number in (self.size_bytes, self.unit_bytes, self.created_us):
            if type(number) is not int:
                raise TypeError(f"{number!r} is no whole number")
        headers = [text for pair in self.headers for text in pair]
        # Fails on what is no text, and on text that UTF-8 has no bytes for.
        "".join([self.object_id, self.name, self.etag, self.content_type, *headers]).encode()
        Striping(self.size_bytes, self.unit_bytes)


_FIELDS = tuple(field.name for field in fields(Manifest))
