"""`twisted-store put`."""

import mimetypes

import click

from twisted_store.cli.bodies import open_source
from twisted_store.cli.client import StoreClient
from twisted_store.cli.exits import CommandError, do_each
from twisted_store.cli.naming import Upload, plan_uploads
from twisted_store.cli.options import json_option, progress, quiet_option, say, shown, url_option
from twisted_store.core.sizes import format_size


@click.command()
@click.argument("arguments", nargs=-1, required=True, metavar="SOURCE... [NAME]")
@click.option("--recursive", "-r", is_flag=True, help="Take directories, with all files in them.")
@click.option("--if-absent", is_flag=True, help="Fail if the store has a file of this name.")
@click.option("--content-type", metavar="TYPE", help="Instead of a guess by the name.")
@url_option
@json_option
@quiet_option
def put(
    arguments: tuple[str, ...],
    recursive: bool,
    if_absent: bool,
    content_type: str | None,
    url: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """
    Store local files.

    NAME is the name in the store, by default that of the SOURCE. With a slash at its end it is a
    folder; for several sources it has to be one. The SOURCE - is standard input.
    """
    uploads = list(plan_uploads(arguments, recursive=recursive))

    def put_one(upload: Upload) -> None:
        headers = {"Content-Type": content_type or guess_type(upload)}
        if if_absent:
            headers["If-None-Match"] = "*"
        with (
            open_source(upload.source) as source,
            progress(upload.name, source.size_bytes, quiet=quiet) as advance,
        ):
            body = source.pieces(advance)
            file, created = client.put(upload.name, body, source.size_bytes, headers)
        if (file["size"], file["etag"]) != (source.sent_bytes, source.etag):
            raise CommandError(f"{upload.name!r}: the store has other bytes than were sent.")
        change = "created" if created else "replaced"
        line = f"{shown(upload.name)}  {format_size(file['size'])}  {change}"
        say(line, file, as_json=as_json, quiet=quiet)

    with StoreClient(url) as client:
        do_each(uploads, put_one)


def guess_type(upload: Upload) -> str:
    """The content type that the name, or else the source, suggests."""
    for name in (upload.name, upload.source):
        kind, encoding = mimetypes.guess_type(name.rpartition("/")[2])
        if encoding == "gzip":
            return "application/gzip"
        if kind and not encoding:
            return kind
    return "application/octet-stream"
