"""One list of scenarios, from sign-in to image, played by every official client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from tests.clients import browser, python_player
from tests.clients.scenario import Scenario, judge, scenarios
from tests.support.chromium import CHROMIUM
from tests.support.node import run_node
from tests.support.target import Target

every_scenario = pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: scenario.name)


@every_scenario
async def test_with_supabase_py(project: Target, scenario: Scenario) -> None:
    begun = scenario.begun()
    transcript = await python_player.play(begun, project.url, project.anon_key)
    assert judge(begun, transcript) == []


@every_scenario
async def test_with_supabase_js_in_node(project: Target, scenario: Scenario) -> None:
    begun = scenario.begun()
    given = {"url": project.url, "key": project.anon_key, **begun.as_json()}
    printed = await run_node("tests/clients/play_in_node.mjs", within_s=80, SCENARIO=json.dumps(given))
    assert judge(begun, json.loads(printed.splitlines()[-1])) == []


@pytest.fixture
async def page() -> AsyncIterator[browser.Page]:
    async with browser.scenario_page() as opened:
        yield opened


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: `apt-get install chromium`")
@every_scenario
async def test_with_supabase_js_in_chromium(project: Target, page: browser.Page, scenario: Scenario) -> None:
    begun = scenario.begun()
    assert judge(begun, await browser.play(page, begun, project.url, project.anon_key)) == []
