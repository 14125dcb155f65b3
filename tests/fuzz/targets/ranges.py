"""``Range`` headers; the first two bytes of an input are the size of the file."""

from tests.fuzz.target import Target
from twisted_store.errors import RangeNotSatisfiableError
from twisted_store.web.ranges import parse_range


def take(raw: bytes) -> str:
    """A range lies in the file, and asked for again as it is named it is the same."""
    size_bytes = int.from_bytes(raw[:2])
    part = parse_range(raw[2:].decode("latin-1"), size_bytes)
    if part is None:
        return "the whole file"
    assert 0 <= part.first <= part.last < size_bytes
    assert parse_range(f"bytes={part.first}-{part.last}", size_bytes) == part
    return f"all of it {part.size_bytes == size_bytes}, to its end {part.last + 1 == size_bytes}"


TARGET = Target(
    samples=[
        b"\0\x0a" + header
        for header in (b"bytes=0-9", b"bytes=3-", b"bytes=-4", b"bytes=0-1,3-4", b" Bytes=1-2 ")
    ],
    take=take,
    errors=(RangeNotSatisfiableError,),
)
