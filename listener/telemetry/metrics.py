"""The counters and durations of this process, in Prometheus's names. No label can take unboundedly many values.

Knows what is counted; does not know when. What is a state rather than a count is read at the scrape: http/metrics.py.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, Info
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from listener import __version__

MOST_VALUES = 100
OTHER = "other"
ATTEMPT_BUCKETS = (0.5, 1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600)
PICKUP_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800)
STAGE_BUCKETS = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 20, 45, 90, 180, 300, 600)
CALL_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


class Bounded:
    """Lets the first hundred values of a label through and calls the rest `other`: codes come from handlers too."""

    def __init__(self, most: int = MOST_VALUES) -> None:
        self._most = most
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        """The value, or `other`."""
        if value not in self._seen:
            if len(self._seen) >= self._most:
                return OTHER
            self._seen.add(value)
        return value


class Metrics:
    """What happened in this process, counted."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        Info("listener_build", "Version of this worker.", registry=self.registry).info({"version": __version__})
        self._code = Bounded()
        self._reason = Bounded()
        self._count_sessions()
        self._count_calls()

    def _count_sessions(self) -> None:
        registry = self.registry
        self._claims = Counter("listener_claims", "Claims by what came of them.", ["result"], registry=registry)
        self._claimed = Counter("listener_sessions_claimed", "Sessions claimed.", ["kind"], registry=registry)
        self._settled = Counter(
            "listener_sessions_settled", "Attempts settled, by outcome.", ["kind", "outcome"], registry=registry
        )
        self._failures = Counter(
            "listener_attempt_failures", "Attempts that failed, by error code.", ["kind", "code"], registry=registry
        )
        self._attempt_s = Histogram(
            "listener_attempt_duration_seconds",
            "From the claim's answer to the settlement's.",
            ["kind", "outcome"],
            buckets=ATTEMPT_BUCKETS,
            registry=registry,
        )
        self._stage_s = Histogram(
            "listener_stage_seconds",
            "Where an attempt's time goes: fetch, wait (in line for a device), generate, encode, upload.",
            ["kind", "stage"],
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        self._pickup_s = Histogram(
            "listener_pickup_seconds",
            "From the insert to the first claim's answer, across the database's clock and ours.",
            ["kind"],
            buckets=PICKUP_BUCKETS,
            registry=registry,
        )
        self._session_s = Histogram(
            "listener_session_seconds",
            "From the insert to completed, with all waiting, across the database's clock and ours.",
            ["kind"],
            buckets=ATTEMPT_BUCKETS,
            registry=registry,
        )
        self._swept = Counter(
            "listener_sessions_swept", "What sweeps of this worker did.", ["result"], registry=registry
        )

    def _count_calls(self) -> None:
        registry = self.registry
        self._wakeups = Counter("listener_wakeups", "Wake-ups by their reason.", ["reason"], registry=registry)
        self._calls = Counter(
            "listener_dependency_calls",
            "Calls by dependency and result.",
            ["dependency", "call", "result"],
            registry=registry,
        )
        self._call_s = Histogram(
            "listener_dependency_call_seconds",
            "Duration of calls.",
            ["dependency", "call"],
            buckets=CALL_BUCKETS,
            registry=registry,
        )
        self._deliveries = Counter(
            "listener_deliveries", "Webhooks to partners, by what came of them.", ["outcome"], registry=registry
        )
        self._generations = Counter(
            "listener_generations", "Generations by who made them.", ["kind", "generator"], registry=registry
        )
        self._cost_usd = Counter(
            "listener_generation_cost_usd", "What they cost, as far as known.", ["kind", "generator"], registry=registry
        )
        self._device_s = Counter(
            "listener_device_seconds", "Work of devices of our own for sessions.", ["kind"], registry=registry
        )
        self._spent_usd = Counter(
            "listener_cost_usd", "What sessions came to, devices and providers, as known.", ["kind"], registry=registry
        )
        self._requests = Counter(
            "listener_http_requests", "Requests answered.", ["route", "method", "status"], registry=registry
        )
        self._request_s = Histogram(
            "listener_http_request_seconds",
            "From a request's head to its answer, bodies of forms included.",
            ["route"],
            buckets=CALL_BUCKETS,
            registry=registry,
        )

    def claim_answered(self, sessions: int) -> None:
        """A claim brought so many sessions."""
        self._claims.labels("sessions" if sessions else "empty").inc()

    def claim_failed(self) -> None:
        """A claim was not answered."""
        self._claims.labels("error").inc()

    def session_claimed(self, kind: str, pickup_s: float | None) -> None:
        """A session came; `pickup_s` is None when it is not its first attempt."""
        self._claimed.labels(kind).inc()
        if pickup_s is not None:
            self._pickup_s.labels(kind).observe(max(0.0, pickup_s))

    def settled(self) -> dict[str, int]:
        """How many attempts ended how."""
        found: dict[str, int] = {}
        for sample in (one for family in self._settled.collect() for one in family.samples):
            if sample.name.endswith("_total"):
                outcome = sample.labels["outcome"]
                found[outcome] = found.get(outcome, 0) + int(sample.value)
        return found

    def attempt_settled(self, kind: str, outcome: str, duration_s: float | None, code: str | None = None) -> None:
        """An attempt was settled; `code` tells why it failed."""
        self._settled.labels(kind, outcome).inc()
        if duration_s is not None:
            self._attempt_s.labels(kind, outcome).observe(duration_s)
        if code is not None:
            self._failures.labels(kind, self._code(code)).inc()

    def session_completed(self, kind: str, took_s: float) -> None:
        """A session is completed, so long after its insert."""
        self._session_s.labels(kind).observe(max(0.0, took_s))

    def stage_took(self, kind: str, stage: str, duration_s: float) -> None:
        """A stage of an attempt ended."""
        self._stage_s.labels(kind, stage).observe(duration_s)

    def swept(self, **counts: int) -> None:
        """A sweep found something."""
        for result, count in counts.items():
            self._swept.labels(result).inc(count)

    def woken(self, reason: str) -> None:
        """A source said "look"."""
        self._wakeups.labels(self._reason(reason)).inc()

    def called(self, dependency: str, call: str, result: str, duration_s: float) -> None:
        """A call to a dependency ended: ok, unavailable or rejected."""
        self._calls.labels(dependency, call, result).inc()
        self._call_s.labels(dependency, call).observe(duration_s)

    def delivery_ended(self, outcome: str) -> None:
        """A webhook to a partner was delivered, refused, given back, or has to be sent again."""
        self._deliveries.labels(outcome).inc()

    def generated(self, kind: str, generator: str, cost_usd: float | None) -> None:
        """A generator made what was asked."""
        self._generations.labels(kind, generator).inc()
        self._cost_usd.labels(kind, generator).inc(max(0.0, cost_usd or 0.0))

    def attempt_cost(self, kind: str, device_s: float | None, cost_usd: float | None) -> None:
        """An attempt came to so much, as far as known, whether or not that could be written down."""
        self._device_s.labels(kind).inc(device_s or 0.0)
        self._spent_usd.labels(kind).inc(cost_usd or 0.0)

    def request_answered(self, route: str, method: str, status: int, took_s: float) -> None:
        """The HTTP server answered; `route` is its pattern, never the path."""
        self._requests.labels(route, method, str(status)).inc()
        self._request_s.labels(route).observe(took_s)
