"""Plays scenarios in Chromium, on a page of another origin than the project's, as an app's page is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from playwright.async_api import ConsoleMessage, Page, async_playwright

from devstack.gateway import VENDOR
from tests.clients.scenario import Scenario, Transcript
from tests.support.chromium import ARGUMENTS, CHROMIUM

HERE = Path(__file__).parent
PAGE = """<!doctype html><link rel="icon" href="data:,"><script src="/supabase.js"></script>
<script type="module">
import { play } from '/player.mjs'
window.play = (scenario) => play(supabase.createClient, scenario)
</script>"""


@asynccontextmanager
async def scenario_page() -> AsyncIterator[Page]:
    """A page that can play; what the browser itself complains about ends the test."""
    complaints: list[str] = []
    async with _served() as url, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = await browser.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.extend(_complaint(message)))
        await page.goto(url)
        await page.wait_for_function("window.play !== undefined")
        yield page
        await browser.close()
    assert complaints == []


def _complaint(message: ConsoleMessage) -> list[str]:
    # Chromium says so of each answer that a scenario wants to be a refusal.
    is_wanted = message.text.startswith("Failed to load resource: the server responded with a status of 4")
    return [message.text] if message.type in {"error", "warning"} and not is_wanted else []


async def play(page: Page, scenario: Scenario, url: str, key: str) -> Transcript:
    """Every step, until one is refused that should not be."""
    transcript: Transcript = await page.evaluate("window.play", {"url": url, "key": key, **_plain(scenario)})
    return transcript


def _plain(scenario: Scenario) -> dict[str, object]:
    return scenario.as_json()


@asynccontextmanager
async def _served() -> AsyncIterator[str]:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def player(_: web.Request) -> web.Response:
        return web.Response(text=(HERE / "player.mjs").read_text(), content_type="text/javascript")

    async def client(_: web.Request) -> web.FileResponse:
        return web.FileResponse(VENDOR / "supabase.js")

    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/player.mjs", player), web.get("/supabase.js", client)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()
