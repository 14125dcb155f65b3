"""`twisted-store check`: the test of a store that runs."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import click

from twisted_store.cli.checks import LARGE_BYTES, Check, all_checks
from twisted_store.cli.client import StoreClient
from twisted_store.cli.command_lines import API_PORT
from twisted_store.cli.exits import CommandError, ExitStatus, UnreachableError
from twisted_store.cli.options import json_option, progress, quiet_option, say
from twisted_store.cli.tables import table
from twisted_store.cli.trial import CheckFailedError, NotJudgedError, Trial

OK = "ok"
FAILED = "FAILED"
NOT_JUDGED = "not judged"


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one check."""

    what: str
    figure: str
    verdict: str


def _node_headers(
    _context: click.Context, _parameter: click.Parameter, path: str | None
) -> dict[str, str]:
    """The headers that nodes ask for, by the file that holds the secret."""
    if path is None:
        return {}
    # Not above: they bring Twisted, which takes longer to import than most commands to run.
    from twisted_store.options import secret_file
    from twisted_store.web.secret import secret_headers

    try:
        return secret_headers(secret_file(path))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@click.argument("url", envvar="TWISTED_STORE_URL", default=f"http://127.0.0.1:{API_PORT}")
@click.option(
    "--secret-file",
    "node_headers",
    envvar="TWISTED_STORE_SECRET_FILE",
    show_envvar=True,
    metavar="FILE",
    callback=_node_headers,
    help="Where the secret of the cluster is, if it has one: its nodes ask for it.",
)
@json_option
@quiet_option
@click.pass_context
def check(
    context: click.Context, url: str, node_headers: dict[str, str], as_json: bool, quiet: bool
) -> None:
    """
    Test the store that runs at URL.

    Files of telling sizes are stored, read back, compared, and their chunks looked for on the nodes
    themselves. Nothing is left behind. The exit status is 0 if all is well, else 1.
    """
    findings = examine(url, node_headers, quiet=quiet)
    well = all(finding.verdict != FAILED for finding in findings)
    rows = [(finding.what, finding.figure, finding.verdict) for finding in findings]
    result = {"url": url, "ok": well, "checks": [asdict(finding) for finding in findings]}
    say(table(("what", "figure", "verdict"), rows), result, as_json=as_json, quiet=quiet)
    context.exit(ExitStatus.OK if well else ExitStatus.FAILED)


def examine(
    url: str,
    node_headers: Mapping[str, str],
    *,
    large_bytes: int = LARGE_BYTES,
    quiet: bool = True,
) -> list[Finding]:
    """Make all checks, with files as large as ``large_bytes``, if the store is ready for them."""
    with StoreClient(url) as client:
        readiness, before = client.readiness(), client.cluster()
    reasons = "; ".join(reason["message"] for reason in readiness["reasons"])
    if not readiness["ready"]:
        return [Finding("ready", reasons, FAILED)]
    findings = [Finding("ready", reasons or f"{len(before['nodes'])} nodes", OK)]
    checks = all_checks(before, large_bytes)
    moved_bytes = sum(check.moved_bytes for check in checks)
    with (
        progress("checking", moved_bytes, quiet=quiet) as advance,
        Trial(url, advance, node_headers) as trial,
    ):
        try:
            findings.extend(_findings(checks, trial))
        finally:
            cleaning = _clean(trial)
    return [*findings, cleaning]


def _findings(checks: list[Check], trial: Trial) -> Iterator[Finding]:
    """What comes of the checks; the rest is left out when nobody answers any more."""
    for check in checks:
        try:
            yield Finding(check.what, check.run(trial), OK)
        except NotJudgedError as reason:
            yield Finding(check.what, str(reason), NOT_JUDGED)
        except UnreachableError as error:
            yield Finding(check.what, str(error), FAILED)
            return
        except (CheckFailedError, CommandError) as error:
            yield Finding(check.what, str(error), FAILED)
        except LookupError as error:
            yield Finding(check.what, f"an answer lacks {error}", FAILED)


def _clean(trial: Trial) -> Finding:
    what = "nothing left behind"
    try:
        return Finding(what, f"{trial.clean()} files removed", OK)
    except KeyboardInterrupt:
        trial.clean()  # which the first Ctrl-C must not break off; a second one may
        raise
    except (CheckFailedError, CommandError) as error:
        # Said here too, since after an interruption nobody prints what was found.
        click.echo(f"Files are left under {trial.prefix}: {error}", err=True)
        return Finding(what, str(error), FAILED)
