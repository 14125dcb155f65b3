"""
SQLite on a recorded disk: the default file system of SQLite, watched.

What is recorded is what SQLite's ``os_unix.c`` does: a journal or write-ahead log that was opened
to be made has its directory synced with its own first sync; a deletion syncs the directory when it
is asked to. The shared memory file is left out: SQLite makes it anew from the log.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import apsw

from twisted_store.database import Cursor, Database
from twisted_store.simulation.recording import Recorder

_BASE = ""
_LOGS = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL | apsw.SQLITE_OPEN_WAL
_WRITE_FLAGS = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE

FileName = str | apsw.URIFilename | None


class RecordingFile(apsw.VFSFile):
    """An open file of SQLite."""

    def __init__(self, name: FileName, flags: list[int], recorder: Recorder) -> None:
        self._path = _path(name)
        self._recorder = recorder
        self._syncs_directory = bool(flags[0] & apsw.SQLITE_OPEN_CREATE and flags[0] & _LOGS)
        super().__init__(_BASE, name, flags)
        self._number = recorder.create(self._path)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 (SQLite's names)
        """Write."""
        super().xWrite(data, offset)
        self._recorder.write(self._path, self._number, offset, bytes(data))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        """Cut."""
        super().xTruncate(newsize)
        self._recorder.resize(self._path, self._number, newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        """The disk need not hear of it: its power is cut only in thought."""
        self._recorder.sync(self._path, self._number)
        if self._syncs_directory:
            self._recorder.sync_directory(str(Path(self._path).parent))
            self._syncs_directory = False


class RecordingVfs(apsw.VFS):
    """Where the files are."""

    def __init__(self, name: str, recorder: Recorder) -> None:
        self._recorder = recorder
        super().__init__(name, _BASE)

    def xOpen(self, name: FileName, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        """Open; temporary files need not be watched."""
        if name is None:
            return apsw.VFSFile(_BASE, name, flags)
        return RecordingFile(name, flags, self._recorder)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        """Delete."""
        super().xDelete(filename, syncdir)
        self._recorder.remove(filename)
        if syncdir:
            self._recorder.sync_directory(str(Path(filename).parent))


class RewritingDatabase:
    """Runs other statements than it is asked to."""

    def __init__(self, database: Database, statements: Mapping[str, str]) -> None:
        self._database = database
        self._statements = statements

    @property
    def in_transaction(self) -> bool:
        """Whether a BEGIN waits for its COMMIT or ROLLBACK."""
        return self._database.in_transaction

    def execute(self, sql: str, parameters: tuple[Any, ...] = (), /) -> Cursor:
        """Run a statement, with its parts replaced."""
        for part, other in self._statements.items():
            sql = sql.replace(part, other)
        return self._database.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[tuple[Any, ...]], /) -> None:
        """Run a statement for each of the parameters."""
        for each in parameters:
            self.execute(sql, each)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


class RecordingOpener:
    """
    Opens databases whose every effect on the disk is recorded; satisfies `DatabaseOpener`.

    Only one opener may have this ``name``. In ``statements`` are parts of SQL, and what they are
    replaced by.
    """

    def __init__(self, name: str, recorder: Recorder, statements: Mapping[str, str]) -> None:
        self._vfs = RecordingVfs(name, recorder)
        self._name = name
        self._statements = statements

    def __call__(self, path: Path, read_only: bool) -> Database:
        """Open with apsw."""
        flags = apsw.SQLITE_OPEN_READONLY if read_only else _WRITE_FLAGS
        connection = apsw.Connection(str(path), flags, self._name)
        return RewritingDatabase(connection, self._statements)

    def close(self) -> None:
        """Forget the file system; the databases must be closed."""
        self._vfs.unregister()


def _path(name: FileName) -> str:
    assert name is not None
    return name.filename() if isinstance(name, apsw.URIFilename) else name
