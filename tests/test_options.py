"""Options: command line over environment over defaults, and errors that say what to write."""

from pathlib import Path

import pytest
from twisted.python.usage import UsageError

from twisted_store import __version__
from twisted_store.core.sizes import parse_size
from twisted_store.options import (
    RoleOptions,
    base_url,
    directory,
    one_of,
    seconds,
    secret_file,
    some_text,
)


class ExampleOptions(RoleOptions):
    """A role with one option of its own."""

    listen_default = "tcp:8101:interface=127.0.0.1"
    insecure_text = "What it is to be insecure."
    secret_text = "What the secret is for."
    optParameters = [["size", None, "1KiB", "The size of the thing."]]


def parse(*words: str, **environment: str) -> ExampleOptions:
    """The options after parsing a command line in an environment."""
    variables = {f"TWISTED_STORE_{name.upper()}": value for name, value in environment.items()}
    options = ExampleOptions(variables)
    options.parseOptions(words)  # type: ignore[no-untyped-call]
    return options


def test_the_command_line_wins_over_the_environment_and_that_over_the_default() -> None:
    """Even when the command line repeats the default; an empty variable counts as none."""
    assert parse().required("size", parse_size) == 1024
    assert parse(size="").required("size", parse_size) == 1024
    assert parse(size="2KiB").required("size", parse_size) == 2048
    assert parse("--size", "1KiB", size="2KiB").required("size", parse_size) == 1024


def test_listen_may_be_given_several_times_and_replaces_what_the_environment_says() -> None:
    """In the environment blanks separate the endpoints."""
    assert parse().listen() == ("tcp:8101:interface=127.0.0.1",)
    assert parse(listen="tcp:1 tcp:2").listen() == ("tcp:1", "tcp:2")
    assert parse("--listen", "tcp:3", "--listen", "tcp:4", listen="tcp:1").listen() == (
        "tcp:3",
        "tcp:4",
    )


@pytest.mark.parametrize("text", ["8101", "tcp", "tcp:many", "tcp:1:speed=2", "bogus:1"])
def test_what_is_no_endpoint_is_refused_before_anything_starts(text: str) -> None:
    """With an example of one."""
    with pytest.raises(UsageError, match=r"^--listen .*: Write a Twisted endpoint like tcp:8080"):
        parse("--listen", text).listen()


@pytest.mark.parametrize(
    ("word", "on"), [("1", True), ("yes", True), ("TRUE", True), ("0", False), ("off", False)]
)
def test_a_flag_is_a_word_in_the_environment(word: str, on: bool) -> None:
    """The words people use for it."""
    assert parse(insecure=word).switch("insecure") is on


def test_a_flag_is_off_unless_given() -> None:
    """And on when given."""
    assert parse().switch("insecure") is False
    assert parse("--insecure", insecure="0").switch("insecure") is True


def test_errors_name_the_option_or_the_variable_that_holds_the_bad_value() -> None:
    """So that it is found, wherever it was written."""
    with pytest.raises(UsageError, match=r"^--size big: 'big' is not a size: write it like"):
        parse("--size", "big").required("size", parse_size)
    with pytest.raises(UsageError, match=r"^TWISTED_STORE_SIZE=big: 'big' is not a size"):
        parse(size="big").required("size", parse_size)
    with pytest.raises(UsageError, match=r"^TWISTED_STORE_INSECURE=maybe: write 1"):
        parse(insecure="maybe").switch("insecure")


def test_a_missing_required_option_is_explained() -> None:
    """The message repeats what the help says of it."""
    with pytest.raises(UsageError, match=r"^--data is missing\. Keep everything"):
        parse().required("data", directory)
    assert parse().optional("data", directory) is None


def test_the_help_names_every_option_its_default_and_the_environment(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What an operator reads first."""
    with pytest.raises(SystemExit):
        parse("--help")
    text = " ".join(capsys.readouterr().out.split())
    for words in ("--data=", "--insecure", "--secret-file=", "TWISTED_STORE_SECRET_FILE"):
        assert words in text
    assert "[default: tcp:8101:interface=127.0.0.1]" in text
    assert "The size of the thing. [default: 1KiB]" in text
    assert "What it is to be insecure." in text
    assert "All of them need the same one. What the secret is for." in text


def test_the_version_is_ours(capsys: pytest.CaptureFixture[str]) -> None:
    """Not that of Twisted."""
    with pytest.raises(SystemExit):
        parse("--version")
    assert capsys.readouterr().out == f"twisted-store {__version__}\n"


@pytest.mark.parametrize("text", ["0", "-1", "soon", "inf", "nan", ""])
def test_a_time_span_is_a_number_above_zero(text: str) -> None:
    """Zero would make a loop spin."""
    assert seconds("0.5") == 0.5
    with pytest.raises(ValueError, match="number of seconds above 0"):
        seconds(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:8080",
        "ftp://host",
        "http://",
        "http://host:port",
        "http://host:0",
        "http://host/?q",
        "http://user:password@host",
    ],
)
def test_a_url_has_scheme_and_host_and_no_more_than_a_path(text: str) -> None:
    """Whatever else would be lost when paths are appended."""
    with pytest.raises(ValueError, match="Write a URL like"):
        base_url(text)


def test_a_url_loses_its_trailing_slash() -> None:
    """Paths are appended with one."""
    assert base_url("http://[::1]:8080/") == "http://[::1]:8080"
    assert base_url("http://host/store/") == "http://host/store"


def test_a_url_that_would_need_tls_is_refused_with_a_way_out() -> None:
    """Taken, it would be called in the clear."""
    with pytest.raises(ValueError, match=r"^TLS is not supported yet: write http://.*terminator"):
        base_url("https://host:8443")


def test_a_secret_is_one_line_of_a_file(tmp_path: Path) -> None:
    """Without the newline that editors add."""
    file = tmp_path / "secret"
    file.write_text("s3cret\n")
    assert secret_file(str(file)) == "s3cret"


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"two\nlines", b"\xff\xfe"])
def test_a_file_without_a_usable_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    """It has to fit into a header."""
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="secret"):
        secret_file(str(file))
    with pytest.raises(ValueError, match="cannot be read"):
        secret_file(str(tmp_path / "none"))


def test_a_directory_need_not_exist_but_must_not_be_a_file(tmp_path: Path) -> None:
    """Found out before anything is made there."""
    file = tmp_path / "file"
    file.touch()
    assert directory(str(tmp_path / "new")) == tmp_path / "new"
    with pytest.raises(ValueError, match="is not a directory"):
        directory(str(file))


def test_words_and_choices_are_checked() -> None:
    """A choice lists what there is to choose."""
    assert some_text(" rack 7 ") == "rack 7"
    assert one_of("a", "b")("b") == "b"
    with pytest.raises(ValueError, match="Write one of a, b"):
        one_of("a", "b")("c")
    for text in ("", "  ", "a\nb", "x" * 65):
        with pytest.raises(ValueError, match="printable"):
            some_text(text)
