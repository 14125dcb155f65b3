"""Objects to be committed, and conditions to commit them under."""

from twisted_store.catalog.catalog import Catalog
from twisted_store.core.conditions import Conditions, EntityTag, EntityTags
from twisted_store.core.ids import NodeId, ObjectId, Placement, object_id
from twisted_store.core.manifest import Manifest
from twisted_store.core.scheme import Scheme

NODES = tuple(NodeId(f"{number:016x}") for number in range(10))
PLACEMENT = NODES[:5]
OTHER_PLACEMENT = NODES[5:]


def id_of(number: int) -> ObjectId:
    """The id of the version that `manifest_of` gives for this number."""
    return object_id(1, number, number * 7)


def manifest_of(name: str, number: int, size_bytes: int = 100) -> Manifest:
    """A version of an object; its ETag is ``e`` and the number."""
    return Manifest(
        object_id=id_of(number),
        name=name,
        size_bytes=size_bytes,
        unit_bytes=1 << 20,
        scheme=Scheme.PLAIN,
        etag=f"e{number}",
        created_us=1_700_000_000_000_000 + number,
        content_type="text/plain",
        headers=(("X-Meta-Number", str(number)),),
    )


def if_absent() -> Conditions:
    """``If-None-Match: *``."""
    return Conditions(if_none_match=EntityTags(any_tag=True))


def if_match(etag: str | None) -> Conditions:
    """``If-Match`` with this ETag, or no condition."""
    if etag is None:
        return Conditions()
    return Conditions(if_match=EntityTags((EntityTag(etag),)))


async def objects_by_placement(catalog: Catalog) -> dict[Placement, int]:
    """How many objects have each placement."""
    return {group.placement: group.objects for group in await catalog.groups()}
