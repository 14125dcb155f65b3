"""
Combinations by Intel's ISA-L, called through ctypes on the buffers as they are.

The library comes with the wheel of pyeclib, of which nothing else is used, or from the system.
"""

import ctypes
from collections.abc import Iterator, Sequence
from ctypes.util import find_library
from functools import partial
from importlib.metadata import PackageNotFoundError, files

from twisted_store.coding.tables import TableCombination
from twisted_store.core.checksums import Buffer
from twisted_store.core.galois import Combine, Matrix

GIL_KEPT_BYTES_MAX = 64 * 1024
"""Up to here a call is shorter than waiting for the lock again."""

_TESTED: Matrix = tuple(
    tuple((7 + 41 * row + 83 * column) % 256 for column in range(5)) for row in range(5)
)
_BYTES = bytes(range(256)) * 17 + b"tail"
"""What a library is tried with before it is used."""

_TABLE_BYTES = 32
"""What ISA-L expands a coefficient to."""


class _Buffer(ctypes.Structure):
    """``Py_buffer`` (PEP 3118), part of the stable ABI."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


_READ, _WRITE = 0, 1  # PyBUF_SIMPLE, PyBUF_WRITABLE
_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = (ctypes.py_object, ctypes.POINTER(_Buffer), ctypes.c_int)
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = (ctypes.POINTER(_Buffer),)


class IsalCombination:
    """One call of ``ec_encode_data_update`` for each source."""

    def __init__(self, library: "_Library", matrix: Matrix) -> None:
        self._library = library
        self._rows, self._columns = len(matrix), len(matrix[0])
        self._tables = ctypes.create_string_buffer(self._rows * self._columns * _TABLE_BYTES)
        coefficients = bytes(factor for row in matrix for factor in row)
        library.init_tables(self._columns, self._rows, coefficients, self._tables)
        self._pointers = ctypes.c_void_p * self._rows

    def add(self, column: int, source: Buffer, targets: Sequence[memoryview | bytearray]) -> None:
        """As `Combination` has it; raises `BufferError` for what does not lie in one piece."""
        held: list[_Buffer] = []
        try:
            start = _address(source, _READ, held)
            ends = [_address(target, _WRITE, held) for target in targets]
            size_bytes = held[0].len
            if len(ends) != self._rows or any(buffer.len != size_bytes for buffer in held):
                raise ValueError("sources and targets differ in length or number")
            if not 0 <= column < self._columns:
                raise ValueError(f"there is no column {column}")
            update = self._library.update(size_bytes)
            update(
                size_bytes,
                self._columns,
                self._rows,
                column,
                self._tables,
                start,
                self._pointers(*ends),
            )
        finally:
            for buffer in held:
                _release_buffer(buffer)


class _Library:
    """The functions of ISA-L; that of long calls gives up the interpreter's lock."""

    def __init__(self, path: str) -> None:
        unlocked, locked = ctypes.CDLL(path), ctypes.PyDLL(path)
        number, address = ctypes.c_int, ctypes.c_void_p
        self.init_tables = unlocked.ec_init_tables
        self.init_tables.argtypes = (number, number, ctypes.c_char_p, address)
        self._long, self._short = unlocked.ec_encode_data_update, locked.ec_encode_data_update
        for function in (self._long, self._short):
            function.argtypes = (number, number, number, number, address, address, address)
            function.restype = None

    def update(self, size_bytes: int) -> "ctypes._NamedFuncPointer":
        """``ec_encode_data_update`` for a call on so many bytes."""
        return self._short if size_bytes <= GIL_KEPT_BYTES_MAX else self._long


def load() -> Combine | None:
    """The combinations of the first library that computes right; None if there is none."""
    for path in _paths():
        try:
            library = _Library(path)
        except (OSError, AttributeError):
            continue
        combine = partial(IsalCombination, library)
        if is_right(combine):
            return combine
    return None


def is_right(combine: Combine) -> bool:
    """Whether what it computes is what the tables say: a wrong library must never be used."""
    return all(
        _sums(combine, matrix, source) == _sums(TableCombination, matrix, source)
        for matrix in (_TESTED[:rows] for rows in range(1, len(_TESTED) + 1))
        for source in (_BYTES[:size] for size in (1, 63, 772, len(_BYTES)))
    )


def _sums(combine: Combine, matrix: Matrix, source: Buffer) -> list[bytearray]:
    sums, combination = [bytearray(len(source)) for _ in matrix], combine(matrix)
    for column in range(len(matrix[0])):
        combination.add(column, source, sums)
    return sums


def _paths() -> Iterator[str]:
    try:
        for file in files("pyeclib") or ():
            if file.name.startswith("libisal"):
                yield str(file.locate())
    except PackageNotFoundError:
        pass
    found = find_library("isal")
    if found is not None:
        yield found


def _address(buffer: object, flags: int, held: list[_Buffer]) -> int:
    """Where the bytes lie; they stay there until what is added to ``held`` is released."""
    view = _Buffer()
    _get_buffer(buffer, view, flags)
    held.append(view)
    return view.buf or 0
