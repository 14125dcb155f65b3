"""HTTP dates: RFC 9110 section 5.6.7, as whole seconds since the epoch."""

from email.utils import mktime_tz, parsedate_tz
from functools import lru_cache

from twisted.web.http import datetimeToString

_CACHED_MAX = 256


def format_date(seconds: float) -> str:
    """The time as an IMF-fixdate, rounded down: ``Sun, 06 Nov 1994 08:49:37 GMT``."""
    return _format_whole(int(seconds))


def parse_date(text: str) -> int | None:
    """The time that an HTTP date in one of its three formats names; None if it is none of them."""
    try:
        fields = parsedate_tz(text)
        return None if fields is None else int(mktime_tz(fields))
    except (IndexError, OverflowError, TypeError, ValueError):
        return None


@lru_cache(_CACHED_MAX)
def _format_whole(seconds: int) -> str:
    text: bytes = datetimeToString(seconds)
    return text.decode("ascii")
