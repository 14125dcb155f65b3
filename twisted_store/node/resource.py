"""The routes of a node: they parse, call, and answer."""

import re
from dataclasses import asdict, dataclass

from klein import Klein
from twisted.web.resource import IResource, Resource
from zope.interface import implementer

from twisted_store import __version__
from twisted_store.core.batch import BATCH_BYTES_MAX
from twisted_store.core.batch import MEDIA_TYPE as BATCH_MEDIA_TYPE
from twisted_store.core.durability import DURABILITY_HEADER, STRICT, Durability
from twisted_store.core.ids import (
    ChunkId,
    NodeId,
    parse_chunk_index,
    parse_node_id,
    parse_object_id,
)
from twisted_store.core.peer import (
    INCARNATION_HEADER,
    NODE_ID_HEADER,
    SEQUENCE_HEADER,
    SOURCE_NODE_HEADER,
    SOURCE_URL_HEADER,
    Peer,
)
from twisted_store.errors import (
    BadRequestError,
    CorruptionError,
    IncompleteBodyError,
    NodeFailedError,
)
from twisted_store.node.batches import Batches, Caller
from twisted_store.node.chunk_answer import ChunkAnswers
from twisted_store.node.copies import Copies
from twisted_store.node.health import NodeHealth
from twisted_store.node.marking import Marking
from twisted_store.node.uploads import Uploads
from twisted_store.options import base_url
from twisted_store.storage.identity import NodeIdentity
from twisted_store.storage.store import ChunkStore
from twisted_store.storage.writer import StoredChunk
from twisted_store.web.answers import answer_errors, answer_json
from twisted_store.web.bodies import read_body
from twisted_store.web.request import StreamingRequest
from twisted_store.web.secret import require_secret

LIST_CHUNKS_MAX = 1000
"""Most chunks of one page, and the number without a limit."""

CHUNK_BYTES_HEADER = "X-Chunk-Bytes"

