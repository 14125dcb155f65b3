"""Manifests, as they come out of a chunk."""

import json
from dataclasses import replace

from tests.fuzz.target import Target
from twisted_store.core.ids import object_id
from twisted_store.core.manifest import ETAG_PLACEHOLDER, Manifest
from twisted_store.core.scheme import Scheme
from twisted_store.errors import FormatError

PLAIN = Manifest(
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


def take(raw: bytes) -> str:
    """A manifest that is accepted can be encoded, and tells the sizes of its chunks."""
    manifest = Manifest.decode(raw)
    encoded = manifest.encoded
    assert Manifest.decode(encoded) == manifest
    assert Manifest.decode(encoded).encoded == encoded
    sizes = manifest.chunk_sizes
    assert min(sizes) >= 0
    assert sum(sizes) >= manifest.size_bytes
    assert manifest.modified_seconds == manifest.created_us // 10**6
    canonical = encoded == raw
    return f"{manifest.scheme}, canonical {canonical}, {min(len(manifest.headers), 3)} headers"


TARGET = Target(
    samples=[
        PLAIN.encoded,
        replace(PLAIN, name="\u2603", scheme=Scheme("5+2"), headers=()).encoded,
        replace(PLAIN, size_bytes=2**40, headers=(("A", "b"), ("C", "\u00e9"))).encoded,
        json.dumps({"format": 1, "colour": "blue", **json.loads(PLAIN.encoded)}).encode(),
        json.dumps(json.loads(replace(PLAIN, name="\U0001f600").encoded)).encode(),
    ],
    take=take,
    errors=(FormatError,),
)
