"""What all errors have in common."""

from twisted_store.errors import NodeFailedError


def test_a_message_that_ends_with_a_quoted_one_has_one_full_stop() -> None:
    """Twisted's messages are sentences, those of the system are not."""
    quoted = "Connection was refused by other side: 111: Connection refused."
    error = NodeFailedError(f"The api answered 200, {quoted}.")
    assert error.message == str(error) == f"The api answered 200, {quoted}"
    assert NodeFailedError("It hangs.").message == "It hangs."
