"""The moderator that asks OpenAI, by its official client. Knows its errors; knows no rule of ours.

What a person wrote goes to OpenAI and nowhere else: no redirect is followed, and the client's words are not repeated.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import openai

from listener.contract import Log
from listener.errors import ContentRejected, ModerationDown

CATEGORIES_MAX = 20


@dataclass(frozen=True, slots=True)
class HostedConfig:
    """How OpenAI is asked. Units: timeout_s is seconds, for all tries together."""

    key: str = field(repr=False)
    model: str
    timeout_s: float
    max_retries: int
    base_url: str | None = None
    lets_pass_when_down: bool = False
    ignored: frozenset[str] = frozenset()


class HostedModerator:
    """Refuses what OpenAI's moderation flags."""

    def __init__(self, config: HostedConfig, log: Log) -> None:
        self._config = config
        self._log = log
        per_try_s = config.timeout_s / 2 if config.max_retries else config.timeout_s
        self._client = openai.AsyncOpenAI(
            api_key=config.key,
            base_url=config.base_url,
            max_retries=config.max_retries,
            http_client=openai.DefaultAsyncHttpxClient(timeout=per_try_s, follow_redirects=False),
        )

    async def judge(self, texts: Mapping[str, str]) -> None:
        """Raises: ContentRejected with the field and the categories; ModerationDown unless it is let pass then."""
        fields = [name for name in texts if name != "negative_prompt"]  # what is not wanted is no wish
        if not fields:
            return
        try:
            async with asyncio.timeout(self._config.timeout_s):
                answer = await self._client.moderations.create(
                    model=self._config.model, input=[texts[name] for name in fields]
                )
            found = [_categories(result) for result in answer.results]
            if len(found) != len(fields):
                raise ValueError("another number of results")
        except openai.OpenAIError as error:
            self._down(type(error).__name__, getattr(error, "status_code", None), _retry_after_s(error))
        except (TimeoutError, ValueError, TypeError, AttributeError) as error:
            self._down(type(error).__name__, None, None)
        else:
            self._refuse(dict(zip(fields, found, strict=True)))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _refuse(self, found: Mapping[str, frozenset[str]]) -> None:
        for name, categories in found.items():
            flagged = sorted(categories - self._config.ignored)[:CATEGORIES_MAX]
            if flagged:
                details = {"field": name, "rule": "openai", "categories": flagged}
                raise ContentRejected(f"{name} is flagged: {', '.join(flagged)}", details=details)

    def _down(self, error: str, status: int | None, retry_after_s: float | None) -> None:
        """Decide when nobody judged. The client's own text is left out: it may repeat the key or the prompt."""
        passed = self._config.lets_pass_when_down
        self._log.warning("moderation_down", error=error, status=status, let_pass=passed)
        if not passed:
            details = {"dependency": "moderation", "status": status}
            raise ModerationDown(f"{error} {status or ''}".strip(), details=details, retry_after_s=retry_after_s)


def _categories(result: object) -> frozenset[str]:
    """The categories that a result flags, by the names of the wire; `flagged` alone counts as one."""
    flagged = getattr(result, "flagged")  # noqa: B009 - an answer of another shape is no judgement
    if not isinstance(flagged, bool):
        raise TypeError("no judgement")
    listed = result.categories.to_dict() if flagged else {}  # type: ignore[attr-defined]
    named = frozenset(name for name, value in listed.items() if value is True)
    return named or frozenset({"flagged"} if flagged else ())


def _retry_after_s(error: openai.OpenAIError) -> float | None:
    """The Retry-After of the last answer, when it is a number."""
    if not isinstance(error, openai.APIStatusError):
        return None
    try:
        asked_s = float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return asked_s if math.isfinite(asked_s) and asked_s >= 0 else None
