"""`listener alerts` as a process, between a poster of Alertmanager's JSON and a server that speaks Meta's wire."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import httpx
import pytest

from listener.alerts.group import LONGEST_TEXT, AlertGroup
from listener.cli.main import main
from tests.alerts.cloud_api import PHONE_NUMBER_ID, Answer, CloudApi, cloud_api

TOKEN = "EAAJB" + "CANARY" * 8
SECRET = "0f" * 32
ONE, OTHER = "4915112345678", "14155550123"
# As Alertmanager's documentation gives it.
DOCUMENTED: dict[str, Any] = {
    "version": "4",
    "groupKey": '{}/{severity="critical"}:{alertname="circuit-open"}',
    "truncatedAlerts": 0,
    "status": "firing",
    "receiver": "whatsapp",
    "groupLabels": {"alertname": "circuit-open"},
    "commonLabels": {"alertname": "circuit-open", "severity": "warning"},
    "commonAnnotations": {"runbook": "docs/operations.md#circuit-open"},
    "externalURL": "http://alertmanager:9093",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "circuit-open", "dependency": "storage", "severity": "warning"},
            "annotations": {
                "summary": "A circuit is not closed: storage",
                "runbook": "docs/operations.md#circuit-open",
            },
            "startsAt": "2026-11-20T23:25:00.000Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus:9090/graph?g0.expr=1",
            "fingerprint": "c1a5e5b8a8b3f1d2",
        }
    ],
}


class Running:
    """The process, its address and its lines."""

    def __init__(self, process: subprocess.Popen[str], api: CloudApi) -> None:
        assert process.stderr is not None
        self.process, self.api = process, api
        self.lines: list[str] = [process.stderr.readline()]
        self.url = f"http://127.0.0.1:{json.loads(self.lines[0])['port']}"
        self._reading = threading.Thread(target=lambda: self.lines.extend(process.stderr or ()))
        self._reading.start()

    def post(self, group: dict[str, Any], secret: str = SECRET) -> httpx.Response:
        """As Alertmanager posts."""
        headers = {"Authorization": f"Bearer {secret}", "User-Agent": "Alertmanager/0.28.1"}
        return httpx.post(f"{self.url}/alertmanager", json=group, headers=headers, timeout=30)

    def end(self) -> int:
        """Stop it as docker does; its status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(20)
        self._reading.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status


