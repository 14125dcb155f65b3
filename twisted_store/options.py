"""
What the command lines of both roles share: options, environment variables, reading of values.

A role lists its options in the form of `twisted.python.usage`, with defaults as an operator would
write them, and in ``postOptions`` makes its frozen config with the readers of `RoleOptions`. All
that is wrong with a value comes out as a `UsageError` that names the option, or the variable, that
it came from.
"""

import os
from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast
from urllib.parse import urlsplit

from twisted.internet.endpoints import serverFromString
from twisted.python.usage import Options, UsageError

from twisted_store import __version__

ENVIRONMENT_PREFIX = "TWISTED_STORE_"

Value = TypeVar("Value")

_LISTEN_TEXT = (
    "Listen on this Twisted endpoint. Give the option again to listen on several; in the "
    "environment separate them by blanks. [default: {}]"
)
_SECRET_TEXT = (
    "Read from this file the secret that the api and its nodes share. All of them need the same "
    "one. {}"
)
_SWITCH_WORDS = {
    **dict.fromkeys(["1", "true", "yes", "on"], True),
    **dict.fromkeys(["0", "false", "no", "off"], False),
}


def variable(option: str) -> str:
    """The environment variable that stands for ``--option``."""
    return ENVIRONMENT_PREFIX + option.upper().replace("-", "_")


class RoleOptions(Options):
    """
    Options of a role: those that all roles have, and the ways to read them.

    The command line wins over the environment, the environment over the defaults; an empty variable
    counts as none. A role sets `listen_default`, and says in `insecure_text` and `secret_text` what
    these options do for it.
    """

    listen_default: ClassVar[str]
    insecure_text: ClassVar[str]
    secret_text: ClassVar[str]

    optFlags = [["insecure", None, "Described in `docs`, as --listen is."]]
    optParameters = [
        ["data", None, None, "Keep everything in this directory; it is made if missing. Required."],
        ["secret-file", None, None, "Described in `docs`, too."],
    ]
    longdesc = (
        "Every option may also come from the environment, --secret-file for example as "
        f"{variable('secret-file')}. The command line wins."
    )

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.docs["listen"] = _LISTEN_TEXT.format(self.listen_default)
        self.docs["insecure"] = self.insecure_text
        self.docs["secret-file"] = _SECRET_TEXT.format(self.secret_text)
        self._environment = {
            name: environment[variable(name)]
            for name in self.docs
            if environment.get(variable(name))
        }
        self._listen: list[str] = []
        self.update(self._environment)

    def opt_version(self) -> None:
        """Print the version and exit."""
        print(f"twisted-store {__version__}")
        raise SystemExit(0)

    def opt_listen(self, endpoint: str) -> None:
        """Described in `docs`, since the default differs from role to role."""
        self._listen.append(endpoint)

    def listen(self) -> tuple[str, ...]:
        """The endpoint descriptions to listen on, at least one."""
        given = self._listen or self._environment.get("listen", "").split()
        for description in given:
            _check_endpoint(description)
        return tuple(given or [self.listen_default])

    def required(self, name: str, read: Callable[[str], Value]) -> Value:
        """What ``read`` makes of the option's text; it may raise ValueError with a sentence."""
        value = self.optional(name, read)
        if value is None:
            raise UsageError(f"--{name} is missing. {self.docs[name]}")
        return value

    def optional(self, name: str, read: Callable[[str], Value]) -> Value | None:
        """Like `required`, but None when the option was not given and has no default."""
        text = self[name]
        if text is None:
            return None
        try:
            return read(text)
        except ValueError as error:
            raise UsageError(f"{self._origin(name)}: {error}") from error

    def switch(self, name: str) -> bool:
        """Whether the flag is on."""
        word = str(self[name]).lower()
        if word not in _SWITCH_WORDS:
            raise UsageError(f"{self._origin(name)}: write 1 to turn it on, 0 to leave it off.")
        return _SWITCH_WORDS[word]

    def _origin(self, name: str) -> str:
        """How the operator wrote it."""
        if self[name] is self._environment.get(name):
            return f"{variable(name)}={self[name]}"
        return f"--{name} {self[name]}"


def _check_endpoint(description: str) -> None:
    try:
        # A reactor would be needed to listen, not to read what is written.
        serverFromString(cast(Any, None), description)
    except (LookupError, TypeError, ValueError) as error:
        raise UsageError(
            f"--listen {description}: Write a Twisted endpoint like "
            f"tcp:8080:interface=127.0.0.1 ({error})."
        ) from error


def some_text(text: str) -> str:
    """A word or a few, printable and at most 64 characters."""
    if not text.strip() or not text.isprintable() or len(text) > 64:
        raise ValueError("Write 1 to 64 printable characters.")
    return text.strip()


def one_of(*words: str) -> Callable[[str], str]:
    """A reader that takes these words only."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"Write one of {', '.join(words)}.")
        return text

    return read


def directory(text: str) -> Path:
    """An absolute path that may become a directory or is one."""
    path = Path(text).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is not a directory.")
    return path


def seconds(text: str) -> float:
    """A time span above zero; 0.5 is half a second."""
    try:
        span = float(text)
    except ValueError:
        span = 0.0
    if not (isfinite(span) and span > 0):
        raise ValueError("Write a number of seconds above 0, like 30 or 0.5.")
    return span


def base_url(text: str) -> str:
    """The URL of a role, ``http://HOST:PORT``, without a slash at the end."""
    parts = urlsplit(text)
    if parts.scheme == "https":
        raise ValueError(
            "TLS is not supported yet: write http://, and put a tunnel between the machines, or a "
            "TLS terminator before the api for its clients."
        )
    extra = parts.query or parts.fragment or parts.username or parts.password
    if parts.scheme != "http" or not parts.hostname or extra or not _port_fits(text):
        raise ValueError("Write a URL like http://127.0.0.1:8080.")
    return text.rstrip("/")


def _port_fits(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def secret_file(text: str) -> str:
    """The secret in that file: one line of visible ASCII characters."""
    try:
        secret = Path(text).expanduser().read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"The secret cannot be read: {error}.") from error
    if not secret or not secret.isprintable() or " " in secret:
        raise ValueError("The file must hold one line of visible ASCII characters, the secret.")
    return secret
