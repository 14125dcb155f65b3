"""The secret that api and nodes share."""

import pytest

from tests.web.wire import Wire, head
from twisted_store.errors import UnauthorizedError
from twisted_store.web.request import StreamingRequest
from twisted_store.web.secret import require_secret, secret_headers

SECRET = "s3cret"


def request_with(*fields: str) -> StreamingRequest:
    """A request with these headers."""
    wire = Wire()
    wire.send(head("GET /waits", *fields))
    return wire.routes.started[0]


def test_a_call_with_the_secret_passes() -> None:
    """What the one side sends the other takes."""
    [(name, value)] = secret_headers(SECRET).items()
    require_secret(request_with(f"{name}: {value}"), SECRET)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        ["Authorization: Bearer other"],
        ["Authorization: Bearer s3cre"],
        ["Authorization: Bearer s3crets"],
        ["Authorization: bearer s3cret"],
        ["Authorization: s3cret"],
        ["Authorization: Basic czNjcmV0"],
        ["Authorization: Bearer \xff\xfe"],
        ["Authorization:"],
        ["Authorization: Bearer other", "Authorization: Bearer s3cret"],
    ],
)
def test_any_other_call_is_refused(fields: list[str]) -> None:
    """Missing, wrong, in another form, or two at once."""
    with pytest.raises(UnauthorizedError, match="--secret-file"):
        require_secret(request_with(*fields), SECRET)


def test_without_a_secret_everybody_passes() -> None:
    """The daemon then listens on loopback only."""
    assert secret_headers(None) == {}
    require_secret(request_with(), None)
    require_secret(request_with("Authorization: Bearer whatever"), None)
