"""WhatsApp's Cloud API: one template message to one number, tried a few times. Knows Meta's wire, not what is told.

Always a template: free text is delivered only within 24 hours of a person's own last message, which nobody here knows.
Source: Meta's documentation, WhatsApp Business Platform, messages and error codes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from listener.alerts.settings import AlertSettings

TRIES = 3
LONGEST_PAUSE_S = 4.0
TOO_MANY = 429
# By code rather than status, as Meta asks: a rate limit comes as 400 or as 429. Calls of the app, of the account, of
# the number, of the pair; unknown; overloaded; in maintenance.
PASSING_CODES = frozenset({2, 4, 80007, 130429, 131000, 131016, 131056, 131057})


class Unsent(Exception):  # noqa: N818 - it says what happened
    """A message that was not taken; `is_passing` when the same call may be taken later."""

    def __init__(self, reason: str, is_passing: bool, retry_after_s: float = 0, **facts: Any) -> None:
        super().__init__(reason)
        self.reason, self.is_passing, self.retry_after_s, self.facts = reason, is_passing, retry_after_s, facts


class WhatsApp:
    """Sends from one number by one template."""

    def __init__(self, settings: AlertSettings, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._url = f"{settings.api_url.rstrip('/')}/{settings.phone_number_id}/messages"
        self._headers = {"Authorization": f"Bearer {settings.token.get_secret_value()}"}
        self._template = {"name": settings.template, "language": {"code": settings.language}}
        self._timeout = aiohttp.ClientTimeout(total=settings.try_s)

    async def send(self, number: str, words: Sequence[str]) -> str:
        """Send, and again after what may pass; the message's id. Raises: Unsent.

        A lost answer is taken for no: twice is better than never.
        """
        tries = AsyncRetrying(
            stop=stop_after_attempt(TRIES), wait=_pause_s, retry=retry_if_exception(_may_pass), reraise=True
        )
        async for attempt in tries:
            with attempt:
                return await self._once(number, words)
        raise AssertionError("unreachable")

    async def _once(self, number: str, words: Sequence[str]) -> str:
        parameters = [{"type": "text", "text": word} for word in words]
        message = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": number,
            "type": "template",
            "template": self._template | {"components": [{"type": "body", "parameters": parameters}]},
        }
        try:
            async with self._session.post(
                self._url, json=message, headers=self._headers, timeout=self._timeout, allow_redirects=False
            ) as answer:
                body = _read(await answer.read())
                if answer.status != 200:  # noqa: PLR2004
                    raise _unsent(answer.status, answer.headers, body)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unsent("no answer", True, error=type(error).__name__) from None
        return _id_in(body)


def _read(body: bytes) -> dict[str, Any]:
    try:
        read = json.loads(body)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _id_in(body: dict[str, Any]) -> str:
    match body:
        case {"messages": [{"id": str(name)}, *_]}:
            return name
    raise Unsent("an answer without a message's id", False)


def _unsent(status: int, headers: Mapping[str, str], body: dict[str, Any]) -> Unsent:
    """Meta's error body: {"error": {message, type, code, error_data: {details}, fbtrace_id}}."""
    error = body.get("error")
    told: dict[str, Any] = error if isinstance(error, dict) else {}
    data = told.get("error_data")
    details = data.get("details") if isinstance(data, dict) else None
    code = told.get("code")
    is_passing = status == TOO_MANY or status >= 500 or code in PASSING_CODES or told.get("is_transient") is True  # noqa: PLR2004
    after = headers.get("Retry-After", "")
    return Unsent(
        str(told.get("message") or f"status {status}")[:300],
        is_passing,
        float(after) if after.isdecimal() else 0.0,
        http_status=status,
        meta_code=code if isinstance(code, int) else None,
        meta_details=str(details)[:300] if details else None,
        fbtrace_id=str(told.get("fbtrace_id") or "")[:100] or None,
    )


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, Unsent) and error.is_passing


def _pause_s(state: RetryCallState) -> float:
    """Growing and jittered; longer where the answer says so, within the time that Alertmanager waits."""
    error = state.outcome.exception() if state.outcome else None
    asked_s = error.retry_after_s if isinstance(error, Unsent) else 0.0
    growing_s: float = random.uniform(0.5, 1) * 0.5 * 2**state.attempt_number  # noqa: S311 - no secret
    return min(max(growing_s, asked_s), LONGEST_PAUSE_S)
