"""
Every error this project raises on purpose.

    StoreError
    ├── BadRequestError            the request cannot be understood                 400
    │   ├── InvalidNameError
    │   ├── DigestMismatchError
    │   └── IncompleteBodyError
    ├── UnauthorizedError          no or a wrong secret                             401
    ├── NotFoundError                                                               404
    │   ├── ObjectNotFoundError
    │   ├── ChunkNotFoundError
    │   └── NodeNotFoundError
    ├── SlowClientError                                                             408
    ├── ConflictError              right request, wrong state                       409
    │   ├── ForeignClusterError
    │   ├── DuplicateNodeError
    │   ├── NodeNeededError
    │   └── CatalogRolledBackError
    ├── PreconditionFailedError                                                     412
    ├── TooLargeError                                                               413
    ├── RangeNotSatisfiableError                                                    416
    ├── CorruptionError            stored or sent bytes are not what was written    500
    │   ├── ChecksumError
    │   └── FormatError
    ├── UnavailableError           try again later                                  503
    │   ├── TooFewNodesError
    │   ├── OverloadedError
    │   ├── NodeFailedError
    │   │   └── NodeSlowError
    │   └── StoppingError
    ├── NoSpaceError                                                                507
    └── StartupError               a role refuses to start
        └── DirectoryHeldError

The message is written for the person who reads the answer: what happened, why, what to do. ``code``
is for programs and never changes. The mapping to HTTP statuses lives in ``web/answers.py``.
"""

from typing import ClassVar


class StoreError(Exception):
    """
    Base class: ``code`` names the fact for programs, ``message`` tells it to people.

    A message may end with another one that it quotes; of their two full stops it keeps one.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, retry_after_seconds: int | None = None) -> None:
        if message.endswith(".."):
            message = message.removesuffix(".")
        super().__init__(message)
        self.message = message
        self.retry_after_seconds = retry_after_seconds


class BadRequestError(StoreError):
    """The request cannot be understood or contradicts itself."""

    code = "bad_request"


class InvalidNameError(BadRequestError):
    """The name is empty, too long or not UTF-8."""

    code = "invalid_name"


class DigestMismatchError(BadRequestError):
    """The body does not have the digest that the client sent with it."""

    code = "digest_mismatch"


class IncompleteBodyError(BadRequestError):
    """The body ended early."""

    code = "incomplete_body"


class UnauthorizedError(StoreError):
    """The call carries no secret, or a wrong one."""

    code = "unauthorized"


class NotFoundError(StoreError):
    """Nothing is there."""

    code = "not_found"


class ObjectNotFoundError(NotFoundError):
    """No file has this name."""


class ChunkNotFoundError(NotFoundError):
    """The node does not hold this chunk."""

    code = "chunk_not_found"


class NodeNotFoundError(NotFoundError):
    """No node has this id."""

    code = "node_not_found"


class SlowClientError(StoreError):
    """The client sent or took too few bytes for too long."""

    code = "client_too_slow"


class ConflictError(StoreError):
    """The request is right, but not in this state of things."""

    code = "conflict"


class ForeignClusterError(ConflictError):
    """The node belongs to another cluster."""

    code = "foreign_cluster"


class DuplicateNodeError(ConflictError):
    """Another running process answers for this node id."""

    code = "duplicate_node"


class NodeNeededError(ConflictError):
    """The node cannot be forgotten: files need it, or it still runs."""

    code = "node_needed"


class CatalogRolledBackError(ConflictError):
    """The node has seen later commits than the catalog that speaks to it."""

    code = "catalog_rolled_back"


class PreconditionFailedError(StoreError):
    """A condition does not hold; ``etag`` is the current one, None when there is no file."""

    code = "precondition_failed"

    def __init__(self, message: str, etag: str | None) -> None:
        super().__init__(message)
        self.etag = etag


class TooLargeError(StoreError):
    """The body, or a part of the request, exceeds its limit."""

    code = "too_large"


class RangeNotSatisfiableError(StoreError):
    """The range lies beyond the ``size_bytes`` of the file."""

    code = "range_not_satisfiable"

    def __init__(self, message: str, size_bytes: int) -> None:
        super().__init__(message)
        self.size_bytes = size_bytes


class CorruptionError(StoreError):
    """Bytes are not what was written."""

    code = "corrupt"


class ChecksumError(CorruptionError):
    """A block does not have its checksum."""

    code = "checksum"


class FormatError(CorruptionError):
    """A record does not have its format."""

    code = "bad_format"


class UnavailableError(StoreError):
    """The store cannot do this now; the same request may succeed later."""

    code = "unavailable"


class TooFewNodesError(UnavailableError):
    """Fewer usable nodes than a file has chunks."""

    code = "too_few_nodes"


class OverloadedError(UnavailableError):
    """A named limit is reached."""

    code = "overloaded"


class NodeFailedError(UnavailableError):
    """A node did not do its part."""

    code = "node_failed"


class NodeSlowError(NodeFailedError):
    """A node did not do its part in time."""


class StoppingError(UnavailableError):
    """The process is on its way out."""

    code = "stopping"


class NoSpaceError(StoreError):
    """The node has no room left above its reserve."""

    code = "no_space"


class StartupError(StoreError):
    """A role refuses to start; the message is shown to the operator."""

    code = "startup"


class DirectoryHeldError(StartupError):
    """Another process uses the data directory."""
