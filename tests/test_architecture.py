"""The layout of the code as a test: who may import whom, what stays pure, how long things get."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "twisted_store"

FILE_LINES_MAX = 300
FUNCTION_LINES_MAX = 70

FOUNDATION = {"errors", "core", "streams"}
SHARED = FOUNDATION | {"cluster", "node_client", "options", "seams", "web"}
# What each package or module may import of the others: arrows point down only.
MAY_IMPORT = {
    "errors": set(),
    "core": {"errors"},
    "streams": {"errors"},
    "database": {"errors"},
    "catalog": FOUNDATION | {"database"},
    "coding": FOUNDATION,
    "node_client": FOUNDATION,
    "storage": FOUNDATION | {"database"},
    "web": FOUNDATION,
    "cluster": {"errors", "core"},
    "options": {"errors", "core"},
    "seams": FOUNDATION | {"catalog", "coding", "database", "node_client", "storage", "web"},
    "api": SHARED | {"catalog", "storage"},
    "node": SHARED | {"storage"},
    "simulation": SHARED | {"catalog", "coding", "database", "storage", "api", "node"},
    "cli": SHARED | {"catalog", "database", "storage", "simulation"},
}

REACTOR = "twisted.internet.reactor"
REACTOR_PLACES = (f"{PACKAGE}/*/service.py", f"{PACKAGE}/seams.py", f"{PACKAGE}/cli/*.py")

# Closed to core: the world outside, the clock, chance and other threads. A value is fine.
IMPURE = {
    *("asyncio", "concurrent", "io", "multiprocessing", "os", "pathlib", "random", "secrets"),
    *("select", "selectors", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "sys"),
    *("tempfile", "threading", "time", "twisted", "uuid"),
}
PURE = {"random.Random"}

PLUGINS = "twisted/plugins"
PLUGIN_IMPORTS = {"twisted.application.service.ServiceMaker"}


def violations(path: str, source: str) -> list[str]:
    """All that this source breaks when it stands at this path, which is relative to the root."""
    tree = ast.parse(source, path)
    found = list(_size_violations(source, tree))
    for line, name in _imports(path, tree):
        found += [f"{line}: {fault}" for fault in _import_faults(path, name)]
    return [f"{path}:{fault}" for fault in found]


def _imports(path: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of all that is imported, wherever in the file."""
    folder = Path(path).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) - node.level + 1] if node.level else ()
            module = ".".join([*above, node.module] if node.module else above)
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def _import_faults(path: str, name: str) -> Iterator[str]:
    """What is wrong with importing this name here."""
    if Path(path).match(f"{PLUGINS}/*.py"):
        if name not in PLUGIN_IMPORTS:
            yield f"a plugin may not import {name}"
        return
    layer = _layer(path)
    top, _, rest = name.partition(".")
    target = rest.split(".")[0]
    everywhere = {layer, "", "__version__"}
    if top == PACKAGE and target not in everywhere | MAY_IMPORT.get(layer, set()):
        yield f"{layer} may not import {name}"
    if f"{name}.".startswith(f"{REACTOR}.") and not _is_reactor_place(path):
        yield "imports the reactor"
    if layer == "core" and top in IMPURE and name not in PURE:
        yield f"core may not import {name}"


def _layer(path: str) -> str:
    """The part of the package, a key of MAY_IMPORT, that the file belongs to."""
    return Path(path).parts[1].removesuffix(".py")


def _is_reactor_place(path: str) -> bool:
    return any(Path(path).match(place) for place in REACTOR_PLACES)


def _size_violations(source: str, tree: ast.Module) -> Iterator[str]:
    lines = len(source.splitlines())
    if lines > FILE_LINES_MAX:
        yield f"1: {lines} lines in a file"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{node.lineno}: {lines} lines in {node.name}"


def _sources() -> dict[str, str]:
    """Every module of the package and the plugins by its path relative to the root."""
    files = [*ROOT.glob(f"{PACKAGE}/**/*.py"), *ROOT.glob(f"{PLUGINS}/*.py")]
    return {file.relative_to(ROOT).as_posix(): file.read_text() for file in sorted(files)}


def test_the_code_keeps_to_its_layout() -> None:
    """No upward or sideways arrow, no reactor or I/O out of place, nothing too long."""
    found = [each for path, source in _sources().items() for each in violations(path, source)]
    assert found == []


