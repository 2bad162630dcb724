"""What the server counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "primer_serve_requests", "Requests.", ("api", "model", "code"), registry=registry
        )
        self.latency = Histogram(
            "primer_serve_request_seconds",
            "Seconds from a whole request to its answer.",
            ("api",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.tokens = Counter(
            "primer_serve_tokens", "New tokens of completions.", registry=registry
        )
        self.in_flight = Gauge(
            "primer_serve_requests_in_flight", "Requests in work.", registry=registry
        )

    def page(self) -> bytes:
        """Returns all metrics in Prometheus' text format."""
        return generate_latest(self._registry)
