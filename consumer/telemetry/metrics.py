"""Every metric of the service, in one list."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """One registry a process, passed in, so that tests and several services in one process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.intake_records = Counter(
            "forecast_intake_records_total",
            "Records by what became of them",
            ["result"],
            registry=self.registry,
        )
        self.intake_batch_seconds = Histogram(
            "forecast_intake_batch_seconds", "Transaction of one batch", buckets=_FAST, registry=self.registry
        )
        self.executions = Counter(
            "forecast_executions_total", "Ended executions", ["comando", "status"], registry=self.registry
        )
        self.executions_running = Gauge("forecast_executions_running", "Executions now", registry=self.registry)
        self.published = Counter("forecast_published_total", "Messages the broker took", registry=self.registry)
        self.parked = Counter(
            "forecast_parked_total", "Messages the broker will never take, set aside", registry=self.registry
        )
        self.loop_lag = Histogram(
            "forecast_event_loop_lag_seconds",
            "How late the event loop is",
            buckets=_FAST,
            registry=self.registry,
        )
        self.queued = Gauge("forecast_queued_commands", "Waiting, counted up to max_queued", registry=self.registry)
        self.intake_paused = Gauge("forecast_intake_paused", "1 while backpressure holds", registry=self.registry)
        self.seconds_since_poll = Gauge(
            "forecast_seconds_since_poll", "Since intake last heard of Kafka", registry=self.registry
        )
        self.seconds_since_relay = Gauge(
            "forecast_seconds_since_relay_round",
            "Since the relay last finished a round",
            registry=self.registry,
        )
