"""The page in headless Chromium against a running `listener dev`: what a visitor does and sees.

PAGE_SCREENSHOT=FILE keeps a picture of the page, TRYON_SCREENSHOT=FILE one of a try-on, AVATAR_SCREENSHOT=FILE one of a
clip, PACK_SCREENSHOT=FILE one of a pack that is being drawn.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    FilePayload,
    Locator,
    Page,
    async_playwright,
    expect,
)

from tests.support.chromium import ARGUMENTS, CHROMIUM
from tests.support.photographs import garment, person
from tests.support.project import Project

PICTURE_WITHIN_MS = 45_000
# Every status that any card ever showed, in order.
RECORD = """
window.shown = []
new MutationObserver(() => {
  for (const card of document.querySelectorAll('.card')) {
    const status = card.dataset.status
    if (status && window.shown.at(-1) !== status) window.shown.push(status)
  }
}).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-status'] })
"""
# How many images every pack showed while it was being drawn.
COUNT_TILES = """
window.tiles = []
new MutationObserver(() => {
  const pack = document.querySelector('.pack[data-status="processing"]')
  if (pack) window.tiles.push(pack.querySelectorAll('.tile img').length)
}).observe(document, { subtree: true, childList: true })
"""
# What a click on an image opens.
OPENED = """
image => new Promise((done) => {
  window.open = (url) => fetch(url).then((answer) => done([answer.status, answer.headers.get('content-type')]))
  image.click()
})
"""
# Characters that no pack was ever made of.
UNUSED = """
select count(*) from public.characters as owned
where not exists (select from public.generation_jobs as job where job.character_id = owned.id)
"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: `apt-get install chromium`"),
]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        await opened.close()


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A visitor's browser: everything it complains about fails the test."""
    complaints: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            complaints.append(message.text)

    opened = await browser.new_context(viewport={"width": 1200, "height": 860}, color_scheme="light")
    opened.on("console", on_console)
    opened.on("weberror", lambda error: complaints.append(str(error.error)))
    await opened.add_init_script(RECORD)
    yield opened
    await opened.close()
    assert complaints == []


@pytest.fixture
async def page(context: BrowserContext, dev: Project) -> Page:
    """The page, ready for a prompt."""
    opened = await context.new_page()
    await opened.goto(dev.page_url)
    await expect(opened.get_by_role("button", name="Generate")).to_be_enabled()
    return opened


async def ask_for(page: Page, prompt: str) -> None:
    await page.get_by_label("What should the picture show?").fill(prompt)
    await page.get_by_role("button", name="Generate").click()


@contextmanager
def stopped_worker(dev: Project) -> Iterator[None]:
    """While it lasts no worker claims anything."""
    family = psutil.Process(dev.process.pid).children(recursive=True)
    workers = [process for process in family if process.cmdline()[-3:] == ["-m", "listener", "run"]]
    assert len(workers) == 1
    workers[0].send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        workers[0].send_signal(signal.SIGCONT)


async def test_a_visitor_watches_a_prompt_become_a_picture(page: Page, dev: Project) -> None:
    await ask_for(page, "studio headshot of a violinist, soft window light")
    card = page.locator(".card")
    await expect(card).to_have_attribute("data-status", "completed", timeout=PICTURE_WITHIN_MS)
    picture = card.get_by_role("img", name="Generated from: studio headshot of a violinist, soft window light")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 128
    shown = await page.evaluate("window.shown")
    assert shown[0] == "queued"
    assert shown[1:] == ["processing", "completed"]
    await expect(page.locator("#credits")).to_have_text("9")
    await expect(card.get_by_role("button", name="Cancel")).to_be_hidden()
    await expect(page.locator("#embedded")).to_be_visible()
    if target := os.environ.get("PAGE_SCREENSHOT"):
        await _keep_screenshot(page, dev, Path(target))


async def _keep_screenshot(page: Page, dev: Project, target: Path) -> None:
    """Two finished sessions and one that is held in the middle."""
    await ask_for(page, "a lighthouse keeper at dawn, 85 mm")
    await expect(page.locator(".picture:visible")).to_have_count(2, timeout=PICTURE_WITHIN_MS)
    await ask_for(page, "a potter in her workshop, warm light")
    await expect(page.locator("progress:visible")).to_have_attribute("value", re.compile("[2-9][0-9]"))
    with stopped_worker(dev):
        await expect(page.locator("#connection")).to_have_text("live")
        await page.screenshot(path=target, full_page=True)


