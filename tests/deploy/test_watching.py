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
from listener.alerts.group import SEVERITIES
from listener.alerts.receiver import PATH, REMEMBERED_S
from listener.alerts.settings import AlertSettings
from listener.alerts.whatsapp import LONGEST_PAUSE_S, TRIES
from listener.contract import GeneratorStatus
from listener.engine.backlog import Backlog, KindBacklog
from listener.engine.clock import SystemClock
from listener.http.device_metrics import device_metrics
from listener.http.metrics import WebhookAnswers
from listener.http.queue_metrics import QueueMetrics
from listener.telemetry import log
from listener.telemetry.metrics import Metrics
from tests.deploy.alertmanager_conf import Authorization, configuration, seconds
from tests.deploy.nginx_conf import parsed
from tests.support.probing import url_of
from tests.support.worker import running_worker

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy" / "grafana"
PROMETHEUS = ROOT / "deploy" / "prometheus"
[GROUP] = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
RULES: dict[str, dict[str, Any]] = {rule["alert"]: rule for rule in GROUP["rules"]}
ALERTMANAGER = configuration((ROOT / "deploy" / "alertmanager" / "alertmanager.yml").read_text())
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
TARGET_LABELS = {"job", "instance"}
FOREIGN = ("node_", "probe_", "DCGM_FI_", "up", "process_start_time_seconds", "alertmanager_")
SOON_S = 5 * 60
NGINX = ROOT / "deploy" / "nginx" / "listener.conf.template"
INNER = {"/metrics", "/readyz", "/startupz", "/health"}
LONGEST_FOR_S = 3 * 60
SCRAPE_S = 15


def compared(expr: str) -> promql_parser.BinaryExpr:
    """The comparison that makes an alert of a figure; absent(...) beside it fires where the figure is missing."""
    parsed_expr = promql_parser.parse(expr)
    if str(parsed_expr.op) == "or":
        parsed_expr = parsed_expr.lhs
    return parsed_expr


def asked() -> list[tuple[str, str]]:
    """Every expression of alerts and dashboards with the place where it stands; those for Loki are another language."""
    found = [(name, str(rule["expr"])) for name, rule in RULES.items()]
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


@pytest.mark.parametrize("name", sorted(RULES))
def test_an_alert_says_what_happens_how_bad_it_is_and_what_to_do(name: str) -> None:
    rule = RULES[name]
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in SEVERITIES
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{name}"
    assert f'<a id="{name}"></a>' in OPERATIONS
    assert str(compared(rule["expr"]).op) in {"<", ">"}
    shown = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert shown <= grouped(rule["expr"]), "a label that the sum leaves out would show as nothing"


@pytest.mark.parametrize("name", sorted(RULES))
def test_an_alert_is_sent_within_five_minutes(name: str) -> None:
    rule = RULES[name]
    held_s = seconds(rule.get("for", "0s"))
    assert held_s <= LONGEST_FOR_S
    for route in ALERTMANAGER.route.chosen({"alertname": name, **rule["labels"]}):
        assert SCRAPE_S + 2 * seconds(GROUP["interval"]) + held_s + seconds(str(route.group_wait)) < SOON_S


def test_what_was_asked_for_is_watched() -> None:
    thresholds = {name: (rule["labels"]["severity"], compared(rule["expr"]).rhs.val) for name, rule in RULES.items()}
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
    assert 'absent(probe_success{job="outside"})' in RULES["api-down"]["expr"], "no figure at all is no good news"
    assert "or vector(0)" in RULES["worker-down"]["expr"]


def told_to(name: str) -> list[str]:
    """The receivers of an alert."""
    routes = ALERTMANAGER.route.chosen({"alertname": name, **RULES[name]["labels"]})
    return sorted(str(route.receiver) for route in routes)


def test_prometheus_reads_the_rules_and_tells_alertmanager_which_tells_our_receiver() -> None:
    told = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    assert told["rule_files"] == ["/etc/prometheus/alerts.yml"]
    [sent] = told["alerting"]["alertmanagers"]
    assert sent["static_configs"] == [{"targets": ["alertmanager:9093"]}]
    [webhook] = ALERTMANAGER.receiver("whatsapp").webhook_configs
    assert webhook.url == f"http://alerts:9094{PATH}"
    assert webhook.http_config.authorization == Authorization(
        type="Bearer", credentials_file="/etc/alertmanager/secret"
    )
    assert webhook.send_resolved


def test_everything_is_told_by_whatsapp_and_what_is_critical_by_mail_too() -> None:
    assert {name for name in RULES if "whatsapp" not in told_to(name)} == set()
    by_mail = {name for name in RULES if "mail" in told_to(name)}
    assert by_mail == {name for name, rule in RULES.items() if rule["labels"]["severity"] == "critical"}
    assert "alerts-not-sent" in by_mail, "that WhatsApp fails is not told by WhatsApp alone"


def test_what_follows_from_something_worse_is_not_told_beside_it() -> None:
    def muted(name: str, cause: str) -> bool:
        return ALERTMANAGER.muted({"alertname": name}, [{"alertname": cause}])

    assert muted("api-down", "worker-down")
    assert muted("cost-spike", "cost-limit")
    assert not muted("cost-limit", "cost-spike")
    assert not muted("host-disk", "worker-down")
    for rule in ALERTMANAGER.inhibit_rules:
        for matcher in rule.source_matchers + rule.target_matchers:
            named = matcher.split('"')[1].split("|")
            assert set(named) <= set(RULES), "an inhibition names an alert that is not there"


def test_the_receiver_has_time_to_try_and_forgets_before_a_reminder() -> None:
    [webhook] = ALERTMANAGER.receiver("whatsapp").webhook_configs
    longest_try = AlertSettings.model_fields["try_s"].metadata[1].le
    routes = [route for rule in RULES.values() for route in ALERTMANAGER.route.chosen(rule["labels"])]
    assert TRIES * longest_try + (TRIES - 1) * LONGEST_PAUSE_S < seconds(webhook.timeout)
    assert all(seconds(webhook.timeout) < seconds(str(route.group_interval)) for route in routes)
    assert min(seconds(str(route.repeat_interval)) for route in routes) > REMEMBERED_S


@pytest.mark.parametrize(
    "wrong",
    [
        "recievers: []",
        "inhibit_rules: [{source_match: {a: b}}]",
        "route: {receiver: nobody}",
        "receivers: [{name: mail}]",
    ],
)
def test_a_field_that_alertmanager_does_not_know_is_not_read_here(wrong: str) -> None:
    written = (ROOT / "deploy" / "alertmanager" / "alertmanager.yml").read_text()
    with pytest.raises(ValueError, match="validation error"):
        configuration(f"{written}\n{wrong}\n")


def test_there_are_dashboards_for_all_that_was_asked_for() -> None:
    assert set(BOARDS) == {"throughput", "errors", "latency", "resources", "cost", "api", "logs"}
    sources = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "all.yml").read_text())["datasources"]
    for name, board in BOARDS.items():
        assert board["uid"] == name
        assert {panel["datasource"]["uid"] for panel in board["panels"]} <= {one["uid"] for one in sources}
