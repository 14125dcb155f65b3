"""The api's data directory, held by one process."""

from collections.abc import Callable

from twisted_store.errors import StartupError
from twisted_store.storage.disk import Disk
from twisted_store.storage.identity import make_directory

LOCK_NAME = "lock"

NODE_IDENTITY_NAME = "node.json"
"""What a node keeps in its directory."""


def hold_directory(disk: Disk, path: str) -> Callable[[], None]:
    """
    Make and lock the directory; gives the call that lets it go.

    Raises `StartupError` when another process has it, or when it is a node's.
    """
    try:
        make_directory(disk, path)
        lock = disk.lock(f"{path}/{LOCK_NAME}")
    except BlockingIOError as error:
        raise StartupError(f"Another process uses the data directory {path}.") from error
    except OSError as error:
        raise StartupError(f"Cannot use the data directory {path}: {error}.") from error
    if disk.size_bytes(f"{path}/{NODE_IDENTITY_NAME}") is not None:
        lock.close()
        raise StartupError(f"{path} holds the data of a node: give the api another --data.")
    return lock.close
