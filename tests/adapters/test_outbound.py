"""What users' URLs can do to us: nothing is dialled but public addresses, and what answers is bounded."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from listener.adapters.destinations import URL_CHARS_MAX, Policy
from listener.adapters.outbound import TOTAL_S, Outbound, open_outbound
from listener.contract import Fetched
from listener.engine.inputs import AUDIO, PICTURES
from listener.errors import AttemptFailure, InputUnavailable, InputUnreachable
from listener.ports import Accepted
from tests.adapters.hostile import NAMES, URLS
from tests.adapters.internet import ADDRESS, PNG, Internet, head, internet, picture

URL = "http://pictures.example.com/a.png?token=CANARY"
BOMB = gzip.compress(bytes(20_000_000), 1)
TRUST = ssl.create_default_context()
"""Read once: it takes longer than a test."""
TRAILERS = b"X: a\r\n" * 10_000
SMALL = Accepted(100_000, PICTURES.content_types)


@pytest.fixture
async def net(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Internet]:
    async with internet(monkeypatch) as made:
        yield made


@pytest.fixture
async def outbound(net: Internet) -> AsyncIterator[Outbound]:
    async with open_outbound(Policy(allow_http=True), lookup=net.lookup, trust=TRUST) as opened:
        yield opened


async def refused(outbound: Outbound, url: str = URL, accepted: Accepted = PICTURES) -> AttemptFailure:
    """The failure, which says what is wrong and what to do, and repeats nothing of the URL."""
    with pytest.raises((InputUnavailable, InputUnreachable)) as failed:
        await outbound.fetch(url, accepted)
    error = failed.value
    assert error.details["problem"]
    assert error.details.get("remedy") or error.remedy
    told = f"{error} {error.details}"
    assert "CANARY" not in told
    assert url not in told
    return error


async def test_a_public_picture_is_fetched_with_one_lookup_and_one_connection(
    outbound: Outbound, net: Internet
) -> None:
    assert await outbound.fetch(URL, PICTURES) == Fetched(PNG, "image/png")
    assert (net.looked_up, net.dialled) == (["pictures.example.com"], [(ADDRESS, 80)])
    [request] = net.requests
    lines = request.decode().split("\r\n")
    assert lines[0] == "GET /a.png?token=CANARY HTTP/1.1"
    assert {line.partition(":")[0] for line in lines[1:] if line} == {
        "Host",
        "User-Agent",
        "Accept",
        "Accept-Encoding",
        "Connection",
    }
    assert "Accept-Encoding: identity" in lines


def test_the_limits_are_those_that_were_asked_for() -> None:
    assert (TOTAL_S, PICTURES.size_max_bytes) == (30.0, 10 * 2**20)
    assert PICTURES.content_types == {"image/png", "image/jpeg", "image/webp"}


async def test_sound_is_fetched_by_its_own_limits(outbound: Outbound, net: Internet) -> None:
    for content_type in ("audio/wav", "audio/x-wav", "audio/mpeg", "application/octet-stream"):
        net.answer = picture(b"RIFF", Content_Type=content_type)
        assert await outbound.fetch(URL, AUDIO) == Fetched(b"RIFF", content_type)
    net.answer = picture()
    assert "is not of a type" in str(await refused(outbound, accepted=AUDIO))
    net.answer = picture(Content_Type="audio/wav", Content_Length=AUDIO.size_max_bytes + 1)
    assert "is larger than 50 MiB" in str(await refused(outbound, accepted=AUDIO))


def test_there_are_enough_hostile_urls() -> None:
    assert len(set(URLS)) >= 35


@pytest.mark.parametrize("url", URLS)
async def test_a_hostile_url_causes_no_connection(url: str, outbound: Outbound, net: Internet) -> None:
    net.names |= {name: [addresses] for name, addresses in NAMES.items()}
    error = await refused(outbound, url)
    assert isinstance(error, InputUnavailable), "trying again will not make it better"
    assert not net.dialled
    assert set(net.looked_up) <= set(NAMES)


async def test_only_https_unless_a_setting_says_otherwise(net: Internet) -> None:
    async with open_outbound(Policy(), lookup=net.lookup) as outbound:
        error = await refused(outbound)
    assert error.details["problem"] == "is not encrypted"
    assert not net.dialled


async def test_a_url_without_end_is_refused(outbound: Outbound, net: Internet) -> None:
    await refused(outbound, URL + "a" * URL_CHARS_MAX)
    assert not net.dialled


async def test_a_name_that_changes_its_mind_is_asked_once_and_held_to_its_answer(
    outbound: Outbound, net: Internet
) -> None:
    net.names["pictures.example.com"] = [[ADDRESS], ["127.0.0.1"]]
    assert (await outbound.fetch(URL, PICTURES)).data == PNG
    assert (net.looked_up, net.dialled) == (["pictures.example.com"], [(ADDRESS, 80)])
    error = await refused(outbound)
    assert error.details["problem"] == "does not lead to the public internet"
    assert len(net.dialled) == 1, "the second answer was not dialled, and nothing of the first was kept"


async def test_the_socket_itself_refuses_what_a_resolver_let_through(
    outbound: Outbound, net: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listener.adapters.dialling.Resolver.resolve", lying_resolver)
    error = await refused(outbound)
    assert error.details["problem"] == "does not lead to the public internet"
    assert not net.dialled


async def lying_resolver(self: object, host: str, port: int = 0, family: int = 0) -> list[dict[str, object]]:
    found = {"hostname": host, "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
    return [found]


async def test_the_last_look_is_at_the_address_that_is_dialled(
    outbound: Outbound, net: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even with a factory that was told another address than the one connected to."""
    monkeypatch.setattr("listener.adapters.dialling.Resolver.resolve", lying_resolver)
    monkeypatch.setattr("listener.adapters.dialling.is_public", lambda address: True)
    with pytest.raises((InputUnavailable, InputUnreachable)):
        await outbound.fetch(URL, PICTURES)
    assert net.dialled == [("127.0.0.1", 80)], "without the checks it is dialled: the two tests before see something"


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_a_redirect_is_not_followed(status: str, outbound: Outbound, net: Internet) -> None:
    net.answer = head(status, Location="http://169.254.169.254/latest/meta-data/", Content_Length=0)
    error = await refused(outbound)
    assert error.details["problem"] == "leads on to another address"
    assert net.dialled == [(ADDRESS, 80)]


