"""The routes of the api: they parse, call the use cases, and answer."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from klein import Klein
from twisted.internet.interfaces import IReactorTime

from twisted_store.api.budget import MemoryBudget
from twisted_store.api.cluster_calls import ClusterCalls
from twisted_store.api.explain_view import dry_run_view, explain_view, redundancy_view
from twisted_store.api.file_answer import FileAnswers
from twisted_store.api.file_headers import file_to_store, scheme_choice
from twisted_store.api.metrics import MEDIA_TYPE, Metrics
from twisted_store.api.node_calls import NodeCalls
from twisted_store.api.pace import Pace
from twisted_store.api.upload import FileToStore, Uploads
from twisted_store.api.views import file_view, page_view
from twisted_store.catalog.catalog import Catalog
from twisted_store.catalog.listing import LIST_MAX
from twisted_store.cluster.members import Members
from twisted_store.core.ids import parse_node_id
from twisted_store.core.names import parse_name
from twisted_store.core.scheme import SchemeRules
from twisted_store.core.striping import UNIT_BYTES, Striping
from twisted_store.errors import BadRequestError, ObjectNotFoundError
from twisted_store.web.answers import answer_errors, answer_json
from twisted_store.web.bodies import read_json_object
from twisted_store.web.conditional import format_etag, parse_conditions
from twisted_store.web.multipart import file_part
from twisted_store.web.request import StreamingRequest

OPERATOR_BYTES_MAX = 64 * 1024
"""Largest body of an operator's call."""

_SIZE = re.compile(r"[0-9]{1,18}")
_LIMIT = re.compile(r"[1-9][0-9]{0,5}")