async def test_the_page_says_when_changes_come_live(page: Page, dev: Project) -> None:
    with stopped_worker(dev):
        await ask_for(page, "waiting")
        await expect(page.locator("#connection")).to_have_text("live")
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.locator("#connection")).to_have_text("idle")


async def test_a_queued_session_can_be_cancelled_and_costs_nothing(page: Page, dev: Project) -> None:
    with stopped_worker(dev):
        await ask_for(page, "not wanted after all")
        card = page.locator(".card")
        await expect(card).to_have_attribute("data-status", "queued")
        await expect(page.locator("#credits")).to_have_text("9")
        await card.get_by_role("button", name="Cancel").click()
        await expect(card).to_have_attribute("data-status", "cancelled")
        await expect(page.locator("#credits")).to_have_text("10")


async def test_after_a_reload_the_visitor_sees_the_same_sessions(page: Page) -> None:
    await ask_for(page, "a portrait that stays")
    await expect(page.locator(".card")).to_have_attribute("data-status", "completed", timeout=PICTURE_WITHIN_MS)
    await page.reload()
    await expect(page.locator(".card .prompt")).to_have_text("a portrait that stays")
    await expect(page.locator(".picture")).to_be_visible()


async def test_another_visitor_sees_none_of_them(page: Page, browser: Browser, dev: Project) -> None:
    with stopped_worker(dev):
        await ask_for(page, "private")
        await expect(page.locator(".card")).to_have_count(1)
        async with await browser.new_context() as other:
            seen = await other.new_page()
            await seen.goto(dev.page_url)
            await expect(seen.get_by_text("Nothing yet.")).to_be_visible()
            await expect(seen.locator(".card")).to_have_count(0)
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.locator(".card")).to_have_attribute("data-status", "cancelled")


async def test_a_session_that_fails_says_why_and_gives_the_credit_back(page: Page) -> None:
    await ask_for(page, "???")
    card = page.locator(".card")
    await expect(card).to_have_attribute("data-status", "failed", timeout=PICTURE_WITHIN_MS)
    await expect(card.locator(".error")).to_contain_text("prompt: is empty; describe the picture in a few words")
    await expect(card.get_by_text("Your credit came back.")).to_be_visible()
    await expect(page.locator("#credits")).to_have_text("10")


async def test_without_credits_the_page_says_so(browser: Browser, dev: Project) -> None:
    connection = await asyncpg.connect(dev.db_url)
    try:
        await connection.execute("update listener.plans set welcome_credits = 0 where plan = 'free'")
        async with await browser.new_context() as context:
            page = await context.new_page()
            await page.goto(dev.page_url)
            await expect(page.get_by_role("button", name="Generate")).to_be_enabled()
            await ask_for(page, "unpayable")
            await expect(page.get_by_role("alert")).to_have_text("This costs 1 credit, and you have 0.")
            for _ in range(2):
                await page.get_by_role("button", name="Make the pack").click()
                await expect(page.locator("#pack-error")).to_have_text("This costs 5 credits, and you have 0.")
            await expect(page.locator(".card")).to_have_count(0)
            made = await connection.fetchval(UNUSED)
            assert made == 1, "the same looks again are the same person"
    finally:
        await connection.execute("update listener.plans set welcome_credits = 10 where plan = 'free'")
        await connection.close()


async def test_the_prompt_can_be_sent_by_keyboard_alone(page: Page, dev: Project) -> None:
    with stopped_worker(dev):
        await page.keyboard.press("Tab")
        await expect(page.get_by_label("What should the picture show?")).to_be_focused()
        await page.keyboard.type("typed")
        await page.keyboard.press("Enter")
        await expect(page.locator(".card .prompt")).to_have_text("typed")
        await page.get_by_role("button", name="Cancel").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator(".card")).to_have_attribute("data-status", "cancelled")


async def choose(page: Page, what: str, picture: bytes) -> None:
    """Choose a photograph for the try-on form."""
    file: FilePayload = {"name": f"{what}.jpg", "mimeType": "image/jpeg", "buffer": picture}
    await page.get_by_label(f"A {what}").set_input_files(file)


async def test_a_visitor_tries_a_garment_on(page: Page, dev: Project) -> None:
    await choose(page, "person", person(512))
    await page.get_by_role("button", name="Try it on").click()
    await expect(page.locator("#tryon-error")).to_have_text("Choose a picture of a garment.")
    await choose(page, "garment", garment(320))
    await expect(page.locator(".picker img:visible")).to_have_count(2)
    await page.get_by_role("button", name="Try it on").click()
    card = page.locator(".card")
    await expect(card).to_have_attribute("data-status", "completed", timeout=PICTURE_WITHIN_MS)
    await expect(card.locator(".prompt")).to_have_text("Try-on")
    size = await card.locator(".picture").evaluate(
        "image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"
    )
    assert size == [96, 128], "the shape of the person"
    shown = await page.evaluate("window.shown")
    assert (shown[0], shown[-1]) == ("queued", "completed")
    await expect(page.locator("#credits")).to_have_text("9")
    if target := os.environ.get("TRYON_SCREENSHOT"):
        await page.screenshot(path=target, full_page=True)
    await page.reload()
    await expect(page.locator(".card .prompt")).to_have_text("Try-on")


