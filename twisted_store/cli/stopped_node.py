"""The data directory of a node that is stopped, and stays so meanwhile."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from twisted_store.cli.exits import StoreUnavailableError, file_errors

if TYPE_CHECKING:
    from twisted_store.storage.disk import Disk
    from twisted_store.storage.volumes import Volumes

directory_argument = click.argument(
    "directory", metavar="DIR", type=click.Path(exists=True, file_okay=False)
)


@contextmanager
def stopped_node(directory: str) -> Iterator[tuple["Disk", "Volumes"]]:
    """
    Hold the directory, and see what volumes it has; no node starts on it meanwhile.

    Raises `StoreUnavailableError` while one runs, and `click.UsageError` when it is no node's.
    """
    # Not above: they bring Twisted, which takes longer to import than most commands to run.
    from twisted_store.errors import DirectoryHeldError
    from twisted_store.storage.disk import OsDisk
    from twisted_store.storage.identity import IDENTITY_NAME, hold
    from twisted_store.storage.volumes import Volumes

    disk = OsDisk()
    with file_errors(directory):
        if disk.size_bytes(f"{directory}/{IDENTITY_NAME}") is None:
            raise click.UsageError(
                f"{directory} is not a node's data directory: it has no {IDENTITY_NAME}."
            )
        try:
            lock = hold(disk, directory)
        except DirectoryHeldError as error:
            raise StoreUnavailableError(f"{error.message} Stop the node first.") from error
        with closing(lock):
            volumes = Volumes(disk, directory)
            if disk.size_bytes(volumes.path) is not None:
                volumes.look()
            yield disk, volumes
