"""One source for the command lines of the roles."""

from pathlib import Path

from twisted_store.cli.command_lines import API_PORT, node_command, node_port, procfile

PROCFILE = Path(__file__).parents[2] / "Procfile"


def test_the_procfile_runs_what_the_demo_runs() -> None:
    """The file in the repository and the lines of the code are the same."""
    assert PROCFILE.read_text().splitlines() == list(procfile())


def test_the_lines_follow_nodes_data_and_port() -> None:
    """As many nodes as asked for, with a directory and a port each."""
    assert list(procfile(1, "/var/a store", 9000)) == [
        "api: twistd -n --pidfile= storeapi --listen tcp:9000:interface=127.0.0.1"
        " --data '/var/a store/api'",
        "node1: twistd -n --pidfile= storenode --listen tcp:9021:interface=127.0.0.1"
        " --data '/var/a store/node1' --api http://127.0.0.1:9000",
    ]


def test_the_system_picks_all_ports_or_none() -> None:
    """The ports of the nodes are near that of the api, if it has one."""
    assert node_port(7, API_PORT) == 8107
    assert node_port(7, 0) == 0


def test_options_come_last() -> None:
    """Where they override what stands before."""
    command = node_command(1, 0, "d", "http://a", ["--capacity", "1GiB"])
    assert command[-4:] == ["--api", "http://a", "--capacity", "1GiB"]