_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, eq=False)
class NodeResource:
    """Klein binds ``app`` to an instance, so handlers reach their use cases through ``self``."""

    app = Klein()
    answer_errors(app)

    store: ChunkStore
    identity: NodeIdentity
    health: NodeHealth
    uploads: Uploads
    copies: Copies
    chunk_answers: ChunkAnswers
    marking: Marking
    batches: Batches
    instance: str

    @app.route("/chunks/<object_id>/<index>", methods=["PUT"])
    async def put_chunk(self, request: StreamingRequest, object_id: str, index: str) -> None:
        """Store the framed body, manifest last, as a provisional chunk."""
        chunk_id = _chunk_id(object_id, index)
        chunk_bytes = _header_number(request, CHUNK_BYTES_HEADER)
        durability = _durability(request)
        if request.body is None:
            raise IncompleteBodyError(f"Chunk {chunk_id} came without a body.")
        try:
            stored = await self.uploads.put(chunk_id, request.body, chunk_bytes, durability)
        except CorruptionError as error:
            # Damaged on its way to us: what is stored here is well.
            raise BadRequestError(error.message) from error
        self._answer_stored(request, stored)

    @app.route("/chunks/<object_id>/<index>/copy", methods=["POST"])
    async def copy_chunk(self, request: StreamingRequest, object_id: str, index: str) -> None:
        """Store the chunk as another node holds it, no faster than the body grants."""
        chunk_id = _chunk_id(object_id, index)
        chunk_bytes = _header_number(request, CHUNK_BYTES_HEADER)
        if chunk_bytes is None:
            raise BadRequestError(f"Say how many bytes the chunk has: {CHUNK_BYTES_HEADER}.")
        stored = await self.copies.copy(
            chunk_id, _source(request), request.body, chunk_bytes, _durability(request)
        )
        self._answer_stored(request, stored)

    @app.route("/chunks/<object_id>/<index>", methods=["GET", "HEAD"])
    async def get_chunk(self, request: StreamingRequest, object_id: str, index: str) -> None:
        """Send the chunk or a range of it, in frames if they are accepted."""
        await self.chunk_answers.answer(request, _chunk_id(object_id, index))

    @app.route("/chunks/<object_id>/<index>", methods=["DELETE"])
    async def discard_chunk(self, request: StreamingRequest, object_id: str, index: str) -> None:
        """Remove a provisional chunk; it does not matter whether it is there."""
        incarnation = _header_number(request, INCARNATION_HEADER)
        if incarnation is None:
            raise BadRequestError(f"Say which api discards the chunk: {INCARNATION_HEADER}.")
        await self.marking.discard(_chunk_id(object_id, index), incarnation)
        request.setResponseCode(204)

    @app.route("/chunks/batch", methods=["POST"])
    async def perform_batch(self, request: StreamingRequest) -> None:
        """Do many things with small chunks; each has its own result."""
        caller = Caller(
            _header_number(request, INCARNATION_HEADER), _header_number(request, SEQUENCE_HEADER)
        )
        durability = _durability(request)
        body = await read_body(request, BATCH_BYTES_MAX)
        answer = b"".join(await self.batches.perform(body, durability, caller))
        request.setHeader("Content-Type", BATCH_MEDIA_TYPE)
        request.setHeader("Content-Length", str(len(answer)))
        request.write(answer)

    @app.route("/chunks", methods=["GET"])
    async def list_chunks(self, request: StreamingRequest) -> None:
        """A page of the chunks held here, and after which one the next page begins."""
        parameters = request.parameters()
        after = ChunkId.parse(parameters["after"]) if "after" in parameters else None
        limit = _number("limit", parameters.get("limit"))
        page = await self.store.list(after, min(limit or LIST_CHUNKS_MAX, LIST_CHUNKS_MAX))
        chunks = [
            {
                "chunk": str(held.chunk_id),
                "state": held.state.value,
                "file_bytes": held.file_bytes,
            }
            for held in page.chunks
        ]
        next_after = None if page.next_after is None else str(page.next_after)
        answer_json(request, 200, {"chunks": chunks, "next": next_after})

    @app.route("/health/live", methods=["GET"])
    async def live(self, request: StreamingRequest) -> None:
        """Whoever gets this answer knows that the process runs."""
        answer_json(request, 200, {"live": True, "version": __version__})

    @app.route("/health/ready", methods=["GET"])
    async def ready(self, request: StreamingRequest) -> None:
        """Whether this node can serve, why not, and who it is."""
        objections = self.health.objections()
        answer = {
            "ready": not objections,
            "reasons": [asdict(reason) for reason in [*objections, *self.health.remarks()]],
            "node_id": self.identity.node_id,
            "instance": self.instance,
        }
        answer_json(request, 503 if objections else 200, answer)

    def _answer_stored(self, request: StreamingRequest, stored: StoredChunk) -> None:
        answer = {"bytes": stored.chunk_bytes, "used_bytes": self.store.used_bytes}
        answer_json(request, 201, answer)


@implementer(IResource)
class GuardedResource(Resource):
    """
    What of ``resource`` is not about health takes the cluster's secret, where there is one.

    It takes no call that is meant for another node than ``node_id``.
    """

    isLeaf = True

    def __init__(self, resource: IResource, secret: str | None, node_id: NodeId) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._resource = resource
        self._secret = secret
        self._node_id = node_id

    def render(self, request: StreamingRequest) -> object:
        """Pass on; what is raised here is answered by the request."""
        if (request.postpath or [])[:1] != [b"health"]:
            require_secret(request, self._secret)
            self._require_recipient(request)
        return self._resource.render(request)

    def _require_recipient(self, request: StreamingRequest) -> None:
        meant = request.getHeader(NODE_ID_HEADER)
        if meant not in (None, self._node_id):
            raise NodeFailedError(f"This is node {self._node_id}, not {meant}.")


def _chunk_id(object_id: str, index: str) -> ChunkId:
    return ChunkId(parse_object_id(object_id), parse_chunk_index(index))


def _durability(request: StreamingRequest) -> Durability:
    text = request.getHeader(DURABILITY_HEADER)
    return STRICT if text is None else Durability.parse(text)


def _source(request: StreamingRequest) -> Peer:
    node_id = parse_node_id(request.getHeader(SOURCE_NODE_HEADER) or "")
    try:
        return Peer(node_id, base_url(request.getHeader(SOURCE_URL_HEADER) or ""))
    except ValueError as error:
        raise BadRequestError(f"{SOURCE_URL_HEADER} says where no node is: {error}") from error


def _number(name: str, text: str | None) -> int | None:
    if text is not None and _NUMBER.fullmatch(text) is None:
        raise BadRequestError(f"{name} must be a number, not {text!r}.")
    return None if text is None else int(text)


def _header_number(request: StreamingRequest, name: str) -> int | None:
    return _number(name, request.getHeader(name))