def test_every_part_of_the_package_stands_in_the_table() -> None:
    """A new package has to be given its place before it is used."""
    parts = {_layer(path) for path in _sources() if path.startswith(f"{PACKAGE}/")}
    assert {"api", "core", "errors", "node"} <= parts
    assert parts - {"__init__"} <= set(MAY_IMPORT)


def test_the_table_has_no_cycle() -> None:
    """The table itself allows arrows down only: a part comes after all that it may import."""
    order = list(MAY_IMPORT)
    assert [(a, b) for a in order for b in MAY_IMPORT[a] if order.index(b) >= order.index(a)] == []


LONG_FUNCTION = "def f() -> None:\n" + "    pass\n" * FUNCTION_LINES_MAX


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        ("errors.py", "import twisted_store.core.ids", "1: errors may not import"),
        ("core/ids.py", "from twisted_store.streams import ByteStream", "1: core may not import"),
        ("core/ids.py", "def f():\n    from ..web import ranges", "2: core may not import"),
        ("web/site.py", "from twisted_store import catalog", "1: web may not import"),
        ("catalog/rows.py", "from ..storage.chunks import Chunks", "1: catalog may not import"),
        ("storage/store.py", "import twisted_store.catalog", "1: storage may not import"),
        ("database.py", "from twisted_store.core import ids", "1: database may not import"),
        ("web/site.py", "import twisted_store.database", "1: web may not import"),
        ("cluster/heartbeat.py", "import twisted_store.node_client", "1: cluster may not import"),
        ("seams.py", "from .node import service", "1: seams may not import"),
        ("node/uploads.py", "from twisted_store.catalog import rows", "1: node may not import"),
        ("api/upload.py", "from twisted_store.node import service", "1: api may not import"),
        ("node/resource.py", "import twisted_store.catalog", "1: node may not import"),
        ("node/resource.py", "import twisted_store.simulation", "1: node may not import"),
        ("cli/main.py", "from ..api.service import Options", "1: cli may not import"),
        ("unheard_of/x.py", "import twisted_store.errors", "1: unheard_of may not import"),
        ("core/ids.py", "import twisted_store.unheard_of", "1: core may not import"),
        ("__init__.py", "from . import errors", "1: __init__ may not import"),
        ("api/upload.py", "from twisted.internet import reactor", "1: imports the reactor"),
        ("storage/disk.py", "from twisted.internet.reactor import callLater", "1: imports the"),
        ("core/ids.py", "import os.path", "1: core may not import os.path"),
        ("core/ids.py", "from time import monotonic", "1: core may not import time.monotonic"),
        ("core/ids.py", "import random", "1: core may not import random"),
        ("core/ids.py", "from twisted.internet import defer", "1: core may not import twisted"),
        ("core/ids.py", "#\n" * (FILE_LINES_MAX + 1), "1: 301 lines in a file"),
        ("api/upload.py", f"async {LONG_FUNCTION}", "1: 71 lines in f"),
    ],
)
def test_a_bad_snippet_is_flagged(path: str, source: str, fault: str) -> None:
    """Each rule sees what it forbids: the test of the test above."""
    [found] = violations(f"{PACKAGE}/{path}", source)
    assert found.startswith(f"{PACKAGE}/{path}:{fault}")


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("core/frames.py", "from random import Random\nfrom twisted_store.core import ids"),
        ("core/frames.py", "import struct, crc32c\nfrom ..errors import FormatError"),
        ("core/frames.py", "#\n" * FILE_LINES_MAX),
        ("storage/store.py", "from twisted_store.database import Database"),
        ("api/service.py", "def f():\n    from twisted.internet import reactor"),
        ("seams.py", "from twisted.internet import reactor\nimport twisted_store.storage.disk"),
        ("cli/main.py", "from twisted.internet import reactor, task\nimport time"),
        ("cli/main.py", "import twisted_store\nfrom twisted_store import __version__, simulation"),
        ("simulation/cluster.py", "from twisted_store.api.service import build"),
        ("api/upload.py", "from twisted.internet.task import deferLater\nimport os"),
    ],
)
def test_a_good_snippet_passes(path: str, source: str) -> None:
    """The rules leave alone what the layout allows."""
    assert violations(f"{PACKAGE}/{path}", source) == []


def test_a_plugin_imports_the_service_maker_alone() -> None:
    """A plugin is imported by every start of twistd, so it names its role and does not load it."""
    source = "from twisted.application.service import ServiceMaker\n"
    assert violations(f"{PLUGINS}/x.py", source) == []
    assert len(violations(f"{PLUGINS}/x.py", f"{source}import twisted_store.api.service")) == 1