@pytest.mark.parametrize(
    ("status", "kind", "retry_after_s"),
    [
        ("404 Not Found", InputUnavailable, None),
        ("403 Forbidden", InputUnavailable, None),
        ("401 Unauthorized", InputUnavailable, None),
        ("206 Partial", InputUnavailable, None),
        ("204 No Content", InputUnavailable, None),
        ("429 Too Many", InputUnreachable, 7.0),
        ("500 Oh", InputUnreachable, 7.0),
        ("503 Busy", InputUnreachable, 7.0),
    ],
)
async def test_only_what_may_pass_is_worth_another_try(
    status: str, kind: type[AttemptFailure], retry_after_s: float | None, outbound: Outbound, net: Internet
) -> None:
    net.answer = head(status, Content_Type="image/png", Retry_After=7, Content_Length=0)
    error = await refused(outbound)
    assert (type(error), error.retry_after_s) == (kind, retry_after_s)


async def test_a_name_that_does_not_exist_is_final_and_a_silent_name_server_is_not(
    net: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_outbound(Policy(), lookup=net.lookup) as outbound:
        error = await refused(outbound, "https://mistyped.example.com/")
    assert (type(error), error.details["problem"]) == (InputUnavailable, "names a host that does not exist")

    def silent(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    async with open_outbound(Policy(), lookup=silent) as outbound:
        assert isinstance(await refused(outbound, "https://pictures.example.com/"), InputUnreachable)


@pytest.mark.parametrize(
    "content_type", ["text/html", "image/svg+xml", "image/gif", "application/octet-stream", "image/png/x", ""]
)
async def test_only_pictures_of_known_types_are_taken(content_type: str, outbound: Outbound, net: Internet) -> None:
    net.answer = picture(Content_Type=content_type)
    error = await refused(outbound)
    assert error.details["problem"] == "is not of a type that can be used"
    assert "image/jpeg" in error.details["remedy"]


@pytest.mark.parametrize(
    ("content_type", "taken"), [("image/jpg", "image/jpeg"), ("IMAGE/PNG; charset=binary", "image/png")]
)
async def test_a_type_is_understood_as_servers_write_it(
    content_type: str, taken: str, outbound: Outbound, net: Internet
) -> None:
    net.answer = picture(Content_Type=content_type)
    assert (await outbound.fetch(URL, PICTURES)).content_type == taken


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "GZIP"])
async def test_nothing_is_unpacked(encoding: str, outbound: Outbound, net: Internet) -> None:
    net.answer = picture(BOMB, Content_Encoding=encoding)
    assert (await refused(outbound)).details["problem"] == "comes compressed"


