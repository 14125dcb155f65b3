"""The `twisted-store` command: a group, and one command each for what a person wants done."""

import signal
from types import FrameType

import click

import twisted_store
from twisted_store.cli.check import check
from twisted_store.cli.demo import demo
from twisted_store.cli.drain import drain
from twisted_store.cli.exits import explain_statuses
from twisted_store.cli.explain import explain
from twisted_store.cli.forget import forget
from twisted_store.cli.get import get
from twisted_store.cli.ls import ls
from twisted_store.cli.nodes import nodes
from twisted_store.cli.put import put
from twisted_store.cli.rebalance import rebalance
from twisted_store.cli.repair import repair
from twisted_store.cli.rm import rm
from twisted_store.cli.safe_to_stop import safe_to_stop
from twisted_store.cli.stat import stat
from twisted_store.cli.status import status
from twisted_store.cli.volume import volume


@click.group(epilog=f"\b\n{explain_statuses()}", context_settings={"max_content_width": 100})
@click.version_option(twisted_store.__version__)
def cli() -> None:
    """Store files in a twisted_store, and look after it."""


FILES = (put, get, ls, stat, explain, rm)
CLUSTER = (status, nodes, repair, rebalance, drain, forget, safe_to_stop, demo, check)
NODE = (volume,)

for command in (*FILES, *CLUSTER, *NODE):
    cli.add_command(command)


def main() -> None:
    """Run the command; a request to end it leaves as little behind as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)
    cli()


def _interrupt(_signal_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
