"""The document suffices: a reader that was written by it alone finds what the engine finds."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.storage import independent_reader
from tests.storage.bench import content_of
from tests.storage.independent_reader import CONFIRMED, GONE, read_chunks, read_superblock
from tests.storage.log_bench import LogBench
from twisted_store.core.volume import NeedleState
from twisted_store.core.whole_chunk import decode_whole
from twisted_store.errors import CorruptionError
from twisted_store.storage.inspection import rows
from twisted_store.storage.needle_log import read_needle

DOCUMENT = Path(__file__).parents[2] / "docs" / "formats.md"
EXAMPLE = re.compile(r"^\*\*An example\*\*: a volume.*?```\n(.*?)```", re.MULTILINE | re.DOTALL)
CHUNK_EXAMPLE = re.compile(r"^The file of chunk 4 .*?```\n(.*?)```", re.MULTILINE | re.DOTALL)

NUMBERS = range(12)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[LogBench]:
    """Volumes that are full soon."""
    bench = LogBench(tmp_path / "node", volume_bytes_max=30_000)
    yield bench
    bench.kill()


def by_engine(bench: LogBench) -> dict[bytes, tuple[int, int, bytes | None]]:
    """State, volume and bytes of each chunk, as the engine tells them."""
    found: dict[bytes, tuple[int, int, bytes | None]] = {}
    with bench.log.volumes.opened() as volumes:
        for packed, row in rows(bench.log.index):
            if row.state == GONE:
                continue
            try:
                blocks = bytes(decode_whole(read_needle(packed, row, volumes)).blocks)
            except CorruptionError:
                found[packed] = (int(row.state), row.volume, None)
            else:
                found[packed] = (int(row.state), row.volume, blocks)
    return found


def by_reader(bench: LogBench) -> dict[bytes, tuple[int, int, bytes | None]]:
    """The same, as the other reader tells them."""
    chunks = read_chunks(bench.root / "volumes")
    return {packed: (each.state, each.volume, each.content) for packed, each in chunks.items()}


def live(bench: LogBench, seed: int) -> None:
    """Let chunks live, and volumes be compacted."""
    random = Random(seed)
    for _ in range(60):
        number = random.choice(NUMBERS)
        match random.randrange(6):
            case 0 | 1:
                if bench.state(number) is not NeedleState.CONFIRMED:
                    bench.put(number, content_of(random.choice([1, 900, 5000])))
            case 2 | 3:
                state = random.choice(list(NeedleState)[1:])
                known = [each for each in NUMBERS if bench.state(each) is not None]
                bench.mark(state, *(each for each in known if bench.row(each).may_become(state)))
            case 4 if bench.volumes:
                bench.compact(random.choice(bench.volumes))
            case _:
                bench.pass_grace()
    bench.put(NUMBERS[-1] + 1)


def test_it_uses_nothing_of_the_product() -> None:
    """Only what stands in the document."""
    tree = ast.parse(Path(independent_reader.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {
        name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    }
    assert imported == {"struct", "collections.abc", "dataclasses", "pathlib"}
    assert independent_reader.crc(b"123456789") == 0xE3069283


@pytest.mark.parametrize("seed", range(10))
def test_both_find_the_same_chunks_states_and_bytes(bench: LogBench, seed: int) -> None:
    """Whatever was written, and compacted; also after the engine read it all anew."""
    live(bench, seed)
    found = by_engine(bench)
    assert found
    assert by_reader(bench) == found
    bench.restart(keeps_index=False)
    assert by_engine(bench) == found


@pytest.mark.parametrize("seed", range(10))
def test_both_find_the_same_in_what_is_damaged(bench: LogBench, seed: int) -> None:
    """Rot at any place, and a torn tail."""
    live(bench, seed)
    bench.put(3, content_of(70_000))
    random = Random(seed)
    for _ in range(3):
        volume = random.choice(bench.volumes)
        size_bytes = bench.volume(volume).stat().st_size
        bench.flip(volume, random.randrange(size_bytes))
    last = bench.volume(bench.volumes[-1])
    last.write_bytes(last.read_bytes()[: -random.randrange(1, 50)])
    found = by_reader(bench)
    bench.restart(keeps_index=False)
    assert by_engine(bench) == found


def test_the_example_is_what_it_says(tmp_path: Path) -> None:
    """Read from the document itself, its omissions filled in."""
    document = DOCUMENT.read_text()
    [text], [chunk_text] = EXAMPLE.findall(document), CHUNK_EXAMPLE.findall(document)
    chunk = _bytes(chunk_text)
    lines = text.splitlines()
    raw = 2 * b"".join(_bytes(line) for line in lines[:2])
    raw += _bytes(lines[3]) + _bytes(lines[4])[:12] + chunk
    raw += b"".join(_bytes(line) for line in lines[5:])
    assert read_superblock(raw[:128], 1) == independent_reader.crc(bytes(range(16)))
    (tmp_path / "0000000001.volume").write_bytes(raw)
    packed = bytes.fromhex("0000000100000000000200000000000304")
    [(found, told)] = read_chunks(tmp_path).items()
    assert found == packed
    assert (told.state, told.content, told.manifest) == (CONFIRMED, b"x", b"{}")


def _bytes(text: str) -> bytes:
    """The bytes of hex digits in the way of the document."""
    text = re.sub(r"00 \((\d+) times\)", lambda match: "00 " * int(match[1]), text)
    return bytes.fromhex("".join(re.findall(r"\b[0-9a-f]{2}\b", text.split("(")[0])))
