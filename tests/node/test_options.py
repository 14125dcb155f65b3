"""The command line of a node."""

from pathlib import Path

import pytest
from twisted.python.usage import UsageError

from twisted_store.core.sizes import Share
from twisted_store.node.options import NodeConfig, Options, machine_id

REQUIRED = ["--data", "/data", "--api", "http://127.0.0.1:8080"]


def config(*words: str) -> NodeConfig:
    """What a command line without environment comes down to."""
    options = Options({})
    options.parseOptions(words)  # type: ignore[no-untyped-call]
    return options.config


def test_two_options_are_enough() -> None:
    """All others have a default that works on one machine."""
    assert config(*REQUIRED) == NodeConfig(
        data="/data",
        listen=("tcp:8101:interface=127.0.0.1",),
        api_url="http://127.0.0.1:8080",
        advertise_url=None,
        zone=machine_id(),
        zone_named=False,
        capacity_bytes_max=None,
        reserve=Share(fraction=0.05),
        secret=None,
        insecure=False,
        provisional_age_seconds=60.0,
        dead_grace_seconds=600.0,
        heartbeat_seconds=2.0,
        scrub_rate_bytes=4 * 2**20,
        compact_rate_bytes=32 * 2**20,
        needle_bytes_max=256 * 2**10,
        volume_bytes_max=2**30,
    )


def test_every_option_has_its_place(tmp_path: Path) -> None:
    """None is read and forgotten."""
    (tmp_path / "secret").write_text("s3cret\n")
    assert config(
        *("--data", str(tmp_path), "--api", "http://api:8080/"),
        *("--listen", "tcp:8101", "--listen", "tcp6:8101"),
        *("--advertise", "http://node7:8101", "--zone", "rack 7"),
        *("--capacity", "2GiB", "--reserve", "500MB"),
        *("--secret-file", str(tmp_path / "secret"), "--insecure"),
        *("--provisional-age", "1.5", "--dead-grace", "2", "--heartbeat", "0.5"),
        *("--scrub-rate", "1kB", "--compact-rate", "2kB"),
        *("--needle-size", "0B", "--volume-size", "3MB"),
    ) == NodeConfig(
        data=str(tmp_path),
        listen=("tcp:8101", "tcp6:8101"),
        api_url="http://api:8080",
        advertise_url="http://node7:8101",
        zone="rack 7",
        zone_named=True,
        capacity_bytes_max=2 * 2**30,
        reserve=Share(size_bytes=500_000_000),
        secret="s3cret",
        insecure=True,
        provisional_age_seconds=1.5,
        dead_grace_seconds=2.0,
        heartbeat_seconds=0.5,
        scrub_rate_bytes=1000,
        compact_rate_bytes=2000,
        needle_bytes_max=0,
        volume_bytes_max=3_000_000,
    )


@pytest.mark.parametrize("name", ["data", "api"])
def test_what_has_no_default_must_be_given(name: str) -> None:
    """The message says what it is for."""
    position = REQUIRED.index(f"--{name}")
    with pytest.raises(UsageError, match=rf"^--{name} is missing\. [A-Z].*\.$"):
        config(*REQUIRED[:position], *REQUIRED[position + 2 :])


@pytest.mark.parametrize(
    ("name", "text", "advice"),
    [
        ("listen", "8101", "endpoint"),
        ("api", "127.0.0.1:8080", "Write a URL"),
        ("api", "https://api:8443", "TLS is not supported"),
        ("advertise", "https://node7:8101", "TLS is not supported"),
        ("advertise", "node7", "Write a URL"),
        ("zone", "", "printable"),
        ("capacity", "much", "not a size"),
        ("reserve", "120%", "at most 100%"),
        ("secret-file", "/nowhere/at/all", "cannot be read"),
        ("provisional-age", "0", "above 0"),
        ("dead-grace", "-5", "above 0"),
        ("heartbeat", "often", "above 0"),
        ("scrub-rate", "0", "above 0"),
        ("scrub-rate", "fast", "not a size"),
    ],
)
def test_a_bad_value_is_refused_with_advice(name: str, text: str, advice: str) -> None:
    """Before anything is started."""
    with pytest.raises(UsageError, match=rf"^--{name} .*{advice}"):
        config(*REQUIRED, f"--{name}", text)


@pytest.mark.parametrize("words", [["--unknown", "1"], ["leftover"], ["--data"]])
def test_what_is_no_option_is_refused(words: list[str]) -> None:
    """By the parser itself."""
    with pytest.raises(UsageError):
        config(*REQUIRED, *words)


def test_the_help_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    """In sentences, with the defaults."""
    with pytest.raises(SystemExit):
        config("--help")
    text = " ".join(capsys.readouterr().out.split())
    for option in Options({}).docs:
        assert f"--{option}" in text
    for name, _, default, doc in Options.optParameters:
        assert doc is not None
        assert doc.endswith("."), name
        if default is not None:
            assert f"{doc} [default: {default}]" in text


def test_the_zone_is_the_machine_by_its_id_or_its_name(tmp_path: Path) -> None:
    """Some systems have no machine id."""
    (tmp_path / "machine-id").write_text("0123456789abcdef\n")
    assert machine_id(tmp_path / "machine-id") == "0123456789abcdef"
    assert machine_id(tmp_path / "none") != ""