@dataclass(frozen=True, eq=False)
class ApiResource:
    """Klein binds ``app`` to an instance, so handlers reach their use cases through ``self``."""

    app = Klein()
    answer_errors(app)

    catalog: Catalog
    members: Members
    uploads: Uploads
    file_answers: FileAnswers
    node_calls: NodeCalls
    cluster_calls: ClusterCalls
    upload_budget: MemoryBudget
    clock: IReactorTime
    rules: SchemeRules
    metrics: Metrics

    @app.route("/files/NAME", methods=["PUT"])
    async def put_file(self, request: StreamingRequest) -> None:
        """Store the body under the name."""
        name = parse_name(request.tail)
        file = file_to_store(name, request.declared_bytes, request.requestHeaders)
        await self._store(request, file, request.body or _no_body())

    @app.route("/files/NAME", methods=["GET"])
    async def get_file(self, request: StreamingRequest) -> None:
        """Send the file, to HEAD only what GET would say of it."""
        await self.file_answers.answer(request, parse_name(request.tail))

    @app.route("/files/NAME", methods=["DELETE"])
    async def delete_file(self, request: StreamingRequest) -> None:
        """Remove the file."""
        conditions = parse_conditions(request.requestHeaders)
        await self.catalog.delete(parse_name(request.tail), conditions)
        request.setResponseCode(204)

    @app.route("/files", methods=["GET"])
    async def list_files(self, request: StreamingRequest) -> None:
        """A page of names in byte order."""
        asked = request.parameters()
        limit = asked.get("limit", str(LIST_MAX))
        if _LIMIT.fullmatch(limit) is None:
            raise BadRequestError(f"limit={limit} is not a number from 1 to 999999.")
        page = await self.catalog.list(
            asked.get("prefix", ""),
            asked.get("delimiter", ""),
            asked.get("after", ""),
            min(int(limit), LIST_MAX),
        )
        answer_json(request, 200, page_view(page))

    @app.route("/", methods=["PUT"])
    async def put_form(self, request: StreamingRequest) -> None:
        """The upload of the first system: a form whose part ``file`` has a file name."""
        part = await file_part(request.requestHeaders, request.body or _no_body())
        name = parse_name(part.filename.encode())
        # It places the part in the form, and is nothing to send with the file.
        part.headers.removeHeader("Content-Disposition")
        conditions = parse_conditions(request.requestHeaders)
        file = replace(file_to_store(name, None, part.headers), conditions=conditions)
        await self._store(request, file, part.body)

    @app.route("/", methods=["GET"])
    async def get_by_id(self, request: StreamingRequest) -> None:
        """The download of the first system: ``/?id=NAME``."""
        name = request.parameters().get("id", "")
        await self.file_answers.answer(request, parse_name(name.encode()))

    @app.route("/explain/NAME", methods=["GET"])
    async def explain(self, request: StreamingRequest) -> None:
        """Where the chunks of a file are, and why."""
        name = parse_name(request.tail)
        explained = await self.catalog.explain(name)
        if explained is None:
            raise ObjectNotFoundError(f"There is no file {name!r}.")
        answer_json(request, 200, explain_view(explained, self.members))

    @app.route("/explain", methods=["GET"])
    async def explain_size(self, request: StreamingRequest) -> None:
        """Where the chunks of a file of that size would go now, and why."""
        asked = request.parameters()
        size = asked.get("size", "")
        if _SIZE.fullmatch(size) is None:
            raise BadRequestError(f"size={size} is not a number of bytes.")
        choice = scheme_choice("scheme", asked.get("scheme"))
        scheme = self.members.target(choice or self.rules.choice(asked.get("name", "")))
        chunk_bytes = Striping(int(size), UNIT_BYTES).chunk_bytes(0)
        decision = self.members.preview(chunk_bytes, scheme)
        answer_json(request, 200, dry_run_view(int(size), scheme, decision, self.members))

    @app.route("/cluster", methods=["GET"])
    async def cluster(self, request: StreamingRequest) -> None:
        """All there is to know of the cluster."""
        answer_json(request, 200, await self.cluster_calls.cluster())

    @app.route("/jobs/<job>", methods=["POST"])
    async def control_job(self, request: StreamingRequest, job: str) -> None:
        """Pause repair or rebalancing, let it go on, limit its rate."""
        asked = await read_json_object(request, OPERATOR_BYTES_MAX)
        answer_json(request, 200, await self.cluster_calls.control(job, asked))

    @app.route("/metrics", methods=["GET"])
    async def show_metrics(self, request: StreamingRequest) -> None:
        """The counters, for Prometheus."""
        text = self.metrics.exposition()
        request.setHeader("Content-Type", MEDIA_TYPE)
        request.setHeader("Content-Length", str(len(text)))
        request.write(text)

    @app.route("/health/live", methods=["GET"])
    async def live(self, request: StreamingRequest) -> None:
        """The process runs."""
        answer_json(request, 200, {"live": True})

    @app.route("/health/ready", methods=["GET"])
    async def ready(self, request: StreamingRequest) -> None:
        """Whether files can be stored now, with reasons."""
        view = self.cluster_calls.readiness()
        answer_json(request, 200 if view["ready"] else 503, view)

    @app.route("/nodes/<node_id>/heartbeat", methods=["POST"])
    async def heartbeat(self, request: StreamingRequest, node_id: str) -> None:
        """A node reports."""
        await self.node_calls.heartbeat(request, parse_node_id(node_id))

    @app.route("/nodes/<node_id>/ask", methods=["POST"])
    async def ask(self, request: StreamingRequest, node_id: str) -> None:
        """A node asks what became of chunks."""
        await self.node_calls.ask(request, parse_node_id(node_id))

    @app.route("/nodes/<node_id>/quarantined", methods=["POST"])
    async def quarantined(self, request: StreamingRequest, node_id: str) -> None:
        """A node tells of damaged chunks."""
        await self.node_calls.quarantined(request, parse_node_id(node_id))

    @app.route("/nodes/<node_id>/drain", methods=["POST"])
    async def drain(self, request: StreamingRequest, node_id: str) -> None:
        """Move all chunks away from a node, or no longer."""
        draining = (await read_json_object(request, OPERATOR_BYTES_MAX)).get("draining", True)
        if not isinstance(draining, bool):
            raise BadRequestError("draining must be true or false.")
        answer_json(request, 200, await self.cluster_calls.drain(parse_node_id(node_id), draining))

    @app.route("/nodes/<node_id>", methods=["DELETE"])
    async def forget(self, request: StreamingRequest, node_id: str) -> None:
        """Forget a node that nobody needs, or that will not come back."""
        gone = request.parameters().get("gone", "false")
        if gone not in ("true", "false"):
            raise BadRequestError(f"gone={gone} is neither true nor false.")
        await self.cluster_calls.forget(parse_node_id(node_id), gone == "true")
        request.setResponseCode(204)

    @app.route("/nodes/<node_id>/safe-to-stop", methods=["GET"])
    async def safe_to_stop(self, request: StreamingRequest, node_id: str) -> None:
        """Whether nobody would miss a node."""
        reasons = await self.cluster_calls.objections_to_stop(parse_node_id(node_id))
        view = {"safe": not reasons, "reasons": reasons}
        answer_json(request, 412 if reasons else 200, view)

    async def _store(
        self, request: StreamingRequest, file: FileToStore, body: AsyncIterator[bytes]
    ) -> None:
        with Pace(request, self.upload_budget, self.clock).kept(body) as paced:
            stored = await self.uploads.put(file, paced)
        headers = {"ETag": format_etag(stored.manifest.etag)}
        status = 200 if stored.replaced else 201
        redundancy = redundancy_view(stored.manifest.scheme, stored.placement)
        answer_json(request, status, file_view(stored.manifest) | redundancy, headers)


async def _no_body() -> AsyncIterator[bytes]:
    """The body of a request that has none."""
    pieces: tuple[bytes, ...] = ()
    for piece in pieces:
        yield piece
