"""What Prometheus reads of a server: requests, their seconds, batches, queues and items.

Each server has a registry of its own, so that two of them in one process do not mix.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

# Seconds; a recommendation takes a few milliseconds.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Measures:
    """The measurements of one server."""

    def __init__(self):
        self.registry = CollectorRegistry()
        # Memory, processor time and open files of this process.
        ProcessCollector(registry=self.registry)
        prefix = {"namespace": "recbole_mpo", "registry": self.registry}
        self.requests = Counter("requests", "Answered requests.", ["route", "status"], **prefix)
        self.seconds = Histogram(
            "request_seconds", "Time from a request's head to its answer.", ["route"], buckets=SECONDS, **prefix
        )
        self.batches = Histogram(
            "batch_size", "Requests that a model answered together.", ["model"], buckets=SIZES, **prefix
        )
        self.queue = Gauge("queue_length", "Requests that wait for a model.", ["model"], **prefix)
        self.items = Gauge("items", "Items that a model ranks.", ["model"], **prefix)
        self.added = Gauge("added_items", "Items that were added while serving.", ["model"], **prefix)

    def answered(self, route: str, status: int, seconds: float):
        """Count an answer.

        Args:
            route: the route's path, or ``other``: what clients make up must not become names.
            status: HTTP status.
            seconds: how long it took.
        """
        self.requests.labels(route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def watch(self, name: str, model, queues):
        """Measure a model's items and its queues.

        Args:
            name: its name in requests.
            model: a ``ServedModel``.
            queues: what waits for it.
        """
        self.queue.labels(name).set_function(lambda: sum(map(len, queues)))
        self.items.labels(name).set_function(lambda: model.items)
        self.added.labels(name).set_function(lambda: model.added_items)

    def as_text(self) -> bytes:
        """Return all measurements in Prometheus' text form."""
        return generate_latest(self.registry)
