"""Stores, their keys and their webhooks from the command line: secrets are shown once, and nobody can ask for them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from click.testing import CliRunner, Result

from devstack.stack import Stack
from listener.cli.main import cli
from tests.support.target import target_of
from tests.support.worker import worker_environment

Command = Callable[..., Awaitable[Result]]


@pytest.fixture
def command(stack: Stack, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command against the stack, on a thread and in a loop of its own."""
    monkeypatch.chdir(tmp_path)
    kept = worker_environment(stack) | {"DATABASE_URL": target_of(stack).db_url}
    environment = dict.fromkeys(os.environ) | kept

    async def run(*arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, cli, list(arguments), env=environment)

    return run


async def test_a_key_is_shown_once_and_revoked_by_its_id(command: Command, connection: asyncpg.Connection[Any]) -> None:
    store = (await command("store", "create", "Coats & Co")).stdout.strip()
    assert (await command("store", "list")).stdout.splitlines()[1].split()[0] == store
    assert (await command("keys", "list", "--store", store)).stdout == "no key yet: `listener keys create`\n"
    made = await command("keys", "create", "--store", store, "--name", "shop server", "--per-minute", "7")
    key = made.stdout.strip()
    assert (key.startswith("lsk_"), len(base64.urlsafe_b64decode(key[4:] + "="))) == (True, 32)
    listed = (await command("keys", "list", "--store", store)).stdout
    row = listed.splitlines()[1].split()
    assert (row[1], row[2:5]) == (key[:12], ["shop", "server", "7"])
    assert key not in listed
    assert key not in str(await connection.fetch("select k::text from listener.api_keys as k"))
    assert (await command("keys", "revoke", row[0])).stdout == "revoked\n"
    assert (await command("keys", "revoke", row[0])).stdout == "already revoked\n"
    unknown = await command("keys", "revoke", str(uuid4()))
    assert (unknown.exit_code, unknown.stderr) == (1, "refused: there is no such key (its id, not the key itself)\n")
    nobody = await command("keys", "create", "--store", str(uuid4()), "--name", "x")
    assert (nobody.exit_code, "23503" in nobody.stderr, nobody.stdout) == (1, True, "")


async def test_the_use_of_keys_is_shown_by_day(command: Command, connection: asyncpg.Connection[Any]) -> None:
    store = (await command("store", "create", "Hats")).stdout.strip()
    key = (await command("keys", "create", "--store", store, "--name", "till")).stdout.strip()
    assert (await command("keys", "usage", "--store", store)).stdout == "no request within 30 days\n"
    await connection.execute("select public.authenticate_api_key($1)", hashlib.sha256(key.encode()).hexdigest())
    heads, row = (await command("keys", "usage", "--store", store, "--days", "1")).stdout.splitlines()
    assert heads.split() == ["day", "key", "name", "requests", "refused"]
    assert row.split()[2:] == ["till", "1", "0"]


async def test_a_partner_s_secret_is_shown_when_it_is_made_and_when_it_changes(command: Command) -> None:
    store = (await command("store", "create", "Coats")).stdout.strip()
    assert (await command("partner-webhook", "rotate", store)).exit_code == 1
    assert "no webhook" in (await command("partner-webhook", "show", store)).stdout
    first = (await command("partner-webhook", "set", store, "https://shop.example/hook")).stdout.strip()
    assert first.startswith("whsec_")
    for url, words in (("http://shop.example/hook", "is not encrypted"), ("https://10.0.0.7/", "public internet")):
        assert words in (await command("partner-webhook", "set", store, url)).stderr
    changed = await command("partner-webhook", "set", store, "https://shop.example/hook", "--off")
    assert (changed.stdout, changed.stderr) == ("changed; its secrets stay\n", "")
    second = (await command("partner-webhook", "rotate", store)).stdout.strip()
    assert second.startswith("whsec_")
    shown = (await command("partner-webhook", "show", store)).stdout
    assert shown.startswith("https://shop.example/hook: off")
    assert "2 secret(s)" in shown
    assert not [secret for secret in (first, second) if secret in shown]
    assert (await command("deliveries", store)).stdout == "nothing yet\n"
    refused = await command("partner-webhook", "set", store, "ftp://shop.example")
    assert (refused.exit_code, "23514" in refused.stderr) == (1, True)


async def test_the_databases_webhook_is_set_and_cleared(command: Command, connection: asyncpg.Connection[Any]) -> None:
    url = "https://gpu-1.example/hooks/supabase"
    answer = await command("webhook", "set", url, "--kinds", "headshot,tryon")
    assert (answer.exit_code, answer.stdout.startswith("LISTENER_WEBHOOK_SECRETS=whsec_")) == (0, True)
    assert dict(await connection.fetchrow("select url, kinds from listener.webhooks")) == {
        "url": url,
        "kinds": ["headshot", "tryon"],
    }
    assert (await command("webhook", "clear", url)).stdout == "cleared\n"
    assert (await command("webhook", "clear", url)).stdout == "nothing was sent there\n"
