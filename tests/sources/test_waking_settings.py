"""Which sources run, and which secrets may prove a webhook: checked at start, each problem by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from listener.errors import ConfigError
from listener.settings import Settings, load_settings

SIGNING = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment in which nothing is missing, and no .env."""
    for name in Settings.model_fields:
        monkeypatch.delenv(str(Settings.model_fields[name].validation_alias), raising=False)
    monkeypatch.setenv("SUPABASE_URL", "https://abcd.supabase.co")
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "sb_secret_0123456789abcdef")
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def problem() -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings()
    (found,) = caught.value.details["problems"]
    return str(found)


@pytest.mark.usefixtures("complete")
def test_realtime_and_the_sweep_wake_by_default_and_webhooks_once_there_is_a_secret() -> None:
    settings = load_settings()
    assert (settings.realtime, settings.webhooks, "sweep" in settings.sources) == (True, False, True)


@pytest.mark.parametrize("name", ["LISTENER_WEBHOOK_SECRETS", "LISTENER_WEBHOOK_HEADER_SECRET"])
def test_a_secret_opens_the_endpoint_unless_webhook_is_left_out_of_the_sources(
    complete: pytest.MonkeyPatch, name: str
) -> None:
    complete.setenv(name, SIGNING)
    assert load_settings().webhooks
    complete.setenv("LISTENER_SOURCES", "realtime,sweep")
    assert not load_settings().webhooks


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("LISTENER_SOURCES", "realtime,polling", "LISTENER_SOURCES: Input should be 'realtime', 'webhook' or 'sweep'"),
        ("LISTENER_SOURCES", ",", "LISTENER_SOURCES: "),
        ("LISTENER_SOURCES", "webhook", "LISTENER_SOURCES names only webhook"),
        ("LISTENER_WEBHOOK_SECRETS", "CANARY", "LISTENER_WEBHOOK_SECRETS: each secret is whsec_"),
        ("LISTENER_WEBHOOK_SECRETS", "whsec_CANARY", "LISTENER_WEBHOOK_SECRETS: each secret is whsec_"),
        ("LISTENER_WEBHOOK_SECRETS", "whsec_" + "A" * 100, "LISTENER_WEBHOOK_SECRETS: each secret is whsec_"),
        ("LISTENER_WEBHOOK_SECRETS", SIGNING[6:], "LISTENER_WEBHOOK_SECRETS: each secret is whsec_"),
        ("LISTENER_WEBHOOK_SECRETS", f"{SIGNING},{SIGNING},{SIGNING}", "LISTENER_WEBHOOK_SECRETS: "),
        ("LISTENER_WEBHOOK_HEADER_SECRET", "CANARY", "LISTENER_WEBHOOK_HEADER_SECRET: each secret has at least 16"),
        ("LISTENER_WEBHOOK_HEADER_SECRET", "ä" * 20, "LISTENER_WEBHOOK_HEADER_SECRET: each secret has at least 16"),
    ],
)
def test_a_wrong_value_is_named_and_not_shown(complete: pytest.MonkeyPatch, name: str, value: str, told: str) -> None:
    complete.setenv(name, value)
    found = problem()
    assert found.startswith(told)
    assert "CANARY" not in found


def test_two_secrets_of_a_kind_are_read_and_all_are_hidden(complete: pytest.MonkeyPatch) -> None:
    complete.setenv("LISTENER_WEBHOOK_SECRETS", f"{SIGNING}, {SIGNING[:-5]}EEEE=")
    complete.setenv("LISTENER_WEBHOOK_HEADER_SECRET", "CANARYCANARYCANARY,CANARYCANARYCANARY2")
    settings = load_settings()
    assert (len(settings.webhook_secrets), len(settings.webhook_header_secrets)) == (2, 2)
    assert len(settings.secrets()) == 5
    assert "CANARY" not in f"{settings!r} {settings}"
