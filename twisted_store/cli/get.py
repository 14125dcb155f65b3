"""`twisted-store get`."""

import sys
from pathlib import Path

import click

from twisted_store.cli.bodies import announced_bytes, replacement, verified_pieces
from twisted_store.cli.client import StoreClient, files_path
from twisted_store.cli.exits import do_each, file_errors
from twisted_store.cli.naming import STDIO, folder_of, path_inside, plan_target
from twisted_store.cli.options import json_option, progress, quiet_option, say, url_option
from twisted_store.core.sizes import format_size


@click.command()
@click.argument("name")
@click.argument("target", required=False)
@click.option("--recursive", "-r", is_flag=True, help="Get all files under the folder NAME.")
@url_option
@json_option
@quiet_option
def get(
    name: str, target: str | None, recursive: bool, url: str, as_json: bool, quiet: bool
) -> None:
    """
    Fetch files, and make sure that they are what was stored.

    TARGET is a file, a directory, or - for standard output; by default the last part of NAME. With
    --recursive it is a directory, made if need be.
    """
    if recursive and target == STDIO:
        raise click.UsageError("Standard output takes one file only.")

    def get_one(name: str, path: Path) -> None:
        size = download(client, name, path, quiet=quiet)
        result = {"name": name, "path": str(path), "size": size}
        say(f"{path}  {format_size(size)}", result, as_json=as_json, quiet=quiet)

    with StoreClient(url) as client:
        if recursive:
            folder = folder_of(name)
            root = Path(target or folder.rstrip("/").rpartition("/")[2] or ".")

            def get_below(name: str) -> None:
                path = path_inside(root, name.removeprefix(folder))
                with file_errors(path.parent):
                    path.parent.mkdir(parents=True, exist_ok=True)
                get_one(name, path)

            do_each(client.names_under(folder), get_below)
        elif target == STDIO:
            write_out(client, name, quiet=quiet)
        else:
            get_one(name, plan_target(name, target))


def download(client: StoreClient, name: str, path: Path, *, quiet: bool) -> int:
    """Fetch a file to ``path``, where nothing changes if that fails; returns its bytes."""
    with (
        file_errors(path),
        client.open("GET", files_path(name)) as answer,
        progress(name, announced_bytes(answer), quiet=quiet) as advance,
        replacement(path) as file,
    ):
        for piece in verified_pieces(answer, advance):
            file.write(piece)
    return answer.num_bytes_downloaded


def write_out(client: StoreClient, name: str, *, quiet: bool) -> None:
    """Fetch a file to standard output; that it is wrong shows only in the exit status."""
    out = sys.stdout.buffer
    with (
        client.open("GET", files_path(name)) as answer,
        progress(name, announced_bytes(answer), quiet=quiet) as advance,
    ):
        for piece in verified_pieces(answer, advance):
            out.write(piece)
    out.flush()
