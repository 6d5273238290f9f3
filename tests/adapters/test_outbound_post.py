"""Messages to partners go out under the same guard, and nothing of the answer but its status comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from listener.adapters.destinations import Policy
from listener.adapters.outbound import Outbound, open_outbound
from tests.adapters.hostile import NAMES, URLS
from tests.adapters.internet import ADDRESS, Internet, head, internet

URL = "http://pictures.example.com/hooks?key=CANARY"


@pytest.fixture
async def net(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Internet]:
    async with internet(monkeypatch) as made:
        yield made


@pytest.fixture
async def outbound(net: Internet) -> AsyncIterator[Outbound]:
    async with open_outbound(Policy(allow_http=True), lookup=net.lookup) as opened:
        yield opened


async def test_a_message_arrives_as_it_was_signed(outbound: Outbound, net: Internet) -> None:
    net.answer = head("202 Accepted", Content_Length=0)
    headers = {"webhook-id": "msg_1", "webhook-signature": "v1,abc", "Content-Type": "application/json"}
    posted = await outbound.post(URL, b'{"a": 1}', headers, 5.0)
    assert (posted.status, posted.problem, posted.is_final) == (202, "", False)
    [request] = net.requests
    assert request.startswith(b"POST /hooks?key=CANARY HTTP/1.1\r\n")
    assert request.endswith(b'\r\n\r\n{"a": 1}')
    for name, value in headers.items():
        assert f"{name}: {value}\r\n".encode() in request


@pytest.mark.parametrize("status", [200, 301, 307, 308, 404, 410, 500])
async def test_every_status_is_told_and_no_redirect_followed(status: int, outbound: Outbound, net: Internet) -> None:
    net.answer = head(f"{status} X", Location="http://169.254.169.254/", Content_Length=0)
    assert (await outbound.post(URL, b"{}", {}, 5.0)).status == status
    assert net.dialled == [(ADDRESS, 80)]


async def test_a_partner_that_is_busy_says_for_how_long(outbound: Outbound, net: Internet) -> None:
    for asked, retry_after_s in [("7", 7.0), ("Fri, 31 Dec 2027 23:59:59 GMT", None), ("-1", None), ("9" * 50, None)]:
        net.answer = head("429 X", Retry_After=asked, Content_Length=0)
        assert (await outbound.post(URL, b"{}", {}, 5.0)).retry_after_s == retry_after_s


async def test_no_hostile_url_is_posted_to(outbound: Outbound, net: Internet) -> None:
    net.names |= {name: [addresses] for name, addresses in NAMES.items()}
    for url in URLS:
        posted = await outbound.post(url, b"{}", {}, 5.0)
        assert (posted.status, posted.is_final) == (None, True), url
        assert posted.problem
        assert url not in posted.problem
    assert not net.dialled


async def test_an_answer_without_end_is_left_after_64_kib(outbound: Outbound, net: Internet) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        await net.send(writer, head(Connection="close"))
        while True:
            await net.send(writer, bytes(10_000))

    net.answer = endless
    assert (await outbound.post(URL, b"{}", {}, 5.0)).status == 200
    assert net.sent_bytes < 16_000_000, "what the sockets' own buffers hold"


async def test_a_partner_that_does_not_answer_is_left_when_the_time_is_up(outbound: Outbound, net: Internet) -> None:
    async def silent(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    net.answer = silent
    began = time.monotonic()
    posted = await outbound.post(URL, b"{}", {}, 0.3)
    assert (posted.status, posted.is_final) == (None, False)
    assert posted.problem == "its server took longer than 0.3 s, or stopped sending"
    assert time.monotonic() - began < 5
