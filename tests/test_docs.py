"""The docs say what the code does: options, routes, errors, limits; and their links are good."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from twisted_store.api.options import Options as ApiOptions
from twisted_store.api.resource import ApiResource
from twisted_store.core.sizes import parse_size
from twisted_store.errors import StartupError, StoreError
from twisted_store.node.options import Options as NodeOptions
from twisted_store.node.resource import NodeResource
from twisted_store.web.answers import status_of

ROOT = Path(__file__).parents[1]
DOCS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
ROLES: dict[str, Any] = {"api": ApiOptions, "node": NodeOptions}

LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)\s]*)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)

# Paths that a machine has for itself: examples use others.
PRIVATE_PATH = re.compile(r"(?<![\w.])/(?:home|root|tmp|Users|private)/")


def read(name: str) -> str:
    """A document by its name below `docs`."""
    return (ROOT / "docs" / name).read_text()


def rows(text: str, columns: int) -> list[list[str]]:
    """The cells of all rows of tables in the text that have so many columns."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    found = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [cells for cells in found if len(cells) == columns]


def anchors(document: Path) -> set[str]:
    """What a link may have behind `#`, as GitHub makes it of the headings."""
    headings = HEADING.findall(FENCED.sub("", document.read_text()))
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def broken(document: Path, target: str) -> bool:
    """Whether a link in the document leads nowhere."""
    name, _, anchor = target.partition("#")
    path = (document.parent / name).resolve() if name else document
    return not path.exists() or (anchor != "" and anchor not in anchors(path))


@pytest.mark.parametrize("document", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """To a file that is there, and to a heading in it."""
    targets = LINK.findall(FENCED.sub("", document.read_text()))
    assert [target for target in targets if broken(document, target)] == []


@pytest.mark.parametrize("document", DOCS, ids=lambda path: path.name)
def test_no_document_names_a_path_of_its_writer(document: Path) -> None:
    """Examples work elsewhere, too."""
    text = document.read_text()
    assert PRIVATE_PATH.findall(text) == []
    assert str(ROOT) not in text


@pytest.mark.parametrize("role", ROLES)
def test_every_option_stands_in_the_table_with_its_role_and_default(role: str) -> None:
    """And no option that there is not."""
    options = ROLES[role]({})
    written = {
        cells[0].strip("`").removeprefix("--").split()[0]: cells[2]
        for cells in rows(read("operations.md"), 4)
        if cells[0].startswith("`--") and cells[1] in (role, "both")
    }
    names = {name.rstrip("=") for name in options.longOpt} - {"help", "version"}
    assert set(written) == names
    assert f"`{options.listen_default}`" in written.pop("listen")
    defaults = {name: default for name, default in options.defaults.items() if default}
    assert {name: written[name].strip("`") for name in defaults} == defaults


@pytest.mark.parametrize("resource", [ApiResource, NodeResource])
def test_every_route_has_a_heading(resource: Any) -> None:
    """With its method; HEAD goes with GET."""
    headings = "\n".join(HEADING.findall(FENCED.sub("", read("http-api.md")))) + "\n"
    wanted = [
        f"{method} {re.sub(r'<(.*?)>', lambda match: match[1].upper(), rule.rule)}"
        for rule in resource.app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    ]
    assert [each for each in wanted if not re.search(rf"{re.escape(each)}[\s]", headings)] == []


def test_every_error_stands_in_the_table_with_its_status() -> None:
    """All of `errors.py` that can go over HTTP."""
    written = {
        code: int(cells[0])
        for cells in rows(read("http-api.md"), 3)
        if cells[0].isdecimal()
        for code in re.findall(r"`(\w+)`", cells[1])
    }
    raised = [each for each in _subclasses(StoreError) if not issubclass(each, StartupError)]
    wanted = {each.code: status_of(each.__new__(each)) for each in raised}
    assert wanted.items() - written.items() == set()


def test_the_limits_are_those_of_the_code() -> None:
    """Each with its value, in the module that the table names."""
    table = [cells for cells in rows(read("architecture.md"), 3) if cells[0].strip("`").isupper()]
    wrong = [
        (name, text)
        for name, text, module in table
        if parse_size(text)
        != getattr(import_module(f"twisted_store.{module.strip('`')}"), name.strip("`"))
    ]
    assert len(table) > 40
    assert wrong == []


def _subclasses(kind: type[StoreError]) -> list[type[StoreError]]:
    """Those of `errors.py`, however deep."""
    own = [each for each in kind.__subclasses__() if each.__module__ == StoreError.__module__]
    return own + [deeper for each in own for deeper in _subclasses(each)]
