"""The bot's own figures, for Prometheus: in a registry of its own, so that two bots in one process do not mix."""

import math
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from bot.store import DatabaseDown

FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

OLDEST = {
    "inbox": "delivery that is not read yet",
    "timers": "timer that is due and not handled",
    "outbox": "effect that is due and not done",
}


class Measures:
    """What is counted. Depths are asked for when they are read."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._deliveries = Counter(
            "firstfive_deliveries_total", "Webhook deliveries by source and answer.", ["source", "status"],
            registry=self.registry,
        )  # fmt: skip
        self._limited = Counter(
            "firstfive_deliveries_limited_total", "Deliveries that a limit of the policy refused, by source and limit.",
            ["source", "limit"], registry=self.registry,
        )  # fmt: skip
        self._of: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._seconds = Histogram(
            "firstfive_delivery_seconds", "Time to answer a webhook, its commit included.", ["source"],
            buckets=FAST, registry=self.registry,
        )  # fmt: skip
        self._slack = Histogram(
            "firstfive_slack_request_seconds", "Time to answer Slack, its commit included.", ["status"],
            buckets=FAST, registry=self.registry,
        )  # fmt: skip
        self._dropped = Gauge(
            "firstfive_alerts_dropped", "Alerts that a route of the policy has dropped, ever, by route.", ["route"],
            registry=self.registry,
        )  # fmt: skip
        self._quieted = Gauge(
            "firstfive_alerts_quieted", "Alerts kept quiet, ever: by silences, and by each maintenance window.", ["by"],
            registry=self.registry,
        )  # fmt: skip
        self._hushed = Gauge(
            "firstfive_alerts_hushed", "Alerts recorded and not announced, ever, because their source announced so many.", ["source"],
            registry=self.registry,
        )  # fmt: skip
        self._ignored = Gauge(
            "firstfive_deliveries_ignored", "Deliveries that were taken, and in which their source found nothing to act on, ever.",
            ["source"], registry=self.registry,
        )  # fmt: skip
        self._depth = Gauge(
            "firstfive_queue_depth", "Rows that wait or are parked, by queue and state.", ["queue", "state"],
            registry=self.registry,
        )  # fmt: skip
        self._ages = {
            queue: Gauge(f"firstfive_{queue}_oldest_seconds", f"Age of the oldest {what}.", registry=self.registry)
            for queue, what in OLDEST.items()
        }
        self._up = Gauge("firstfive_database_up", "Whether the database could be read just now.", registry=self.registry)

    def delivery(self, source: str, status: int, seconds: float) -> None:
        """Count one webhook delivery."""
        known = self._of.get((source, status))
        if known is None:
            # Found once: looking labels up costs as much as verifying the delivery.
            known = self._deliveries.labels(source, str(status)), self._seconds.labels(source)
            self._of[source, status] = known
        count, lasted = known
        count.inc()
        lasted.observe(seconds)

    def limited(self, source: str, limit: str) -> None:
        """Count one delivery that a limit refused; it is counted as a delivery, too."""
        self._limited.labels(source, limit).inc()

    def slack(self, status: int, seconds: float) -> None:
        """Count one request of Slack's."""
        self._slack.labels(str(status)).observe(seconds)

    def text(
        self,
        depths: Callable[[], dict[str, dict[str, int]]],
        ages: Callable[[], dict[str, float]],
        dropped: Callable[[], dict[str, int]] = dict,
        quieted: Callable[[], dict[str, int]] = dict,
        hushed: Callable[[], dict[str, int]] = dict,
        ignored: Callable[[], dict[str, int]] = dict,
    ) -> bytes:
        """Everything, in Prometheus' text format. Without the database: what is counted here, and no depth at all."""
        counted = self._dropped, self._quieted, self._hushed, self._ignored
        for gauge in (self._depth, *counted):
            gauge.clear()
        try:
            found, oldest, numbers = depths(), ages(), (dropped(), quieted(), hushed(), ignored())
        except DatabaseDown:
            found, oldest, numbers = None, {}, ({}, {}, {}, {})
        self._up.set(found is not None)
        for queue, states in (found or {}).items():
            for state, number in states.items():
                self._depth.labels(queue, state).set(number)
        for gauge, by in zip(counted, numbers, strict=True):
            for what, number in by.items():
                gauge.labels(what).set(number)
        for queue, gauge in self._ages.items():
            gauge.set(oldest.get(queue, math.nan))
        return generate_latest(self.registry)
