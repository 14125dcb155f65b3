"""
Conditional requests as values: RFC 9110 section 13, without its header syntax.

An ETag is given here as it stands in a manifest, its opaque text without quotes; ours are always
strong. Times are whole seconds since the epoch, as ``Last-Modified`` has them.
"""

from dataclasses import dataclass
from typing import Literal

from twisted_store.errors import PreconditionFailedError


@dataclass(frozen=True, slots=True)
class EntityTag:
    """An entity tag that a client sent (RFC 9110 section 8.8.3)."""

    opaque: str
    weak: bool = False


@dataclass(frozen=True, slots=True)
class EntityTags:
    """The value of ``If-Match`` or ``If-None-Match``: some entity tags, or ``*`` for any."""

    tags: tuple[EntityTag, ...] = ()
    any_tag: bool = False

    def match_strongly(self, etag: str | None) -> bool:
        """Whether the current ETag is among these by strong comparison (section 8.8.3.2)."""
        return etag is not None and (self.any_tag or EntityTag(etag) in self.tags)

    def match_weakly(self, etag: str | None) -> bool:
        """Whether the current ETag is among these, weak ones included."""
        return etag is not None and (self.any_tag or etag in [tag.opaque for tag in self.tags])


@dataclass(frozen=True, slots=True)
class Conditions:
    """The preconditions of one request; None where the client did not set one."""

    if_match: EntityTags | None = None
    if_none_match: EntityTags | None = None
    if_modified_since: int | None = None
    if_unmodified_since: int | None = None
    if_range: EntityTag | int | None = None

    def check_write(self, current_etag: str | None, modified_seconds: int | None = None) -> None:
        """
        Raise PreconditionFailedError unless a PUT or DELETE may replace what is there.

        ``current_etag`` is None when there is no object of that name. Decided in the order of
        section 13.2.2; ``If-Modified-Since`` has no say in a write.
        """
        self._check_unchanged(current_etag, modified_seconds)
        if self.if_none_match is not None and self.if_none_match.match_weakly(current_etag):
            raise PreconditionFailedError(
                "If-None-Match does not hold: the file exists.", current_etag
            )

    def check_read(self, etag: str, modified_seconds: int) -> Literal["serve", "not_modified"]:
        """
        Whether a GET or HEAD sends the object or answers 304, in the order of section 13.2.2.

        Raises PreconditionFailedError where ``If-Match`` or ``If-Unmodified-Since`` do not hold.
        """
        self._check_unchanged(etag, modified_seconds)
        if self.if_none_match is not None:
            unchanged = self.if_none_match.match_weakly(etag)
        else:
            since = self.if_modified_since
            unchanged = since is not None and modified_seconds <= since
        return "not_modified" if unchanged else "serve"

    def range_applies(self, etag: str, modified_seconds: int) -> bool:
        """Whether ``If-Range``, where present, lets a range be sent (section 13.1.5)."""
        if self.if_range is None:
            return True
        return self.if_range in (EntityTag(etag), modified_seconds)

    def _check_unchanged(self, etag: str | None, modified_seconds: int | None) -> None:
        if self.if_match is not None:
            if not self.if_match.match_strongly(etag):
                raise PreconditionFailedError(
                    "If-Match does not hold: the file is missing or has another ETag.", etag
                )
            return
        since = self.if_unmodified_since
        if since is not None and modified_seconds is not None and modified_seconds > since:
            raise PreconditionFailedError(
                "If-Unmodified-Since does not hold: the file is newer.", etag
            )


NO_CONDITIONS = Conditions()