PLAYED = """
video => new Promise((done, failed) => {
  const { videoWidth: width, videoHeight: height } = video
  video.addEventListener('timeupdate', () => video.currentTime > 0.2 && done([width, height, video.duration]))
  video.addEventListener('error', () => failed(new Error(`media error ${video.error?.code}`)))
  video.muted = true
  video.play().catch(failed)
})
"""


async def test_a_visitor_lets_a_picture_speak_and_the_clip_plays(page: Page) -> None:
    await page.get_by_role("button", name="Make the clip").click()
    await expect(page.locator("#avatar-error")).to_have_text("Choose a picture of who speaks.")
    await page.get_by_role("button", name="Take a sample of both").click()
    await expect(page.locator("#avatar audio")).to_be_visible()
    await page.get_by_role("button", name="Make the clip").click()
    card = page.locator(".clip.card")
    await expect(card).to_have_attribute("data-status", "completed", timeout=PICTURE_WITHIN_MS)
    clip = card.locator("video")
    width, height, duration_s = await clip.evaluate(PLAYED)
    assert (width < height, 2.8 < duration_s < 3.2) == (True, True), "the shape of the picture, as long as the sound"
    assert await clip.evaluate("video => fetch(video.poster).then(answer => answer.headers.get('content-type'))") == (
        "image/webp"
    )
    if target := os.environ.get("AVATAR_SCREENSHOT"):
        await page.screenshot(path=target, full_page=True)
    await page.reload()
    await expect(page.locator(".clip.card video")).to_be_visible()


async def order_pack(page: Page) -> Locator:
    """Describe a character and ask for its pack; the card."""
    for label, words in (("Hair color", "auburn"), ("Hair style", "curly"), ("Outfit", "a linen suit")):
        await page.get_by_label(label).fill(words)
    await page.get_by_role("button", name="Make the pack").click()
    card = page.locator(".pack.card")
    await expect(card.locator(".prompt")).to_have_text("Woman, 25–32, auburn curly hair, a linen suit")
    return card


async def test_a_pack_fills_image_by_image(page: Page) -> None:
    await page.get_by_label("Youngest").fill("12")
    await page.get_by_role("button", name="Make the pack").click()
    await expect(page.locator("#pack-error")).to_have_text("Give two ages from 18 to 100, the youngest first.")
    await page.get_by_label("Youngest").fill("25")
    await page.evaluate(COUNT_TILES)
    card = await order_pack(page)
    await expect(page.locator("#credits")).to_have_text("5")
    await expect(card.locator(".tile")).to_have_count(5)
    await expect(card).to_be_in_viewport()
    if target := os.environ.get("PACK_SCREENSHOT"):
        await expect(card.locator(".tile img")).to_have_count(3, timeout=PICTURE_WITHIN_MS)
        await page.screenshot(path=target, full_page=True)
    await expect(card).to_have_attribute("data-status", "completed", timeout=PICTURE_WITHIN_MS)
    await expect(card.locator(".tile img")).to_have_count(5)
    await expect(card.locator(".tile.empty")).to_have_count(0)
    assert any(0 < images < 5 for images in await page.evaluate("window.tiles")), "each is seen before all are there"
    first = card.locator(".tile img").first
    assert await first.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    assert await first.evaluate(OPENED) == [200, "image/jpeg"]
    await page.reload()
    await expect(page.locator(".pack.card .tile img")).to_have_count(5)


async def test_a_waiting_pack_says_its_place_and_costs_nothing_when_it_is_cancelled(page: Page, dev: Project) -> None:
    with stopped_worker(dev):
        card = await order_pack(page)
        await expect(card.locator(".message")).to_contain_text("Number 1 in the queue")
        await card.get_by_role("button", name="Cancel").click()
        await expect(card).to_have_attribute("data-status", "cancelled")
        await expect(card.locator(".message")).to_have_text("Cancelled. 5 credits came back.")
        await expect(card.locator(".tile")).to_have_count(0)
        await expect(page.locator("#credits")).to_have_text("10")
