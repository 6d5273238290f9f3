"""Alerts and dashboards ask for figures that a worker really has, and each alert says what to do, soon enough."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import promql_parser
import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from devstack.stack import Stack
from listener.contract import GeneratorStatus
from listener.engine.backlog import Backlog, KindBacklog
from listener.engine.clock import SystemClock
from listener.http.device_metrics import device_metrics
from listener.http.metrics import WebhookAnswers
from listener.http.queue_metrics import QueueMetrics
from listener.telemetry import log
from listener.telemetry.metrics import Metrics
from tests.deploy.nginx_conf import parsed
from tests.support.probing import url_of
from tests.support.worker import running_worker

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy" / "grafana"
ALERTING = GRAFANA / "provisioning" / "alerting"
[GROUP] = yaml.safe_load((ALERTING / "rules.yml").read_text())["groups"]
RULES: dict[str, dict[str, Any]] = {rule["uid"]: rule for rule in GROUP["rules"]}
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
TARGET_LABELS = {"job", "instance"}
FOREIGN = ("node_", "probe_", "DCGM_FI_", "up", "process_start_time_seconds")
SOON_S = 5 * 60
NGINX = ROOT / "deploy" / "nginx" / "listener.conf.template"
INNER = {"/metrics", "/readyz", "/startupz", "/health"}
LONGEST_FOR_S = 3 * 60
SCRAPE_S = 15


def expression(rule: dict[str, Any]) -> str:
    """What a rule asks Prometheus."""
    return str(rule["data"][0]["model"]["expr"])


def asked() -> list[tuple[str, str]]:
    """Every expression of alerts and dashboards with the place where it stands; those for Loki are another language."""
    found = [(uid, expression(rule)) for uid, rule in RULES.items()]
    for name, board in BOARDS.items():
        for panel in board["panels"]:
            if panel["datasource"]["uid"] == "prometheus":
                found += [(f"{name}: {panel['title']}", target["expr"]) for target in panel["targets"]]
    return found


def selected(expr: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric that an expression names, with the labels that choose among its series."""
    for node in nodes(promql_parser.parse(expr)):
        if isinstance(node, promql_parser.VectorSelector):
            yield str(node.name), {matcher.name for matcher in node.matchers.matchers}


def grouped(expr: str) -> set[str]:
    """The labels by which an expression sums."""
    return {name.strip() for names in re.findall(r"\bby \(([^)]*)\)", expr) for name in names.split(",")}


def nodes(node: Any) -> Iterator[Any]:
    """A parsed expression and all that it is made of."""
    yield node
    children = [getattr(node, name, None) for name in ("expr", "lhs", "rhs", "param", "vs", "vector_selector")]
    for child in [*children, *(getattr(node, "args", None) or [])]:
        if child is not None:
            yield from nodes(child)


def counted() -> Metrics:
    """Every counter with a value, so that its labels show."""
    metrics = Metrics()
    metrics.claim_answered(1)
    metrics.session_claimed("headshot", 0.1)
    metrics.attempt_settled("headshot", "failed", 1.0, code="time_limit")
    metrics.session_completed("headshot", 1.0)
    metrics.stage_took("headshot", "generate", 1.0)
    metrics.swept(rescued=1)
    metrics.woken("sweep")
    metrics.called("database", "claim", "ok", 0.1)
    metrics.delivery_ended("delivered")
    metrics.generated("headshot", "local", 0.1)
    metrics.attempt_cost("headshot", 1.0, 0.1)
    metrics.request_answered("/health", "GET", 200, 0.1)
    return metrics


class Device(Collector):
    """A device that tells everything."""

    def collect(self) -> Iterator[Any]:
        facts = {"restarts_by": {"killed": 1}, "load_s": {"headshot": 1.0}, "memory": {"rss_mib": 1.0}}
        yield from device_metrics(GeneratorStatus(True, "loaded", facts))


async def told_backlog() -> Backlog:
    """A queue of one kind that was asked for."""

    async def one() -> list[KindBacklog]:
        return [KindBacklog("headshot", 1, 0, 0, 1.0, 1)]

    backlog = Backlog(one, lambda: None, SystemClock(), log.get("test"))
    await backlog.turn()
    return backlog


