"""What an api counts, for ``/metrics``."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from twisted_store.core.hedging import HedgingDelay

MEDIA_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The counters of one api, in a registry of its own."""

    def __init__(self, hedging: HedgingDelay) -> None:
        self._registry = CollectorRegistry()
        self.degraded_reads = self._counter(
            "degraded_reads", "Downloads that began without some data chunk in its own place."
        )
        self.lanes_lost = self._counter(
            "read_sources_lost",
            "Chunks that a download went on without, by cause.",
            "cause",
        )
        self.chunks_moved = self._counter(
            "upload_chunks_moved", "Chunks that went to another node, as the first one failed."
        )
        self.holes = self._counter(
            "upload_holes", "Chunks that uploads were acknowledged without, as their nodes failed."
        )
        self.move_read_bytes = self._counter(
            "move_read_bytes", "Bytes of chunks read to make others of them."
        )
        delay = Gauge(
            "twisted_store_hedging_delay_seconds",
            "How long a source may keep a reader waiting while others could serve.",
            registry=self._registry,
        )
        delay.set_function(lambda: hedging.seconds)

    def add(self, collector: Collector) -> None:
        """Give what that one knows, too."""
        self._registry.register(collector)

    def exposition(self) -> bytes:
        """The figures in the text format of Prometheus."""
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"twisted_store_{name}", text, labels, registry=self._registry)
