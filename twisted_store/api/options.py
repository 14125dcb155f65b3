"""The command line of `twistd storeapi`, and what it comes down to."""

from dataclasses import dataclass
from urllib.parse import unquote

from twisted_store.core.batch import BATCH_CHUNKS_MAX, OPERATIONS_MAX
from twisted_store.core.durability import Durability, DurabilityMode
from twisted_store.core.scheme import AUTO, SchemeChoice, SchemeRules, parse_choice
from twisted_store.core.sizes import parse_size
from twisted_store.options import RoleOptions, directory, one_of, seconds, secret_file


@dataclass(frozen=True, slots=True)
class ApiConfig:
    """
    All that can be set.

    ``data`` is a directory, ``listen`` Twisted endpoint strings; ``object_bytes_max`` None means
    that files may have any size, ``move_rate_bytes`` per second None that chunks are moved as fast
    as can be.
    """

    data: str
    listen: tuple[str, ...]
    secret: str | None
    insecure: bool
    durability: Durability
    suspect_after_seconds: float
    lost_after_seconds: float
    node_timeout_seconds: float
    client_timeout_seconds: float
    upload_memory_bytes: int
    download_memory_bytes: int
    object_bytes_max: int | None
    rules: SchemeRules = SchemeRules()
    move_rate_bytes: int | None = None
    batch_chunks_max: int = BATCH_CHUNKS_MAX


class Options(RoleOptions):
    """Options of the api; `config` is there once they are parsed."""

    config: ApiConfig
    synopsis = "--data DIR [options]"
    listen_default = "tcp:8080:interface=127.0.0.1"
    insecure_text = (
        "Serve other machines, with or without a secret, although clients are not asked for "
        "anything: whoever reaches the port can read and change everything."
    )
    secret_text = "Clients are not asked for it, so it does not open the api to other machines."
    optParameters = [
        [
            "durability",
            None,
            "strict",
            "Acknowledge a file when it is synced everywhere (strict), when it survives the end of "
            "any process (relaxed: a power loss may take the last --relaxed-window), or without "
            "ever syncing (none, for benchmarks only).",
        ],
        [
            "relaxed-window",
            None,
            "1",
            "With --durability relaxed, sync everything within so many seconds.",
        ],
        [
            "scheme",
            None,
            AUTO,
            "How much redundancy new files get: 5+0 to 5+3 (that many parity chunks), 5x2 (two "
            "copies), or auto (as much parity as the nodes allow, 5+2 at most).",
        ],
        [
            "scheme-for",
            None,
            None,
            "PREFIX=SCHEME, several separated by blanks: new files whose names begin so get that "
            "scheme, the longest prefix counts. A blank in a prefix is written %20. What an upload "
            "asks for itself (X-Scheme) goes before.",
        ],
        [
            "suspect-after",
            None,
            "15",
            "Give no new chunks to a node that was not heard of for these seconds.",
        ],
        [
            "lost-after",
            None,
            "1800",
            "Make the chunks of a node anew elsewhere when it was not heard of, or could not be "
            "reached, for these seconds.",
        ],
        [
            "move-rate",
            None,
            "64MiB",
            "Make or move at most this much of chunks in a second, none for no limit. What an "
            "operator says later (twisted-store repair --rate) goes before.",
        ],
        [
            "node-timeout",
            None,
            "10",
            "Give up on a call to a node that makes no progress for these seconds.",
        ],
        [
            "batch-chunks-max",
            None,
            str(BATCH_CHUNKS_MAX),
            "Send at most so many small chunks to a node in one call; with 1 each goes alone.",
        ],
        [
            "client-timeout",
            None,
            "60",
            "Give up on a client that neither sends nor takes anything for these seconds.",
        ],
        ["upload-memory", None, "256MiB", "Let all uploads together hold at most this much."],
        ["download-memory", None, "256MiB", "Let all downloads together hold at most this much."],
        [
            "object-size-max",
            None,
            None,
            "Refuse files larger than this. Without it, files may have any size.",
        ],
    ]

    def postOptions(self) -> None:
        """Read everything at once, so that a bad value is known before anything starts."""
        self.config = ApiConfig(
            data=str(self.required("data", directory)),
            listen=self.listen(),
            secret=self.optional("secret-file", secret_file),
            insecure=self.switch("insecure"),
            durability=self._durability(),
            suspect_after_seconds=self.required("suspect-after", seconds),
            lost_after_seconds=self.required("lost-after", seconds),
            move_rate_bytes=self.optional("move-rate", rate),
            node_timeout_seconds=self.required("node-timeout", seconds),
            batch_chunks_max=self.required("batch-chunks-max", batch_chunks),
            client_timeout_seconds=self.required("client-timeout", seconds),
            upload_memory_bytes=self.required("upload-memory", parse_size),
            download_memory_bytes=self.required("download-memory", parse_size),
            object_bytes_max=self.optional("object-size-max", parse_size),
            rules=SchemeRules(
                self.required("scheme", parse_choice),
                self.optional("scheme-for", scheme_rules) or (),
            ),
        )

    def _durability(self) -> Durability:
        modes = [mode.value for mode in DurabilityMode]
        mode = DurabilityMode(self.required("durability", one_of(*modes)))
        window_seconds = self.required("relaxed-window", seconds)
        return Durability(mode, window_seconds if mode is DurabilityMode.RELAXED else 0.0)


def rate(text: str) -> int | None:
    """Bytes per second, None for ``none``; raises ValueError with a sentence."""
    if text == "none":
        return None
    size_bytes = parse_size(text)
    if not size_bytes:
        raise ValueError("Write a size above 0, like 64MiB, or none.")
    return size_bytes


def batch_chunks(text: str) -> int:
    """A number of chunks; raises ValueError with a sentence."""
    if not text.isdecimal() or not 0 < int(text) <= OPERATIONS_MAX:
        raise ValueError(f"Write a number from 1 to {OPERATIONS_MAX}.")
    return int(text)


def scheme_rules(text: str) -> tuple[tuple[str, SchemeChoice], ...]:
    """Pairs of prefix and choice; raises ValueError with a sentence."""
    return tuple(map(_scheme_rule, text.split()))


def _scheme_rule(text: str) -> tuple[str, SchemeChoice]:
    prefix, equals, choice = text.rpartition("=")
    if not (prefix and equals):
        raise ValueError(f"{text!r} is no rule: write PREFIX=SCHEME.")
    return unquote(prefix, errors="strict"), parse_choice(choice)
