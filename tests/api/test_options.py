"""The command line of the api comes down to one value."""

from pathlib import Path

import pytest
from twisted.python.usage import UsageError

from twisted_store.api.options import ApiConfig, Options
from twisted_store.core.durability import NONE, STRICT, Durability, DurabilityMode
from twisted_store.core.scheme import AUTO, Scheme, SchemeRules


def parsed(*words: str, **environment: str) -> ApiConfig:
    """The config that these words, and variables, give."""
    options = Options({f"TWISTED_STORE_{name}": text for name, text in environment.items()})
    options.parseOptions(["--data", "/data", *words])  # type: ignore[no-untyped-call]
    return options.config


def test_the_defaults_are_those_of_the_design() -> None:
    """Only the directory has none."""
    assert parsed() == ApiConfig(
        data="/data",
        listen=("tcp:8080:interface=127.0.0.1",),
        secret=None,
        insecure=False,
        durability=STRICT,
        suspect_after_seconds=15.0,
        lost_after_seconds=1800.0,
        move_rate_bytes=64 * 2**20,
        node_timeout_seconds=10.0,
        client_timeout_seconds=60.0,
        upload_memory_bytes=256 * 2**20,
        download_memory_bytes=256 * 2**20,
        object_bytes_max=None,
    )


def test_schemes_are_chosen_for_all_and_by_prefix() -> None:
    """Blanks separate the rules, so one in a prefix is escaped."""
    config = parsed("--scheme", "5x2", SCHEME_FOR="a/=5+1 b%20b/=auto ä=5+0")
    assert config.rules == SchemeRules(
        Scheme.COPIES, (("a/", Scheme.PARITY_1), ("b b/", AUTO), ("ä", Scheme.PLAIN))
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scheme", "5+4"], "--scheme 5\\+4: '5\\+4' is not a scheme: write auto, 5\\+0"),
        (["--scheme-for", "a/"], "write PREFIX=SCHEME"),
        (["--scheme-for", "=5+1"], "write PREFIX=SCHEME"),
        (["--scheme-for", "a/=raid"], "'raid' is not a scheme"),
        (["--scheme-for", "%ff=5+1"], "--scheme-for"),
    ],
)
def test_what_is_no_scheme_is_refused(words: list[str], message: str) -> None:
    """With what could be written."""
    with pytest.raises(UsageError, match=message):
        parsed(*words)


def test_everything_can_be_set(tmp_path: Path) -> None:
    """In the units that an operator writes."""
    (tmp_path / "secret").write_text("s3cret\n")
    config = parsed(
        *("--listen", "tcp:1", "--listen", "tcp:2", "--insecure"),
        *("--secret-file", str(tmp_path / "secret")),
        *("--durability", "none", "--suspect-after", "1.5", "--lost-after", "90"),
        *("--node-timeout", "2"),
        *("--client-timeout", "3", "--upload-memory", "1GiB", "--download-memory", "2MB"),
        *("--object-size-max", "5GiB", "--move-rate", "1MiB"),
    )
    assert config == ApiConfig(
        data="/data",
        listen=("tcp:1", "tcp:2"),
        secret="s3cret",
        insecure=True,
        durability=NONE,
        suspect_after_seconds=1.5,
        lost_after_seconds=90.0,
        move_rate_bytes=2**20,
        node_timeout_seconds=2.0,
        client_timeout_seconds=3.0,
        upload_memory_bytes=2**30,
        download_memory_bytes=2_000_000,
        object_bytes_max=5 * 2**30,
    )


def test_the_window_counts_in_relaxed_durability_only() -> None:
    """P2: one second unless said otherwise."""
    relaxed = DurabilityMode.RELAXED
    assert parsed("--durability", "relaxed").durability == Durability(relaxed, 1.0)
    given = parsed("--durability", "relaxed", "--relaxed-window", "0.2")
    assert given.durability == Durability(relaxed, 0.2)
    assert parsed("--relaxed-window", "0.2").durability == STRICT


def test_the_environment_says_the_same() -> None:
    """And the command line wins."""
    assert parsed(OBJECT_SIZE_MAX="1MiB").object_bytes_max == 2**20
    assert parsed("--object-size-max", "2MiB", OBJECT_SIZE_MAX="1MiB").object_bytes_max == 2**21


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("durability", "most"),
        ("relaxed-window", "0"),
        ("suspect-after", "soon"),
        ("node-timeout", "-1"),
        ("client-timeout", "inf"),
        ("upload-memory", "much"),
        ("download-memory", "-1"),
        ("object-size-max", "5 apples"),
        ("listen", "nonsense:1"),
    ],
)
def test_a_bad_value_is_named(option: str, text: str) -> None:
    """Before anything starts."""
    with pytest.raises(UsageError, match=f"--{option}"):
        parsed(f"--{option}", text)


def test_the_directory_must_be_said() -> None:
    """There is no good guess."""
    with pytest.raises(UsageError, match="--data is missing"):
        Options({}).parseOptions([])  # type: ignore[no-untyped-call]
