"""The index that a store finds at its start: of now, of earlier, of another node, damaged."""

from collections.abc import Mapping, Sequence
from random import Random

from twisted_store.simulation.power_loss import Image
from twisted_store.storage.volumes import INDEX_NAME

Files = Mapping[str, bytes]
"""The contents of the index's files by their names, its seal included."""

KEPT_MAX = 30

KINDS = ("current", "current", "older", "missing", "noise", "flipped", "cut", "foreign")


def index_files(image: Image) -> Files:
    """Those in an image."""
    return {
        path.rpartition("/")[2]: content
        for path, content in image.items()
        if INDEX_NAME in path and content is not None
    }


def without_index(image: Image) -> Image:
    """All but the index."""
    return {path: content for path, content in image.items() if INDEX_NAME not in path}


class Indexes:
    """Indexes of the past, those of another node, and what may become of them."""

    def __init__(self, random: Random, foreign: Sequence[Files]) -> None:
        self._random = random
        self._earlier: list[Files] = []
        self._foreign = foreign

    def keep(self, files: Files) -> None:
        """Remember an index that stood on the disk."""
        if files:
            if len(self._earlier) >= KEPT_MAX:
                self._earlier.pop(self._random.randrange(KEPT_MAX))
            self._earlier.append(files)

    def draw(self, current: Files) -> tuple[str, Files]:
        """One of any kind, and which that is."""
        kind = self._random.choice(KINDS)
        match kind:
            case "older" if self._earlier:
                return kind, self._random.choice(self._earlier)
            case "foreign":
                return kind, self._random.choice(self._foreign)
            case "missing":
                return kind, {}
            case "noise":
                return kind, {INDEX_NAME: self._random.randbytes(self._random.randrange(9_000))}
            case "flipped" | "cut":
                files = self._random.choice([current, *self._earlier])
                return kind, {name: self._damaged(kind, files[name]) for name in files}
        return "current", current

    def _damaged(self, kind: str, content: bytes) -> bytes:
        if not content:
            return content
        if kind == "cut":
            return content[: self._random.randrange(len(content))]
        flipped = bytearray(content)
        for _ in range(self._random.choice([1, 1, 3, 100])):
            flipped[self._random.randrange(len(flipped))] ^= 1 << self._random.randrange(8)
        return bytes(flipped)