def labels_in(text: str) -> dict[str, set[str]]:
    """The samples of a scrape with their labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


ANSWERS: dict[str, str] = {}


async def answers(stack: Stack) -> dict[str, str]:
    """What a started worker answers; one is started for all tests of this file."""
    if not ANSWERS:
        async with running_worker(stack) as worker, aiohttp.ClientSession(url_of(worker)) as session:
            for path in ("/metrics", "/openapi.json"):
                async with session.get(path) as answer:
                    ANSWERS[path] = await answer.text()
    return ANSWERS


async def told(stack: Stack) -> dict[str, set[str]]:
    """What a started worker tells, and what it tells once each thing has happened."""
    found = labels_in((await answers(stack))["/metrics"])
    registry = counted().registry
    registry.register(Device())
    registry.register(WebhookAnswers({"EVENT_NOT_INSERT": 1}))
    registry.register(QueueMetrics(await told_backlog()))
    for name, labels in labels_in(generate_latest(registry).decode()).items():
        found.setdefault(name, set()).update(labels)
    return found


async def test_every_figure_that_is_asked_for_is_told_with_these_labels(stack: Stack) -> None:
    found = await told(stack)
    wrong = []
    for place, expr in asked():
        ours = [one for one in selected(expr) if not one[0].startswith(FOREIGN)]
        assert ours or any(True for _ in selected(expr)), f"{place} asks for nothing"
        known: set[str] = set().union(*(found.get(name, set()) for name, _ in ours))
        for name, labels in ours:
            if name not in found or labels - found[name] - TARGET_LABELS:
                wrong.append(f"{place}: {name} {sorted(labels)}")
        if ours and grouped(expr) - known - TARGET_LABELS:
            wrong.append(f"{place}: by {sorted(grouped(expr))}")
    assert not wrong


async def test_every_route_of_a_worker_is_either_passed_on_or_kept_inside(stack: Stack) -> None:
    paths = set(json.loads((await answers(stack))["/openapi.json"])["paths"]) | {"/docs", "/openapi.json"}
    assert paths >= INNER | {"/livez", "/generate", "/status/{id}"}
    [server] = [one for one in parsed(NGINX.read_text()).all("server") if one.all("listen")[0].words[1] == "443"]
    for path in sorted(paths):
        place = server.location(path.replace("{id}", "0").replace("{kind}", "headshot"))
        if path in INNER:
            assert (place.word("return"), place.word("proxy_pass")) == ("404", None), path
        else:
            assert place.word("proxy_pass") == "$worker", path
    assert server.location("/grafana/d/x").word("proxy_pass") == "$grafana"


def test_a_metric_that_nobody_has_would_be_seen() -> None:
    assert dict(selected('sum(rate(listener_nothing_total{a="b"}[5m])) / 2 > 0.5')) == {"listener_nothing_total": {"a"}}


@pytest.mark.parametrize("uid", sorted(RULES))
def test_an_alert_says_what_happens_how_bad_it_is_and_what_to_do(uid: str) -> None:
    rule = RULES[uid]
    assert rule["title"] == uid
    assert rule["annotations"]["summary"]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{uid}"
    assert f'<a id="{uid}"></a>' in OPERATIONS
    value, fires = rule["data"]
    assert (value["datasourceUid"], fires["datasourceUid"]) == ("prometheus", "__expr__")
    assert rule["condition"] == fires["refId"] == fires["model"]["refId"]
    assert fires["model"]["expression"] == value["refId"] == value["model"]["refId"]
    assert fires["model"]["conditions"][0]["evaluator"]["type"] in {"gt", "lt"}


@pytest.mark.parametrize("uid", sorted(RULES))
def test_an_alert_is_sent_within_five_minutes(uid: str) -> None:
    held_s = seconds(RULES[uid]["for"])
    assert held_s <= LONGEST_FOR_S
    assert SCRAPE_S + 2 * seconds(GROUP["interval"]) + held_s + seconds(policy()["group_wait"]) < SOON_S


def test_what_was_asked_for_is_watched() -> None:
    thresholds = {
        uid: (rule["labels"]["severity"], rule["data"][1]["model"]["conditions"][0]["evaluator"]["params"][0])
        for uid, rule in RULES.items()
    }
    wanted = {
        "api-down": ("critical", 1),
        "gpu-busy": ("info", 80),
        "gpu-full": ("warning", 90),
        "error-rate": ("warning", 5),
        "success-rate": ("warning", 95),
        "slow-sessions": ("warning", 45),
        "slow-clips": ("warning", 180),
        "slow-sizes": ("warning", 3),
        "long-wait": ("warning", 60),
        "cost-spike": ("warning", 5),
        "cost-limit": ("critical", 10),
    }
    assert wanted.items() <= thresholds.items()
    assert thresholds.keys() >= {"host-cpu", "host-memory", "host-disk", "circuit-open", "claims-paused"}
    assert RULES["api-down"]["noDataState"] == RULES["worker-down"]["noDataState"] == "Alerting"


def policy() -> dict[str, Any]:
    """How alerts are sent."""
    [found] = yaml.safe_load((ALERTING / "sending.yml").read_text())["policies"]
    return dict(found)


def seconds(text: str) -> int:
    """Prometheus's durations."""
    return int(text[:-1]) * {"s": 1, "m": 60}[text[-1]]


def test_alerts_go_to_the_bridge_without_a_secret_in_the_file() -> None:
    [point] = yaml.safe_load((ALERTING / "sending.yml").read_text())["contactPoints"]
    [receiver] = point["receivers"]
    assert policy()["receiver"] == point["name"]
    assert receiver["type"] == "webhook"
    assert receiver["settings"]["url"].endswith("/user/$WHATSAPP_NUMBER/$WHATSAPP_TOKEN")
    assert "$" not in (ALERTING / "rules.yml").read_text().split("\n", 2)[2], "Grafana takes it for a variable"


def test_there_are_dashboards_for_all_that_was_asked_for() -> None:
    assert set(BOARDS) == {"throughput", "errors", "latency", "resources", "cost", "api", "logs"}
    sources = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "all.yml").read_text())["datasources"]
    for name, board in BOARDS.items():
        assert board["uid"] == name
        assert {panel["datasource"]["uid"] for panel in board["panels"]} <= {one["uid"] for one in sources}
