"""The command line of `twistd storenode`, and what it comes down to."""

import socket
from dataclasses import dataclass
from pathlib import Path

from twisted_store.core.sizes import Share, format_size, parse_share, parse_size
from twisted_store.options import (
    RoleOptions,
    base_url,
    directory,
    seconds,
    secret_file,
    some_text,
)
from twisted_store.storage.writer import WRITE_BYTES_MIN

MACHINE_ID_FILE = Path("/etc/machine-id")


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """
    All that can be set.

    ``data`` is a directory, ``listen`` Twisted endpoint strings; ``advertise_url`` None means the
    first address listened on, ``capacity_bytes_max`` None as much as the disk has; ``reserve`` is a
    share of the disk. ``zone_named`` is False when nobody named the ``zone``: then it is the
    machine. ``scrub_rate_bytes`` are read in a second, ``compact_rate_bytes`` read and written.
    Chunks of fewer than ``needle_bytes_max`` go into volumes of up to ``volume_bytes_max``.
    """

    data: str
    listen: tuple[str, ...]
    api_url: str
    advertise_url: str | None
    zone: str
    zone_named: bool
    capacity_bytes_max: int | None
    reserve: Share
    secret: str | None
    insecure: bool
    provisional_age_seconds: float
    dead_grace_seconds: float
    heartbeat_seconds: float
    scrub_rate_bytes: int
    compact_rate_bytes: int
    needle_bytes_max: int
    volume_bytes_max: int


class Options(RoleOptions):
    """Options of a node; `config` is there once they are parsed."""

    config: NodeConfig
    synopsis = "--data DIR --api URL [options]"
    listen_default = "tcp:8101:interface=127.0.0.1"
    insecure_text = (
        "Serve other machines although there is no secret to ask them for: whoever reaches the "
        "port can read and change everything."
    )
    secret_text = "Without it a node serves its own machine only."
    optParameters = [
        ["api", None, None, "Report to the api at this URL, like http://127.0.0.1:8080. Required."],
        [
            "advertise",
            None,
            None,
            "Tell the api to reach this node at this URL. Without it, at the first address it "
            "listens on.",
        ],
        [
            "zone",
            None,
            None,
            "Name what this node shares with others that may fail together with it. Without it, "
            "the id of this machine.",
        ],
        [
            "capacity",
            None,
            None,
            "Hold at most this much, like 2GiB or 500MB. Without it, what the disk has.",
        ],
        [
            "reserve",
            None,
            "5%",
            "Take no more chunks when the disk has only this much free: a size, or a part of the "
            "disk in percent.",
        ],
        [
            "provisional-age",
            None,
            "60",
            "Ask the api about a chunk whose upload was not heard of again for these seconds.",
        ],
        [
            "dead-grace",
            None,
            "600",
            "Keep the bytes of a deleted chunk for these seconds before they are reclaimed.",
        ],
        ["heartbeat", None, "2", "Report to the api every so many seconds, or more often."],
        [
            "scrub-rate",
            None,
            "4MiB",
            "Read so much of what is stored in a second, to find damage before somebody needs it.",
        ],
        [
            "compact-rate",
            None,
            "32MiB",
            "Read and write so much in a second to get back the space of small chunks that are "
            "gone.",
        ],
        [
            "needle-size",
            None,
            "256KiB",
            "Append chunks smaller than this to volumes; larger ones get a file each.",
        ],
        ["volume-size", None, "1GiB", "Begin another volume when one would become larger."],
    ]

    def postOptions(self) -> None:
        """Read everything at once, so that a bad value is known before anything starts."""
        zone = self.optional("zone", some_text)
        self.config = NodeConfig(
            data=str(self.required("data", directory)),
            listen=self.listen(),
            api_url=self.required("api", base_url),
            advertise_url=self.optional("advertise", base_url),
            zone=zone or machine_id(),
            zone_named=zone is not None,
            capacity_bytes_max=self.optional("capacity", parse_size),
            reserve=self.required("reserve", parse_share),
            secret=self.optional("secret-file", secret_file),
            insecure=self.switch("insecure"),
            provisional_age_seconds=self.required("provisional-age", seconds),
            dead_grace_seconds=self.required("dead-grace", seconds),
            heartbeat_seconds=self.required("heartbeat", seconds),
            scrub_rate_bytes=self.required("scrub-rate", _positive_size),
            compact_rate_bytes=self.required("compact-rate", _positive_size),
            needle_bytes_max=self.required("needle-size", _needle_size),
            volume_bytes_max=self.required("volume-size", _positive_size),
        )


def _needle_size(text: str) -> int:
    size_bytes = parse_size(text)
    if size_bytes > WRITE_BYTES_MIN:
        raise ValueError(f"Write a size up to {format_size(WRITE_BYTES_MIN)}, like 256KiB.")
    return size_bytes


def _positive_size(text: str) -> int:
    size_bytes = parse_size(text)
    if size_bytes == 0:
        raise ValueError("Write a size above 0, like 4MiB.")
    return size_bytes


def machine_id(file: Path = MACHINE_ID_FILE) -> str:
    """The id that the system gave this machine, or its host name."""
    try:
        known = file.read_text().strip()
    except OSError:
        known = ""
    return known or socket.gethostname()
