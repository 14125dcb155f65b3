"""How a command ends: exit statuses, and the errors that lead to them."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from os import PathLike
from typing import TypeVar

import click

Item = TypeVar("Item")


class ExitStatus(IntEnum):
    """Exit statuses of `twisted-store`; its ``--help`` prints them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    PRECONDITION_FAILED = 4
    UNAVAILABLE = 5


_MEANINGS = {
    ExitStatus.OK: "all was done",
    ExitStatus.FAILED: "something failed, or is not as it should be",
    ExitStatus.USAGE: "the command line is wrong",
    ExitStatus.NOT_FOUND: "no file has this name",
    ExitStatus.PRECONDITION_FAILED: "the file exists already (put --if-absent)",
    ExitStatus.UNAVAILABLE: "the store does not answer, or cannot do this now",
}


class CommandError(click.ClickException):
    """
    Ends the command with this message.

    ``http_status`` is that of the answer which led to it, None when there was no answer.
    """

    exit_code = ExitStatus.FAILED

    def __init__(self, message: str, http_status: int | None = None) -> None:
        super().__init__(message)
        self.http_status = http_status


class FileNotInStoreError(CommandError):
    """No file has this name."""

    exit_code = ExitStatus.NOT_FOUND


class FileChangedError(CommandError):
    """The file is not as the request wanted it to be."""

    exit_code = ExitStatus.PRECONDITION_FAILED


class StoreUnavailableError(CommandError):
    """The store broke off, or cannot do it now."""

    exit_code = ExitStatus.UNAVAILABLE


class UnreachableError(StoreUnavailableError):
    """Nothing answers at the URL."""


_OF_HTTP_STATUS = {
    404: FileNotInStoreError,
    409: StoreUnavailableError,
    412: FileChangedError,
    502: StoreUnavailableError,
    503: StoreUnavailableError,
    504: StoreUnavailableError,
}


def refused(message: str, http_status: int) -> CommandError:
    """The error that an answer of this status means."""
    return _OF_HTTP_STATUS.get(http_status, CommandError)(message, http_status)


def explain_statuses() -> str:
    """The exit statuses and what they mean, a line each."""
    lines = [f"  {status.value}  {meaning}" for status, meaning in _MEANINGS.items()]
    return "\n".join(["Exit status:", *lines])


@contextmanager
def file_errors(path: str | PathLike[str]) -> Iterator[None]:
    """Let what goes wrong with a local file end the command in the words of the system."""
    try:
        yield
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error


def do_each(items: Iterable[Item], action: Callable[[Item], None]) -> None:
    """
    Do the action with every item, whatever becomes of the others, and report each failure.

    Ends the command with the status of the first failure; at once when nobody answers.
    """
    first: CommandError | None = None
    for item in items:
        try:
            action(item)
        except UnreachableError:
            raise
        except CommandError as error:
            error.show()
            first = first or error
    if first is not None:
        raise click.exceptions.Exit(first.exit_code)
