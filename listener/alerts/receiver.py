"""POST /alertmanager: one message to each number for each group of alerts, and the same news only once.

Knows what Alertmanager does with an answer: it posts again after 5xx within the minute, after 4xx with the next one.
"""

from __future__ import annotations

import asyncio
import hmac
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiohttp import hdrs, web
from pydantic import ValidationError

from listener.alerts.group import AlertGroup
from listener.alerts.whatsapp import Unsent, WhatsApp
from listener.http.body import read_body, require_json
from listener.http.refusal import Refused
from listener.telemetry import log

PATH = "/alertmanager"
BODY_BYTES = 64 * 1024
REMEMBERED = 500
REMEMBERED_S = 30 * 60.0
"""Shorter than the shortest repeat_interval in alertmanager.yml: a reminder is no repetition."""


@dataclass(slots=True)
class News:
    """What was told to whom; whoever brings the same meanwhile waits for the outcome."""

    since: float
    told: set[str] = field(default_factory=set)
    telling: asyncio.Lock = field(default_factory=asyncio.Lock)


class Receiver:
    """The endpoint and its memory, which a restart empties: then news may come twice."""

    def __init__(self, secret: str, numbers: Sequence[str], whatsapp: WhatsApp) -> None:
        self._proof = f"Bearer {secret}".encode()
        self._numbers = numbers
        self._whatsapp = whatsapp
        self._news: OrderedDict[str, News] = OrderedDict()
        self._log = log.get("alerts")

    def routes(self) -> list[web.AbstractRouteDef]:
        """The routes to serve."""
        return [web.post(PATH, self.receive), web.get("/livez", self.live)]

    async def live(self, _request: web.Request) -> web.Response:
        """200 while the process answers; Meta is asked for nothing."""
        return web.json_response({"status": "ok"})

    async def receive(self, request: web.Request) -> web.Response:
        """Tell everybody; 200 when all know it. Raises: Refused."""
        offered = request.headers.get(hdrs.AUTHORIZATION, "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(offered, self._proof):
            raise Refused(401, "SECRET_INVALID", "The header Authorization does not carry this receiver's secret.")
        require_json(request, "An alert")
        group = _parsed(await read_body(request, BODY_BYTES))
        news = self._remembered(group.key())
        async with news.telling:
            missing = [number for number in self._numbers if number not in news.told]
            failed = await self._tell(missing, group.words(), news)
        if failed:
            raise _not_sent(failed, len(self._numbers))
        return web.json_response({"status": "sent" if missing else "already_sent", "messages": len(missing)})

    def _remembered(self, key: str) -> News:
        now = asyncio.get_running_loop().time()
        while self._news and (len(self._news) >= REMEMBERED or self._oldest().since < now - REMEMBERED_S):
            self._news.popitem(last=False)
        return self._news.setdefault(key, News(now))

    def _oldest(self) -> News:
        return next(iter(self._news.values()))

    async def _tell(self, numbers: Sequence[str], words: Sequence[str], news: News) -> list[Unsent]:
        failed: list[Unsent] = []

        async def tell(number: str) -> None:
            to = f"...{number[-3:]}"  # whose it is, is nobody's business in a log
            try:
                sent = await self._whatsapp.send(number, words)
            except Unsent as unsent:
                failed.append(unsent)
                self._log.error(
                    "alert_not_sent", to=to, reason=unsent.reason, is_passing=unsent.is_passing, **unsent.facts
                )
            else:
                news.told.add(number)
                self._log.info("alert_sent", to=to, message_id=sent, state=words[0], what=words[1])

        async with asyncio.TaskGroup() as telling:
            for number in numbers:
                telling.create_task(tell(number))
        return failed


def _not_sent(failed: Sequence[Unsent], numbers: int) -> Refused:
    """Passing when any of them may pass: then Alertmanager should not wait for the next minute."""
    passing = [one for one in failed if one.is_passing]
    worst = (passing or failed)[0]
    facts = {"failed": len(failed), "numbers": numbers, **worst.facts}
    if passing:
        return Refused(503, "WHATSAPP_UNAVAILABLE", "WhatsApp did not take the message; it may later.", None, **facts)
    return Refused(424, "WHATSAPP_REFUSED", "WhatsApp refuses the message; meta_code says why.", None, **facts)


def _parsed(body: bytes) -> AlertGroup:
    try:
        return AlertGroup.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        problems = [": ".join([".".join(map(str, one["loc"])), one["msg"]]) for one in found][:10]
        raise Refused(400, "ALERTS_MALFORMED", "The body is not Alertmanager's webhook.", problems=problems) from None