async def test_a_length_above_the_limit_is_believed(outbound: Outbound, net: Internet) -> None:
    net.answer = head(Content_Type="image/png", Content_Length=PICTURES.size_max_bytes + 1)
    assert (await refused(outbound)).details["problem"] == "is larger than 10 MiB"


@pytest.mark.parametrize("framing", [{"Transfer_Encoding": "chunked"}, {"Connection": "close"}])
async def test_a_body_without_end_is_cut_off(framing: dict[str, str], outbound: Outbound, net: Internet) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        await net.send(writer, head(Content_Type="image/png", **framing))
        block = bytes(10_000)
        piece = b"2710\r\n" + block + b"\r\n" if "Transfer_Encoding" in framing else block
        while True:
            await net.send(writer, piece)

    net.answer = endless
    error = await refused(outbound, accepted=SMALL)
    assert error.details["problem"].startswith("is larger than")
    assert net.sent_bytes < 20 * SMALL.size_max_bytes + 8_000_000, "what the sockets' own buffers hold"


async def test_a_file_as_large_as_allowed_is_taken_and_one_byte_more_is_not(outbound: Outbound, net: Internet) -> None:
    for extra, framing in [(0, {}), (1, {"Content_Length": ""}), (1, {})]:
        body = bytes(SMALL.size_max_bytes + extra)
        net.answer = picture(body) if framing == {} else head(Content_Type="image/png", Connection="close") + body
        if extra:
            await refused(outbound, accepted=SMALL)
        else:
            assert (await outbound.fetch(URL, SMALL)).data == body


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (picture(Content_Length=50_000), InputUnreachable),
        (picture(b""), InputUnavailable),
        (b"", InputUnreachable),
        (b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: -1\r\n\r\n", InputUnreachable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\nabcdefghi", InputUnreachable),
        (head(Content_Type="image/png", Transfer_Encoding="chunked") + b"zz\r\nabc", InputUnreachable),
        (b"SSH-2.0-OpenSSH_9.9\r\n", InputUnreachable),
        (PNG, InputUnreachable),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", InputUnreachable),
        (head("101 Switching Protocols", Upgrade="h2c", Connection="Upgrade"), InputUnavailable),
        (picture(Transfer_Encoding="chunked"), InputUnreachable),
        (head(Content_Type="image/png", Transfer_Encoding="chunked") + b"1\r\na\r\n0\r\n" + TRAILERS, InputUnreachable),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 100_000 + b"\r\n\r\n", InputUnreachable),
        (b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 100_000 + b"\r\n", InputUnreachable),
    ],
    ids=[
        *("too short", "empty", "nothing", "negative", "two lengths", "bad chunk", "ssh", "http/0.9", "http/2"),
        *("upgrade", "both lengths", "trailers without end", "long header", "many headers"),
    ],
)
async def test_an_answer_that_lies_ends_in_an_error_of_ours(
    answer: bytes, kind: type[AttemptFailure], outbound: Outbound, net: Internet
) -> None:
    net.answer = answer
    assert isinstance(await refused(outbound), kind)


async def test_what_an_answer_says_of_other_addresses_is_not_read(outbound: Outbound, net: Internet) -> None:
    elsewhere = "http://169.254.169.254/"
    hints = head("103 Early Hints", Link=f"<{elsewhere}>; rel=preload")
    net.answer = hints + picture(Refresh=f"0;url={elsewhere}", Location=elsewhere, Alt_Svc='h3=":443"')
    assert (await outbound.fetch(URL, PICTURES)).data == PNG
    assert net.dialled == [(ADDRESS, 80)]


