"""Names of objects: any UTF-8, slashes and dots included; they are never used as paths."""

from twisted_store.errors import InvalidNameError

NAME_BYTES_MAX = 1024


def parse_name(raw: bytes) -> str:
    """The name that the percent-decoded bytes of a request spell, or `InvalidNameError`."""
    if not raw:
        raise InvalidNameError("The file's name is missing: PUT /files/NAME.")
    if len(raw) > NAME_BYTES_MAX:
        raise InvalidNameError(
            f"The name has {len(raw)} bytes; a name has at most {NAME_BYTES_MAX}."
        )
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidNameError(f"The name is not UTF-8: {error.reason}.") from error
