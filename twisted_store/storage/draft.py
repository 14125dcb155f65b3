"""The file of a chunk while it is being written."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from twisted_store.core.checksums import Buffer
from twisted_store.core.chunk_file import encode_header
from twisted_store.core.ids import ChunkId
from twisted_store.storage.directory import ChunkDirectory
from twisted_store.storage.disk import DiskFile


class Draft:
    """The file of a chunk being written. Blocking, one call at a time; errors remove the file."""

    def __init__(self, directory: ChunkDirectory, chunk_id: ChunkId) -> None:
        self._directory = directory
        self._chunk_id = chunk_id
        self._file: DiskFile | None = None
        self.file_bytes = 0

    def write(self, buffers: Sequence[Buffer]) -> int:
        """Append; the bytes written, which the first time include the header."""
        try:
            return self._write(buffers)
        except OSError:
            self.drop()
            raise

    def complete(self, buffers: Sequence[Buffer], sync: Callable[[DiskFile], None] | None) -> int:
        """Append the last bytes, sync and close; the bytes written."""
        written_bytes = self.write(buffers)
        assert self._file is not None
        try:
            if sync is not None:
                sync(self._file)
            self._file.close()
        except OSError:
            self.drop()
            raise
        return written_bytes

    def drop(self) -> None:
        """Remove the file; what a broken disk keeps is removed at the next start."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            with suppress(OSError):
                self._directory.remove_incoming(self._chunk_id)

    def _write(self, buffers: Sequence[Buffer]) -> int:
        if self._file is None:
            self._file = self._directory.create_incoming(self._chunk_id)
            buffers = [encode_header(self._chunk_id), *buffers]
        self._file.write_at(self.file_bytes, buffers)
        written_bytes = sum(map(len, buffers))
        self.file_bytes += written_bytes
        return written_bytes