def environment(folder: Path, **changes: str) -> dict[str, str]:
    secret = folder / "secret"
    secret.write_text(f"{SECRET}\n")
    given = {
        "ALERTS_SECRET_FILE": str(secret),
        "WHATSAPP_TOKEN": TOKEN,
        "WHATSAPP_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
        "WHATSAPP_TO": f"{ONE}, {OTHER}",
        "WHATSAPP_TRY_S": "3",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WHATSAPP_", "ALERTS_"))}
    return kept | given | changes


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with cloud_api() as api:
        url = f"http://127.0.0.1:{api.port}/v23.0"
        given = environment(tmp_path_factory.mktemp("alerts"), WHATSAPP_API_URL=url)
        command = [sys.executable, "-m", "listener", "alerts", "--port", "0"]
        running = Running(subprocess.Popen(command, env=given, stderr=subprocess.PIPE, text=True), api)
        yield running
        assert running.end() == 0
        said = "".join(running.lines)
        assert "alert_sent" in said
        assert not [word for word in ("CANARY", SECRET, ONE, OTHER) if word in said]


@pytest.fixture
def receiver(process: Running) -> Running:
    process.api.forget()
    return process


@pytest.fixture
def group(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The documented group, as news of this test."""
    return copy.deepcopy(DOCUMENTED) | {"groupKey": request.node.name}


def test_a_group_is_one_template_message_to_each_number(receiver: Running, group: dict[str, Any]) -> None:
    answer = receiver.post(group)
    assert (answer.status_code, answer.json()) == (200, {"status": "sent", "messages": 2})
    assert sorted(one["to"] for one in receiver.api.posted) == sorted([ONE, OTHER])
    assert set(receiver.api.paths) == {f"/v23.0/{PHONE_NUMBER_ID}/messages"}
    assert {one["Authorization"] for one in receiver.api.headers} == {f"Bearer {TOKEN}"}
    message = next(one for one in receiver.api.posted if one["to"] == ONE)
    words = ["FIRING warning", "circuit-open: A circuit is not closed: storage", "docs/operations.md#circuit-open"]
    body = {"type": "body", "parameters": [{"type": "text", "text": word} for word in words]}
    template = {"name": "listener_alert", "language": {"code": "en"}, "components": [body]}
    assert message == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": ONE,
        "type": "template",
        "template": template,
    }


def test_the_same_news_is_told_once_and_its_end_is_news(receiver: Running, group: dict[str, Any]) -> None:
    receiver.post(group)
    again = receiver.post(group)
    assert (again.status_code, again.json()) == (200, {"status": "already_sent", "messages": 0})
    group["status"] = group["alerts"][0]["status"] = "resolved"
    assert receiver.post(group).json()["messages"] == 2
    group["status"] = group["alerts"][0]["status"] = "firing"
    group["alerts"][0]["startsAt"] = "2026-11-20T23:55:00.000Z"
    assert receiver.post(group).json()["messages"] == 2, "it fires anew"
    assert [words[0] for words in receiver.api.texts(ONE)] == ["FIRING warning", "RESOLVED", "FIRING warning"]


def test_whoever_brings_the_same_meanwhile_waits_for_the_outcome(receiver: Running, group: dict[str, Any]) -> None:
    slow = Answer(200, held=threading.Event())
    receiver.api.next[ONE] = [slow]
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(receiver.post, group)
        assert slow.asked.wait(10)
        second = threads.submit(receiver.post, group)
        assert not wait([second], timeout=0.5).done
        assert slow.held is not None
        slow.held.set()
        assert (first.result().json()["messages"], second.result().json()["messages"]) == (2, 0)
    assert len(receiver.api.texts(ONE)) == 1


@pytest.mark.parametrize(
    "answer",
    [Answer(500, 131000), Answer(503, 2), Answer(429, 130429), Answer(400, 130429, "(#130429) Rate limit hit")],
    ids=lambda answer: f"{answer.status}-{answer.code}",
)
def test_what_passes_is_tried_again(receiver: Running, group: dict[str, Any], answer: Answer) -> None:
    receiver.api.next[ONE] = [answer]
    assert receiver.post(group).status_code == 200
    assert (len(receiver.api.texts(ONE)), len(receiver.api.texts(OTHER))) == (2, 1)


def test_a_slow_answer_is_not_waited_for_and_tried_again(receiver: Running, group: dict[str, Any]) -> None:
    held = threading.Event()
    receiver.api.next[ONE] = [Answer(200, held=held)]
    answer = receiver.post(group)
    held.set()
    assert answer.status_code == 200
    assert len(receiver.api.texts(ONE)) == 2


def test_an_outage_is_told_to_alertmanager_and_only_who_missed_it_is_told_later(
    receiver: Running, group: dict[str, Any]
) -> None:
    receiver.api.next[ONE] = [Answer(500, 131016)] * 3
    answer = receiver.post(group)
    assert answer.status_code == 503, "Alertmanager posts again"
    error = answer.json()["error"]
    assert (error["code"], error["details"]["meta_code"], error["details"]["failed"]) == (
        "WHATSAPP_UNAVAILABLE",
        131016,
        1,
    )
    assert receiver.post(group).json() == {"status": "sent", "messages": 1}
    assert (len(receiver.api.texts(ONE)), len(receiver.api.texts(OTHER))) == (4, 1)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(400, 100),
        Answer(401, 190, "Error validating access token: Session has expired"),
        Answer(400, 132001, "(#132001) Template name does not exist in the translation"),
    ],
    ids=lambda answer: f"{answer.status}-{answer.code}",
)
def test_a_refusal_is_not_tried_again_and_says_why(receiver: Running, group: dict[str, Any], answer: Answer) -> None:
    receiver.api.next[ONE] = receiver.api.next[OTHER] = [answer, answer]
    refused = receiver.post(group)
    assert refused.status_code == 424
    details = refused.json()["error"]["details"]
    assert (details["meta_code"], details["http_status"], details["failed"]) == (answer.code, answer.status, 2)
    assert details["fbtrace_id"] == "Az8or2yhqkZfEZ-_4Qn_Bam"
    assert len(receiver.api.posted) == 2


def test_who_does_not_know_the_secret_is_told_nothing(receiver: Running, group: dict[str, Any]) -> None:
    for secret in ("x", SECRET[:-1], f"{SECRET}0"):
        refused = receiver.post(group, secret)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "SECRET_INVALID")
    assert not receiver.api.posted


@pytest.mark.parametrize(
    ("place", "value"),
    [("version", "3"), ("alerts", []), ("alerts", [{"status": "firing"}]), ("status", "gone"), ("groupKey", "")],
)
def test_what_is_not_alertmanagers_is_refused_by_name(
    receiver: Running, group: dict[str, Any], place: str, value: Any
) -> None:
    refused = receiver.post(group | {place: value})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (400, "ALERTS_MALFORMED")
    assert error["details"]["problems"][0].startswith(place)
    assert not receiver.api.posted


def test_the_probe_answers_and_asks_nobody(receiver: Running) -> None:
    assert httpx.get(f"{receiver.url}/livez").json() == {"status": "ok"}
    assert httpx.post(f"{receiver.url}/alertmanager", content=b"x" * 70_000).status_code == 401
    assert not receiver.api.posted


def test_many_alerts_are_one_short_line_that_a_template_takes(group: dict[str, Any]) -> None:
    first = group["alerts"][0]
    group["alerts"] = [
        first | {"fingerprint": f"{n:016x}", "annotations": {"summary": f"part {n}\n\tis     down"}} for n in range(100)
    ]
    group["alerts"][3] |= {"labels": first["labels"] | {"severity": "critical"}}
    group["alerts"].append(first | {"status": "resolved", "fingerprint": "ended"})
    group["truncatedAlerts"] = 7
    state, what, where = AlertGroup.model_validate(group).words()
    assert state == "FIRING critical, 107 alerts, 1 resolved"
    assert what.startswith("circuit-open: part 0 is down; part 1 is down; ")
    assert (len(what), what[-1]) == (LONGEST_TEXT, "…")
    assert where == "-", "a template takes no empty variable"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WHATSAPP_TO", "+4915112345678"),
        ("WHATSAPP_TO", ","),
        ("WHATSAPP_TOKEN", "short"),
        ("WHATSAPP_API_URL", "http://graph.example/v23.0"),
        ("ALERTS_SECRET_FILE", "/nowhere/secret"),
    ],
)
def test_a_setting_that_cannot_be_meant_ends_it_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    for given, text in environment(tmp_path, **{name: value}).items():
        monkeypatch.setenv(given, text)
    with pytest.raises(SystemExit) as ended:
        main(["alerts"])
    said = capsys.readouterr().err
    assert ended.value.code == 78
    assert said.startswith(f"configuration: {name}: ")
    assert "CANARY" not in said
