"""The volumes of a stopped node: shown, verified, their index made anew."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.storage.bench import Bench, chunk_id, content_of, result_of
from twisted_store.cli.main import cli
from twisted_store.cli.volume import volume
from twisted_store.core.volume import SUPERBLOCK_BYTES
from twisted_store.database import open_sqlite
from twisted_store.storage.disk import OsDisk
from twisted_store.storage.identity import hold
from twisted_store.storage.limits import StoreLimits

CHUNKS = [chunk_id(number) for number in range(8)]
CONTENT = content_of(10_000)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Path]:
    """A stopped node with three volumes: needles in all states, and an index that tells all."""
    bench = Bench(tmp_path / "node")
    bench.open_database = open_sqlite
    bench.limits = StoreLimits(reserve_bytes=0, volume_bytes_max=40_000)
    bench.restart()
    for chunk in CHUNKS:
        bench.put(chunk, CONTENT)
    result_of(bench.store.mark(confirm=CHUNKS[1:6]))
    result_of(bench.store.mark(dead=CHUNKS[4:6]))
    result_of(bench.store.discard(CHUNKS[6]))
    result_of(bench.store.stop())
    yield bench.root
    for call in bench.clock.getDelayedCalls():
        call.cancel()


def run(*words: str | Path) -> Result:
    """Run the command."""
    return CliRunner().invoke(cli, ["volume", *map(str, words)], catch_exceptions=False)


def snapshot(node: Path) -> dict[str, bytes]:
    """All files, byte by byte."""
    return {str(path): path.read_bytes() for path in node.rglob("*") if path.is_file()}


def flip(path: Path, offset: int) -> None:
    """Let a bit rot."""
    raw = bytearray(path.read_bytes())
    raw[offset] ^= 1
    path.write_bytes(raw)


def volume_file(node: Path, number: int) -> Path:
    """The file of a volume."""
    return node / "volumes" / f"{number:010}.volume"


@pytest.mark.parametrize("has_index", [True, False])
def test_ls_tells_what_is_in_each_volume(node: Path, has_index: bool) -> None:
    """By the index, or by the volumes if there is none: the same."""
    if not has_index:
        (node / "volumes" / "index.sqlite").unlink()
    before = snapshot(node)
    found = json.loads(run("ls", "--json", node).stdout)
    assert snapshot(node) == before
    assert found["source"].startswith("index" if has_index else "volumes")
    assert [each["number"] for each in found["volumes"]] == [1, 2, 3]
    assert [each["sealed"] for each in found["volumes"]] == [True, True, False]
    assert [each["batches"] for each in found["volumes"]] == [3, 3, 5]
    assert [each["first_sequence"] for each in found["volumes"]] == [1, 4, 7]
    assert found["volumes"][0]["needles"] == {
        **dict.fromkeys(("quarantined", "dead", "gone"), 0),
        **{"provisional": 1, "confirmed": 2},
    }
    assert found["volumes"][1]["needles"]["dead"] == 2
    assert found["volumes"][2]["needles"]["gone"] == 1
    sizes = [volume_file(node, number).stat().st_size for number in (1, 2, 3)]
    assert [each["size_bytes"] for each in found["volumes"]] == sizes
    assert found["volumes"][1]["live_bytes"] < found["volumes"][0]["live_bytes"] / 2


def test_ls_is_a_table_for_people(node: Path) -> None:
    """And says what it is made of."""
    lines = run("ls", node).stdout.splitlines()
    assert lines[0].split()[:3] == ["volume", "bytes", "provisional"]
    assert lines[3].endswith("active")
    assert lines[4] == "Needles and live bytes are by the index."
    (node / "volumes" / "index.sqlite").write_bytes(b"garbage" * 1000)
    assert "as the index is of no use: file is not a database" in run("ls", node).stdout


def test_sound_volumes_are_found_to_be_so(node: Path) -> None:
    """And nothing is changed by looking."""
    before = snapshot(node)
    result = run("verify", node)
    assert result.exit_code == 0, result.stdout
    assert "8 needles in 3 volumes" in result.stdout
    assert result.stdout.endswith("all is well\n")
    assert snapshot(node) == before
    assert run("verify", "--quiet", node).stdout == ""
    (node / "volumes" / "index.sqlite").unlink()
    assert run("verify", node).exit_code == 0


def test_rot_in_a_needle_is_reported_with_its_chunk(node: Path) -> None:
    """Where it is, and what."""
    flip(volume_file(node, 1), SUPERBLOCK_BYTES + 5000)
    result = run("verify", "--json", node)
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert not report["ok"]
    assert [(each["volume"], each["chunk_id"]) for each in report["damage"]] == [
        (1, None),
        (1, str(CHUNKS[0])),
    ]
    lines = run("verify", node).stdout.splitlines()
    assert lines[1].startswith(f"volume 1, byte {SUPERBLOCK_BYTES + 36}, chunk {CHUNKS[0]}: ")
    assert lines[-1].endswith("2 PLACES ARE DAMAGED")


def test_a_needle_that_only_the_index_knows_is_told_apart(node: Path) -> None:
    """Its content can be read as long as the index is there."""
    flip(volume_file(node, 1), SUPERBLOCK_BYTES)
    lines = run("verify", node).stdout.splitlines()
    assert "are no batch" in lines[0]
    assert f"chunk {CHUNKS[0]}: only the index knows this needle" in lines[1]


def test_a_volume_without_its_superblock_is_reported_as_a_whole(node: Path) -> None:
    """With the needles that only the index knows; the file stays when another one is made."""
    for place in (0, SUPERBLOCK_BYTES // 2):
        flip(volume_file(node, 1), place)
    raw = volume_file(node, 1).read_bytes()
    assert json.loads(run("ls", "--json", node).stdout)["volumes"][0]["batches"] == 0
    lines = run("verify", node).stdout.splitlines()
    assert lines[0].startswith("volume 1, byte 0: none of its batches can be verified: ")
    assert [line for line in lines if "only the index knows this needle" in line] == lines[1:4]
    result = run("rebuild-index", "--json", node)
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert (report["needles"], len(report["damage"])) == (5, 1)
    assert volume_file(node, 1).read_bytes() == raw


def test_a_batch_that_was_lost_at_the_end_of_a_volume_is_missed_by_the_index(node: Path) -> None:
    """For the volumes alone it is a torn tail."""
    raw = volume_file(node, 1).read_bytes()
    volume_file(node, 1).write_bytes(raw[:-3])
    result = run("verify", node)
    assert result.exit_code == 1
    assert f"chunk {CHUNKS[2]}: the index says that a needle is here" in result.stdout


def test_an_index_that_contradicts_the_volumes_is_found(node: Path) -> None:
    """Each row that does; and a file that is not what was written."""
    database = open_sqlite(node / "volumes" / "index.sqlite", False)
    database.execute("UPDATE needle SET state = 2 WHERE state = 4")
    database.close()
    result = run("verify", node)
    assert result.exit_code == 1
    assert "its rows are not those that were written" in result.stdout


def test_the_index_is_made_anew(node: Path) -> None:
    """With all that was in the old one."""
    before = json.loads(run("ls", "--json", node).stdout)["volumes"]
    (node / "volumes" / "index.sqlite").write_bytes(b"garbage")
    result = run("rebuild-index", node)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("8 needles are in the new index, made in ")
    after = json.loads(run("ls", "--json", node).stdout)
    assert after == {"source": "index", "volumes": before}
    assert run("verify", node).exit_code == 0


def test_damage_is_told_when_the_index_is_made_anew(node: Path) -> None:
    """On stderr; the index tells of all else."""
    flip(volume_file(node, 1), SUPERBLOCK_BYTES)
    result = run("rebuild-index", "--json", node)
    assert result.exit_code == 1
    assert "are no batch" in result.stderr
    report = json.loads(result.stdout)
    assert (report["needles"], len(report["damage"])) == (7, 1)


@pytest.mark.parametrize("command", sorted(volume.commands))
def test_a_running_node_is_left_alone(node: Path, command: str) -> None:
    """It holds its directory."""
    lock = hold(OsDisk(), str(node))
    before = snapshot(node)
    result = run(command, node)
    lock.close()
    assert result.exit_code == 5
    assert f"Another process uses the data directory {node}. Stop the node" in result.stderr
    assert snapshot(node) == before


@pytest.mark.parametrize("command", sorted(volume.commands))
def test_another_directory_is_wrong_usage(tmp_path: Path, command: str) -> None:
    """It stays as it is."""
    result = run(command, tmp_path)
    assert result.exit_code == 2
    assert "is not a node's data directory: it has no node.json" in result.stderr
    assert [*tmp_path.iterdir()] == []
    assert run(command, tmp_path / "missing").exit_code == 2


@pytest.mark.parametrize("command", sorted(volume.commands))
def test_a_node_without_volumes_has_nothing_to_show(tmp_path: Path, command: str) -> None:
    """One of an earlier version."""
    bench = Bench(tmp_path / "node")
    for path in (bench.root / "volumes").iterdir():
        path.unlink()
    (bench.root / "volumes").rmdir()
    assert run(command, bench.root).exit_code == 0
