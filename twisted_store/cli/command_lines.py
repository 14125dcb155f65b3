"""The command lines of the roles on one machine: for the Procfile, `LocalCluster` and its users."""

import shlex
from collections.abc import Iterator, Sequence
from os import PathLike

API = "api"
"""Name of the api's process; those of the nodes are ``node1``, ``node2`` and so on."""

API_PORT = 8080

DEMO_NODES = 8
"""One more than the widest scheme that is chosen by itself needs: a lost one can be replaced."""


def node_name(number: int) -> str:
    """Name of the process of the ``number``-th node, counted from 1."""
    return f"node{number}"


def node_port(number: int, api_port: int) -> int:
    """Port of the ``number``-th node beside an api on ``api_port``; 0 lets the system pick both."""
    return api_port + 20 + number if api_port else 0


def api_command(port: int, data: str | PathLike[str], options: Sequence[str] = ()) -> list[str]:
    """Words of the command that runs an api with its directory under ``data``."""
    return _role("storeapi", API, port, data, options)


def node_command(
    number: int, port: int, data: str | PathLike[str], api_url: str, options: Sequence[str] = ()
) -> list[str]:
    """Words of the command that runs the ``number``-th node with its directory under ``data``."""
    return _role("storenode", node_name(number), port, data, ["--api", api_url, *options])


def procfile(nodes: int = DEMO_NODES, data: str = "./data", port: int = API_PORT) -> Iterator[str]:
    """Lines for honcho or foreman that run an api and its nodes."""
    yield f"{API}: {shlex.join(api_command(port, data))}"
    for number in range(1, nodes + 1):
        command = node_command(number, node_port(number, port), data, f"http://127.0.0.1:{port}")
        yield f"{node_name(number)}: {shlex.join(command)}"


def _role(
    role: str, name: str, port: int, data: str | PathLike[str], options: Sequence[str]
) -> list[str]:
    # Without the empty pid file a second twistd in the same folder refuses to start.
    start = ["twistd", "-n", "--pidfile=", role]
    return [
        *start,
        "--listen",
        f"tcp:{port}:interface=127.0.0.1",
        "--data",
        f"{data}/{name}",
        *options,
    ]
