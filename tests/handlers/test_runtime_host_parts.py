"""The host's small parts: what the child is given, what it prints, how its end is told, when it is tried again."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from handlers.runtime.backoff import Backoff, Reload
from handlers.runtime.environment import child_environment, usable_processors
from handlers.runtime.exits import describe_exit
from handlers.runtime.output import LINES_PER_WINDOW, Output
from handlers.runtime.readiness import Readiness
from handlers.runtime.redaction import redact
from listener.contract import GeneratorConfig, PipelineConfig


def test_the_child_gets_no_secret_of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SUPABASE_SERVICE_ROLE_KEY", "LISTENER_WEBHOOK_SECRET", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "the-secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    environment = child_environment(GeneratorConfig((PipelineConfig("headshot", "embedded"),), "/cache"))
    assert "the-secret" not in environment.values()
    assert environment["CUDA_VISIBLE_DEVICES"] == "1"


def test_the_network_is_used_for_hub_models_only(tmp_path: Path) -> None:
    def environment(*models: str) -> dict[str, str]:
        pipelines = tuple(PipelineConfig(f"kind{number}", model) for number, model in enumerate(models))
        return child_environment(GeneratorConfig(pipelines, "/cache", hub_token="hf_token"))

    assert environment("embedded", str(tmp_path))["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in environment("embedded", "black-forest-labs/FLUX.2-klein-4B")
    assert environment("embedded")["HF_TOKEN"] == "hf_token"
    stored = child_environment(GeneratorConfig((), "/cache", weights_dir="/models"))
    assert stored["HF_HUB_CACHE"] == "/models"
    assert "hf_token" not in repr(GeneratorConfig((), "/cache", hub_token="hf_token"))


def test_the_number_of_threads_respects_what_the_process_may_use() -> None:
    assert 1 <= usable_processors() <= 4096


def test_a_device_is_sick_in_quarantine_or_when_all_loads_failed_and_not_while_it_loads() -> None:
    def readiness() -> Readiness:
        return Readiness.of(GeneratorConfig((PipelineConfig("headshot", "m"), PipelineConfig("tryon", "m")), "/cache"))

    loading = readiness()
    loading.started(7)
    assert (loading.status().ready, loading.status().sick) == (False, False)
    loading.failed("headshot", "no such model")
    assert not loading.status().sick, "the other may load"
    assert not loading.status().ready, "the other is being loaded"
    loading.failed("tryon", "no such model")
    assert (loading.status().ready, loading.status().sick) == (False, True)
    loading.loaded("tryon", {"device": "cpu", "pipeline_class": "Flux", "model": "m"})
    assert (loading.status().ready, loading.status().sick) == (True, False), "it can make the other"
    assert loading.status().missing == {"headshot": "no such model"}
    assert loading.status().reason == "headshot: no such model; tryon: Flux (m) on cpu"
    loading.ended("killed", "ended")
    loading.started(8)
    assert not loading.status().ready, "what was loaded is loaded again first"
    resting = readiness()
    resting.quarantine = "the device is in quarantine"
    assert resting.status().sick
    resting.closed = True
    assert not resting.status().sick, "it stops"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-signal.SIGKILL, "killed by SIGKILL (9)"),
        (-signal.SIGABRT, "killed by SIGABRT (6)"),
        (-200, "killed by signal 200"),
        (0, "ended when its socket was closed (exit code 0)"),
        (1, "ended by an unhandled exception (exit code 1)"),
        (70, "ended itself after a fatal device error (exit code 70)"),
        (3, "ended (exit code 3)"),
    ],
)
def test_an_exit_is_told_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words


def test_the_first_restart_of_what_worked_is_immediate_and_later_ones_wait_longer() -> None:
    backoff = Backoff()
    assert [backoff.next_s(had_worked=True) for _ in range(10)] == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    backoff.reset()
    assert [backoff.next_s(had_worked=False) for _ in range(3)] == [1, 2, 4]


def test_what_does_not_load_is_tried_later_the_more_a_try_costs_those_who_can_work() -> None:
    reload = Reload()
    assert (reload.at_s, reload.is_due(0)) == (None, True)
    for now_s, lost_s, next_s in ((100, 0.01, 1), (200, 0.01, 2), (300, 20, 80), (500, 1000, 600)):
        reload.failed(lost_s)
        reload.tried(now_s, is_whole=False)
        assert reload.at_s == now_s + next_s
    assert (reload.is_due(1099), reload.is_due(1100)) == (False, True)
    reload.tried(1100, is_whole=False)
    assert reload.at_s == 1100, "nothing was tried"
    reload.failed(0.01)
    reload.tried(2000, is_whole=False, ended_the_child=True)
    assert reload.at_s == 2060, "the others had to be loaded again"
    reload.tried(3000, is_whole=True)
    assert reload.at_s is None


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("part was cut: ['quokka marmalade']", "part was cut: ['*** ***']"),
        ("QUOKKA", "***"),
        ("quok", "***"),
        ("CUDA error 719", "CUDA error 719"),
        ("写真 of", "*** of"),
    ],
)
def test_words_of_a_prompt_are_masked(text: str, masked: str) -> None:
    assert redact(text, ["Quokka Marmalade 写真 of 719x", None]) == masked.replace("719", "***")


@pytest.mark.parametrize(
    ("url", "left"),
    [
        ("https://a.example/b/c?X-Amz-Signature=abc&t=1 x", "https://a.example/b/c x"),
        ("'http://user:secret@proxy:3128/'", "'http://proxy:3128/'"),
        ("https://a.example", "https://a.example"),
    ],
)
def test_what_makes_a_url_secret_is_cut_off(url: str, left: str) -> None:
    assert redact(url, ()) == left


async def test_what_a_child_prints_is_logged_masked_and_bounded() -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(b"loading the quokka\rnext\n\n" + b"x" * 40_000 + b"\n" + b"line\n" * 500 + b"last")
    stream.feed_eof()
    output = Output(1, lambda: ["a quokka"])
    with capture_logs() as logs:
        await output.relay(stream, "stderr")
    lines = [line["line"] for line in logs if line["event"] == "runtime_output"]
    assert lines[:2] == ["loading the ***", "next"]
    assert len(lines) == LINES_PER_WINDOW
    assert max(len(line) for line in lines) <= 500
    assert [line["event"] for line in logs].count("runtime_output_dropped") == 1
    assert output.last_lines[-1] == "last"
