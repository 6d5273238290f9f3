"""The document of the API: it is OpenAPI 3.1, it tells every endpoint and every code, and what it shows works."""

from __future__ import annotations

import ast
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from aiohttp import web
from playwright.async_api import async_playwright
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from devstack.stack import Stack
from listener.http.openapi.document import served_by
from listener.http.openapi.refusals import REFUSALS
from listener.http.openapi.words import line, paragraphs
from tests.support.app import insert
from tests.support.avatars import order, sound
from tests.support.callers import Api, open_api
from tests.support.chromium import ARGUMENTS, CHROMIUM
from tests.support.photographs import person

ROOT = Path(__file__).parents[2]
RAISED = [*(ROOT / "listener" / "http").glob("*.py"), ROOT / "listener" / "endpoints.py"]
HANDBOOK = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def raised_codes() -> Iterator[tuple[str, int]]:
    """Every code and status that the code names where it refuses: Refused(status, code, ...) and tables of them."""
    for path in RAISED:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            values = node.args if isinstance(node, ast.Call) else node.elts if isinstance(node, ast.Tuple) else []
            found = [value.value for value in values[:2] if isinstance(value, ast.Constant)]
            match found:
                case [int(status), str(code)] if code.isupper():
                    yield code, status


def test_every_code_that_is_raised_is_in_the_table_with_its_status() -> None:
    raised = dict(raised_codes())
    assert len(raised) > 20
    assert {code: REFUSALS[code].status for code in raised if code in REFUSALS} == raised


def test_the_handbook_lists_every_code_as_the_table_has_it() -> None:
    rows = [line for line in HANDBOOK.splitlines() if re.match(r"\| \d{3} \| `", line)]
    assert rows == [f"| {one.status} | `{code}` | {one.means} | {one.again} |" for code, one in REFUSALS.items()]


def test_a_route_that_nobody_described_cannot_be_served() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response()

    with pytest.raises(ValueError, match="/new"):
        served_by([web.get("/new", answer)])


def test_words_of_the_document_cannot_become_html() -> None:
    assert line("<b> & `<i>` **x** [a](https://b.example/?c)") == (
        '&lt;b&gt; &amp; <code>&lt;i&gt;</code> <strong>x</strong> <a href="https://b.example/?c">a</a>'
    )
    assert line("[a](javascript:alert)") == "[a](javascript:alert)"
    assert paragraphs("one\ntwo\n\n- a\n- b") == "<p>one two</p>\n<ul><li>a</li><li>b</li></ul>"


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: `apt-get install chromium`")
async def test_the_document_is_valid_and_tells_each_endpoint_once_and_what_it_shows_runs(
    stack: Stack, tmp_path: Path
) -> None:
    async with open_api(stack, tmp_path, WORKER_CONCURRENCY="1") as api:
        api.grey.on("hold")
        await insert(api.user.client)  # it takes the only slot: what is submitted waits and can be cancelled
        OPENAPI_31_VALIDATOR.validate(api.contract.document)
        operations = api.contract.operations()
        ids = Counter(operation["operationId"] for _, _, operation in operations)
        assert set(ids.values()) == {1}
        for method, path, _ in operations:
            shown = re.sub(r"^/api/sessions/\w+$", "/api/sessions/{kind}", path)
            assert f"`{method.upper()} {shown}`" in HANDBOOK, f"{method} {path} is not in docs/api.md"
            status, body = await api.ask(method, path.replace("{id}", str(uuid4())))
            assert status != 404, f"{method} {path} is documented and not served: {body}"
        await _look(api.url)
        await _curls(api, tmp_path)
        api.grey.off("hold")
        async with api.http.get("/docs") as answer:
            page = await answer.text()
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
        assert "<script" not in page
        for one in ids:
            assert f"id='{one}'" in page


async def _look(url: str) -> None:
    """In a browser, on a desk and in a hand: nothing is refused by its own policy, nothing has to be shifted aside."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page, complaints = await browser.new_page(color_scheme="light"), list[str]()
        page.on("console", lambda message: complaints.append(message.text))
        for width in (1280, 390):
            await page.set_viewport_size({"width": width, "height": 900})
            await page.goto(f"{url}/docs")
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            for link in await page.locator("nav a, main a[href^='#']").all():
                assert await page.locator(str(await link.get_attribute("href"))).count() == 1
            if shots := os.environ.get("LISTENER_SCREENSHOTS"):
                await page.goto(f"{url}/docs#submitTryon")
                await page.screenshot(path=f"{shots}/api-{width}.png")
        await browser.close()
        assert [one for one in complaints if "favicon" not in one] == []


async def _curls(api: Api, folder: Path) -> None:
    """Every example runs as it is printed; the one that measures bodies in test_sizing_worker.py."""
    session = (await api.store.submit()).data["id"]
    character = (await api.user.create()).body["character_id"]
    job = (await api.user.generate({"character_id": character, "image_count": 5})).body["job_id"]
    (folder / "portrait.png").write_bytes(person())
    (folder / "speech.wav").write_bytes(sound())
    avatar = (await order(api.store)).data["id"]
    known = {"SESSION": session, "CHARACTER": character, "JOB": job, "AVATAR": avatar}
    for method, path, operation in api.contract.operations():
        for sample in operation.get("x-codeSamples", []) if path != "/estimate-body" else []:
            status, text = await api.shell(sample["source"], folder, **known)
            assert status < 400 or "NOT_READY" in text, f"{sample['source']}\n{text}"
            kind = next(iter(operation["responses"][str(status)]["content"]))
            body = json.loads(text) if kind == "application/json" else text
            api.contract.require(method, path, status, {"Content-Type": kind, "X-Request-Id": ""}, body)
