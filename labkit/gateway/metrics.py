"""What the gateway counts, for Prometheus. No label holds a lab, a machine or a learner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client import Counter as Counted
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from labkit.gateway.access import loopback_name
from labkit.gateway.application import Asked
from labkit.gateway.machines import Denied
from labkit.gateway.responses import Response
from labkit.gateway.tunnels import Tunnel, Tunnels

_FIRST_BYTE = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


class Metrics(Collector):
    """The counts of this process. Bytes are counted by the streams themselves, and added up when somebody asks.

    `everybody` lets any request read them; else only one that comes to the loopback port itself, through no proxy.
    """

    def __init__(self, *, everybody: bool) -> None:
        self.tunnels: Tunnels | None = None
        self._everybody = everybody
        self._ended: Counter[tuple[str, str]] = Counter()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._refused = Counted("labkit_gateway_refusals", "Refused requests", ["cause"], registry=self._registry)
        self._first = Histogram(
            "labkit_gateway_first_byte_seconds",
            "From a stream's request to the machine's first byte",
            ["type"],
            buckets=_FIRST_BYTE,
            registry=self._registry,
        )

    def refused(self, cause: str) -> None:
        """Count a refusal; `cause` is a word of ours."""
        self._refused.labels(cause or "state").inc()

    def ended(self, tunnel: Tunnel) -> None:
        """Keep what an ended stream has counted."""
        self._ended[tunnel.kind.value, "up"] += tunnel.up
        self._ended[tunnel.kind.value, "down"] += tunnel.down
        if tunnel.first is not None:
            self._first.labels(tunnel.kind.value).observe(tunnel.first)

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for at each reading."""
        passed, panes = Counter(self._ended), Counter[str]()
        for tunnel in self.tunnels.all() if self.tunnels else ():
            panes[tunnel.kind.value] += 1
            passed[tunnel.kind.value, "up"] += tunnel.up
            passed[tunnel.kind.value, "down"] += tunnel.down
        opened = GaugeMetricFamily("labkit_gateway_open_panes", "Open streams", labels=["type"])
        for kind, count in panes.items():
            opened.add_metric([kind], count)
        total = CounterMetricFamily("labkit_gateway_bytes", "Bytes passed", labels=["type", "direction"])
        for labels, size in passed.items():
            total.add_metric(labels, size)
        yield from (opened, total)

    async def answer(self, asked: Asked) -> Response:
        """The handler of the row `metrics`. Raises Denied (403)."""
        request = asked.request
        proxied = any(name in request.headers for name in _FORWARDED)
        local = request.loopback_port and loopback_name(request.headers.get("host")) and not proxied
        if not (local or self._everybody):
            raise Denied(403, "metrics", "Counts are told on the loopback port only, or with LABKIT_GATEWAY_METRICS=1.")
        return Response(200, generate_latest(self._registry), "text/plain; version=0.0.4; charset=utf-8")