async def test_a_length_that_is_too_small_ends_the_file_there(outbound: Outbound, net: Internet) -> None:
    net.answer = picture(PNG + b"CANARY", Content_Length=len(PNG))
    with suppress(InputUnreachable):  # where the rest came in one piece with it, it is no answer at all
        assert (await outbound.fetch(URL, PICTURES)).data == PNG


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"HTTP/1.1 200 O", b"a"),
        (b"HTTP/1.1 200 OK\r\n", b"a"),
        (picture(b"", Content_Length=1000), b"a"),
        (b"", head("100 Continue")),
    ],
)
async def test_who_sends_a_byte_now_and_then_is_left_when_the_time_is_up(
    begin: bytes, piece: bytes, net: Internet
) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        await net.send(writer, begin)
        while True:
            await net.send(writer, piece)
            await asyncio.sleep(0.02)

    net.answer = drip
    began = time.monotonic()
    async with open_outbound(Policy(allow_http=True), total_s=0.4, lookup=net.lookup, trust=TRUST) as outbound:
        error = await refused(outbound)
    assert isinstance(error, InputUnreachable)
    assert "took longer than 0.4 s" in error.details["problem"]
    assert time.monotonic() - began < 5


async def test_nothing_is_kept_between_two_requests(outbound: Outbound, net: Internet) -> None:
    net.answer = picture(Set_Cookie="session=CANARY; Path=/")
    for _ in range(2):
        await outbound.fetch(URL, PICTURES)
    assert len(net.dialled) == 2
    assert not [request for request in net.requests if b"cookie" in request.lower()]


async def test_no_proxy_and_no_password_is_taken_from_the_surroundings(
    net: Internet, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    netrc = f"{tmp_path}/netrc"
    with open(netrc, "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write("machine pictures.example.com login CANARY password CANARY\n")
    monkeypatch.setenv("NETRC", netrc)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with open_outbound(Policy(allow_http=True), lookup=net.lookup) as outbound:
        assert (await outbound.fetch(URL.partition("?")[0], PICTURES)).data == PNG
    assert net.dialled == [(ADDRESS, 80)]
    assert b"CANARY" not in net.requests[0]


@pytest.mark.parametrize("named", ["127.0.0.1", "127.0.0.1:{port}", "minio.internal", "minio.internal:{port}"])
async def test_a_host_that_the_operator_names_may_be_private(named: str, net: Internet) -> None:
    net.names["minio.internal"] = [["127.0.0.1"]]
    host = named.partition(":")[0]
    policy = Policy(frozenset({named.format(port=net.port)}))
    async with open_outbound(policy, lookup=net.lookup) as outbound:
        assert (await outbound.fetch(f"http://{host}:{net.port}/a.png", PICTURES)).data == PNG
        dialled = list(net.dialled)
        for other in ("http://127.0.0.2/", "http://other.internal/", f"http://{host}.example.com:{net.port}/"):
            await refused(outbound, other)
        await refused(outbound, f"http://{host}:99999/a.png")
        if ":" in named:
            await refused(outbound, f"http://{host}:{net.port + 1}/a.png")
        net.answer = head("302 Found", Location="http://127.0.0.2/", Content_Length=0)
        await refused(outbound, f"http://{host}:{net.port}/a.png")
    assert net.dialled == dialled * 2


async def test_one_slow_host_does_not_keep_others_waiting(net: Internet) -> None:
    waiting = asyncio.Event()

    async def silent(writer: asyncio.StreamWriter) -> None:
        if len(net.requests) >= 8:
            waiting.set()
        await asyncio.sleep(60)

    net.names["other.example.com"] = [[ADDRESS]]
    net.answer = silent
    async with open_outbound(Policy(allow_http=True), lookup=net.lookup) as outbound, asyncio.TaskGroup() as group:
        slow = [group.create_task(outbound.fetch(URL, PICTURES)) for _ in range(20)]
        await waiting.wait()
        net.answer = picture()
        assert (await outbound.fetch("http://other.example.com/a.png", PICTURES)).data == PNG
        assert len(net.dialled) == 9
        for task in slow:
            task.cancel()
