"""What a server counts, for Prometheus: the sums of all its processes, through files of prometheus_client.

PROMETHEUS_MULTIPROC_DIR, the folder of these files, is set before the processes begin (pipeline/serve.py).
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class ServerMetrics:
    """Counters of one process; made once in it."""

    def __init__(self) -> None:
        self._requests = Counter("ctr_requests", "Requests answered", ["path", "status"])
        self._by_status: dict[tuple[str, int], Counter] = {}
        rows = Counter("ctr_rows", "Rows of /score", ["outcome"])
        self.scored, self.refused = rows.labels("scored"), rows.labels("error")
        self.seconds = Histogram("ctr_request_seconds", "Seconds from a request's body to its answer", buckets=SECONDS)
        self.batch_rows = Histogram("ctr_batch_rows", "Rows that one call of the model scored", buckets=ROWS)
        reloads = Counter("ctr_reloads", "New models met", ["outcome"])
        self.reloaded, self.not_reloaded = reloads.labels("loaded"), reloads.labels("refused")
        self.loaded_at = Gauge("ctr_model_loaded_timestamp_seconds", "When", multiprocess_mode="livemin")

    def count(self, path: str, status: int) -> None:
        """A request was answered."""
        counter = self._by_status.get((path, status))
        if counter is None:
            counter = self._by_status[path, status] = self._requests.labels(path, str(status))
        counter.inc()


def exposition() -> bytes:
    """The metrics of all processes, as Prometheus reads them."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    found: bytes = generate_latest(registry)
    return found
