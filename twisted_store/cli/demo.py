"""`twisted-store demo`."""

import shlex
import shutil
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import click

from twisted_store.cli.command_lines import API_PORT, DEMO_NODES, node_command, node_port
from twisted_store.cli.exits import CommandError
from twisted_store.cli.local_cluster import LocalCluster, LocalClusterError
from twisted_store.cli.role_process import script_path
from twisted_store.cli.stop_signals import StopRequested, StopSignals
from twisted_store.core.striping import DATA_CHUNKS

LOOK_SECONDS = 0.2

LOST_AFTER_SECONDS = 15
API_OPTIONS = ("--suspect-after", "5", "--lost-after", str(LOST_AFTER_SECONDS))
"""A demo is watched: what a dead node held is made anew within a minute."""

LOST_WITHIN_SECONDS = LOST_AFTER_SECONDS + 5
"""By then the api has found out that a node is lost, and begun."""


@click.command()
@click.option(
    "--nodes",
    type=click.IntRange(1),
    default=DEMO_NODES,
    show_default=True,
    help="How many nodes to run.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
    default="./data",
    show_default=True,
    help="Where everything is kept; the next demo finds it there.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65000),
    default=API_PORT,
    show_default=True,
    help="Port of the api; those of the nodes begin 21 above. 0 takes any that are free.",
)
def demo(nodes: int, data: Path, port: int) -> None:
    """Run a store on this machine, an api and its nodes, until Ctrl-C."""
    _refuse_taken_ports([port, *(node_port(number, port) for number in range(1, nodes + 1))])
    with StopSignals() as signals:
        cluster = LocalCluster(
            data, nodes, port=port, api_options=API_OPTIONS, on_wait=signals.check
        )
        click.echo(f"Starting an api and {nodes} nodes in {data}.")
        try:
            cluster.start()
            if nodes >= DATA_CHUNKS:
                cluster.wait_ready(DATA_CHUNKS)
            click.echo(_welcome(cluster, nodes, port))
            _watch(cluster, signals)
        except StopRequested:
            click.echo("Stopping.")
        except LocalClusterError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{data}: {error.strerror}") from error
        finally:
            for name in cluster.stop():
                click.echo(f"{name} did not stop in time and was killed.", err=True)


def _refuse_taken_ports(ports: Sequence[int]) -> None:
    """Say so before anything starts; a process that cannot listen would say it less plainly."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise CommandError(
                    f"Port {port} cannot be used ({error.strerror}): choose others with --port."
                ) from error


def _welcome(cluster: LocalCluster, nodes: int, port: int) -> str:
    """What there is now, and what to do with it."""
    url = cluster.api_url
    next_node = nodes + 1
    join = node_command(next_node, node_port(next_node, port), cluster.directory, url)
    lines = [
        f"  {name:8} {cluster.url(name):24} process {cluster.pid(name)}" for name in cluster.names
    ]
    if nodes < DATA_CHUNKS:
        lines.append(f"A file needs {DATA_CHUNKS} nodes: until they are there the api answers 503.")
    lines += [
        "Store a file, and fetch it:",
        f"  curl -T FILE {url}/files/FILE",
        f"  curl {url}/files/FILE",
        f"Let node {next_node} join, in another terminal:",
        f"  {_command_line(join)}",
        *_healing(cluster, nodes),
        f"What the processes print is in {cluster.directory}/logs. Stop all with Ctrl-C.",
    ]
    return "\n".join(lines)


def _healing(cluster: LocalCluster, nodes: int) -> list[str]:
    """How to see a node replaced, where there is one to replace it."""
    if nodes < DEMO_NODES:
        return []
    watch = ["twisted-store", "repair", "--watch", "--url", cluster.api_url]
    return [
        f"Kill a node, and when it counts as lost, after {LOST_AFTER_SECONDS} s, watch the others"
        " make its chunks anew:",
        f"  kill {cluster.pid(cluster.names[-1])}; sleep {LOST_WITHIN_SECONDS};"
        f" {_command_line(watch)}",
    ]


def _watch(cluster: LocalCluster, signals: StopSignals) -> None:
    """Report every process that ends; the others go on."""
    reported: set[str] = set()
    while True:
        signals.check()
        for name, status in cluster.fallen().items():
            if name not in reported:
                reported.add(name)
                click.echo(
                    f"{name} ended with status {status}, the others go on. Its last lines:\n"
                    f"{cluster.last_lines(name)}\nStart it again, in another terminal:\n"
                    f"  {_command_line(cluster.command(name))}",
                    err=True,
                )
        time.sleep(LOOK_SECONDS)


def _command_line(command: Sequence[str]) -> str:
    """The command as it works in a shell, where our script may not be the one on the path."""
    name, *words = command
    script = script_path(name)
    return shlex.join([name if shutil.which(name) == script else script, *words])
