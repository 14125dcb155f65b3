"""Which node holds which chunk of an object: what can be said of one placement."""

from collections import Counter
from collections.abc import Collection

from twisted_store.core.ids import NodeId, Placement
from twisted_store.core.scheme import Scheme, scheme_of
from twisted_store.core.striping import DATA_CHUNKS


def placement_of(scheme: Scheme, nodes: tuple[NodeId, ...]) -> Placement:
    """
    Where the chunks go when ``nodes`` were chosen, fewer than the scheme wants leaving holes.

    A copy lies on the node after that of the chunk, so that no node has both.
    """
    if scheme is Scheme.COPIES:
        return (*nodes, *nodes[1:], nodes[0])
    return (*nodes, *[None] * (scheme.width - len(nodes)))


def closed_nodes(placement: Placement, index: int) -> frozenset[NodeId]:
    """
    The nodes that may not take chunk ``index`` besides what ``placement`` gives them.

    Those that hold a chunk; of copies, those that hold two, or the other copy of this one.
    """
    held = Counter(node_id for node_id in placement if node_id is not None)
    if scheme_of(placement) is not Scheme.COPIES:
        return frozenset(held)
    copy = placement[(index + DATA_CHUNKS) % len(placement)]
    return frozenset(node_id for node_id, chunks in held.items() if chunks > 1 or node_id == copy)


def only(placement: Placement, nodes: Collection[NodeId]) -> Placement:
    """The placement with holes where others than these nodes were."""
    return tuple(node_id if node_id in nodes else None for node_id in placement)


def holders(placement: Placement) -> frozenset[NodeId]:
    """The nodes of a placement."""
    return frozenset(node_id for node_id in placement if node_id is not None)
