"""`twisted-store volume`: the volumes of a node that is stopped."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from twisted_store.cli.durations import format_seconds
from twisted_store.cli.exits import ExitStatus
from twisted_store.cli.options import json_option, quiet_option, reading_progress, say
from twisted_store.cli.stopped_node import directory_argument, stopped_node
from twisted_store.cli.tables import table
from twisted_store.core.sizes import format_size

if TYPE_CHECKING:
    from twisted_store.storage.disk import Disk
    from twisted_store.storage.index import Index
    from twisted_store.storage.inspection import VolumeSummary
    from twisted_store.storage.volumes import Volumes
    from twisted_store.storage.witness import Damage

_STATES = ("provisional", "confirmed", "quarantined", "dead", "gone")
_COLUMNS = ("volume", "bytes", *_STATES, "live", "garbage", "batches", "sequences", "")


@click.group()
def volume() -> None:
    """Look into the volumes of a node that is stopped; DIR is its data directory."""


@volume.command()
@directory_argument
@json_option
@quiet_option
def ls(directory: str, as_json: bool, quiet: bool) -> None:
    """List the volumes, and what is in them."""
    from twisted_store.storage.inspection import summaries

    with (
        stopped_node(directory) as (disk, volumes),
        TemporaryDirectory() as folder,
        _index(disk, volumes, Path(folder), quiet=quiet) as (index, source),
    ):
        found = summaries(volumes, index)
        last = max(volumes.sizes, default=0)
    lines = [_row(each, is_last=each.number == last) for each in found]
    result = {
        "source": source,
        "volumes": [{**asdict(each), "sealed": each.number != last} for each in found],
    }
    text = f"{table(_COLUMNS, lines)}\nNeedles and live bytes are by the {source}."
    say(text, result, as_json=as_json, quiet=quiet)


@volume.command()
@directory_argument
@json_option
@quiet_option
@click.pass_context
def verify(context: click.Context, directory: str, as_json: bool, quiet: bool) -> None:
    """
    Read all batches and needles, and compare the index with them. Nothing is changed.

    The exit status is 0 if all is well, else 1.
    """
    began_seconds = time.monotonic()
    with stopped_node(directory) as (disk, volumes), TemporaryDirectory() as folder:
        damage, needles = _verified(disk, volumes, Path(folder), quiet=quiet)
    seconds = time.monotonic() - began_seconds
    result = {
        "ok": not damage,
        "volumes": len(volumes.sizes),
        "bytes": volumes.used_bytes,
        "needles": needles,
        "seconds": seconds,
        "damage": [_as_json(each) for each in damage],
    }
    verdict = f"{len(damage)} PLACES ARE DAMAGED" if damage else "all is well"
    text = "\n".join(
        [
            *map(_line, damage),
            f"{needles} needles in {len(volumes.sizes)} volumes,"
            f" {format_size(volumes.used_bytes)}, in {format_seconds(seconds)}: {verdict}",
        ]
    )
    say(text, result, as_json=as_json, quiet=quiet and not damage)
    context.exit(ExitStatus.FAILED if damage else ExitStatus.OK)


@volume.command("rebuild-index")
@directory_argument
@json_option
@quiet_option
@click.pass_context
def rebuild_index(context: click.Context, directory: str, as_json: bool, quiet: bool) -> None:
    """
    Remove the index, and make it anew from the volumes.

    The exit status is 1 if something in them was found to be damaged.
    """
    from twisted_store.database import open_sqlite
    from twisted_store.storage.recovery import open_log, remove_index
    from twisted_store.storage.volumes import INDEX_NAME, VOLUME_BYTES_MAX

    began_seconds = time.monotonic()
    with (
        stopped_node(directory) as (disk, volumes),
        reading_progress("reading volumes", quiet=quiet) as show,
    ):
        remove_index(disk, Path(volumes.path) / INDEX_NAME)
        witness = _BarWitness(show)
        log = open_log(disk, directory, open_sqlite, Random(), VOLUME_BYTES_MAX, witness)
        with closing(log):
            needles = log.index.rows
    seconds = time.monotonic() - began_seconds
    for each in witness.damage:
        click.echo(_line(each), err=True)
    text = f"{needles} needles are in the new index, made in {format_seconds(seconds)}"
    result = {"needles": needles, "seconds": seconds, "damage": [*map(_as_json, witness.damage)]}
    say(text, result, as_json=as_json, quiet=quiet)
    context.exit(ExitStatus.FAILED if witness.damage else ExitStatus.OK)


class _BarWitness:
    """Shows what is read in a bar, and keeps what is damaged."""

    def __init__(self, show: Callable[[int, int], None]) -> None:
        self.has_read = show
        self.damage: list[Damage] = []

    def found(self, damage: "Damage") -> None:
        self.damage.append(damage)


@contextmanager
def _index(
    disk: "Disk", volumes: "Volumes", folder: Path, *, quiet: bool
) -> Iterator[tuple["Index", str]]:
    """An index that tells all, and what it is made of."""
    from twisted_store.database import open_sqlite
    from twisted_store.storage.index_file import IndexDamagedError
    from twisted_store.storage.inspection import index_of_file, index_of_volumes

    with reading_progress("reading volumes", quiet=quiet) as show:
        witness = _BarWitness(show)
        try:
            index = index_of_file(disk, volumes, open_sqlite, folder, witness)
            source = "index"
        except IndexDamagedError as damage:
            index = index_of_volumes(volumes, open_sqlite, folder, witness)
            source = f"volumes, as the index is of no use: {damage}"
    with closing(index):
        yield index, source


def _verified(
    disk: "Disk", volumes: "Volumes", folder: Path, *, quiet: bool
) -> tuple[list["Damage"], int]:
    """All damage, and how many needles there are."""
    from twisted_store.database import open_sqlite
    from twisted_store.storage.index_file import IndexDamagedError
    from twisted_store.storage.inspection import differences, index_of_file, index_of_volumes
    from twisted_store.storage.volumes import INDEX_NAME
    from twisted_store.storage.witness import Damage

    with reading_progress("verifying", quiet=quiet) as show:
        witness = _BarWitness(show)
        anew = index_of_volumes(volumes, open_sqlite, folder, witness)
    damage = witness.damage
    with closing(anew):
        if disk.size_bytes(f"{volumes.path}/{INDEX_NAME}") is None:
            return damage, anew.rows
        try:
            index = index_of_file(disk, volumes, open_sqlite, folder, _BarWitness(_unseen))
        except IndexDamagedError as problem:
            what = f"the index is of no use, and the next start makes it anew: {problem}"
            return [*damage, Damage(0, 0, None, what)], anew.rows
        with closing(index), volumes.opened() as opened:
            damaged = {each.chunk_id for each in damage if each.chunk_id is not None}
            damage += differences(index, anew, opened, damaged)
        return damage, anew.rows


def _unseen(_done_bytes: int, _all_bytes: int) -> None:
    """What was read before is not shown again."""


def _row(summary: "VolumeSummary", *, is_last: bool) -> list[str]:
    return [
        str(summary.number),
        format_size(summary.size_bytes),
        *(str(summary.needles[state]) for state in _STATES),
        format_size(summary.live_bytes),
        f"{summary.garbage:.1%}",
        str(summary.batches),
        f"{summary.first_sequence}-{summary.last_sequence}",
        "active" if is_last else "sealed",
    ]


def _line(damage: "Damage") -> str:
    if not damage.volume:
        return damage.what
    chunk = "" if damage.chunk_id is None else f", chunk {damage.chunk_id}"
    return f"volume {damage.volume}, byte {damage.offset}{chunk}: {damage.what}"


def _as_json(damage: "Damage") -> dict[str, Any]:
    chunk_id = None if damage.chunk_id is None else str(damage.chunk_id)
    return {**damage._asdict(), "chunk_id": chunk_id}
