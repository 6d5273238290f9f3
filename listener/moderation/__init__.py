"""Who judges people's words: a file of rules, and OpenAI where a setting asks for it. Knows no kind and no store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from listener.errors import ConfigError
from listener.moderation.rules import Rule, RuleModerator, read_rules
from listener.moderation.settings import ModerationSettings
from listener.ports import Moderator
from listener.telemetry import log


class InTurn:
    """Several moderators, the cheapest first."""

    def __init__(self, moderators: Sequence[Moderator]) -> None:
        self._moderators = moderators

    async def judge(self, texts: Mapping[str, str]) -> None:
        """Raises: ContentRejected, ModerationDown."""
        for moderator in self._moderators:
            await moderator.judge(texts)

    async def close(self) -> None:
        """Close each."""
        for moderator in self._moderators:
            await moderator.close()


def build_moderator(settings: ModerationSettings) -> Moderator | None:
    """Build what the settings ask for.

    Raises: ConfigError for a file of rules that cannot be used, or when OpenAI's client is not installed.
    """
    if settings.moderation == "off":
        return None
    written = read_rules(settings.moderation_rules)
    rules = RuleModerator(tuple(Rule.of(rule) for rule in written.rule))
    if settings.moderation == "rules":
        return rules
    return InTurn([rules, _hosted(settings, written.openai.ignore)])


def _hosted(settings: ModerationSettings, ignored: frozenset[str]) -> Moderator:
    try:
        from listener.moderation.hosted import HostedConfig, HostedModerator  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError("LISTENER_MODERATION=openai needs the client: pip install 'listener[openai]'") from error
    key = settings.openai_api_key
    config = HostedConfig(
        key=key.get_secret_value() if key else "",
        model=settings.moderation_model,
        timeout_s=settings.moderation_timeout_s,
        max_retries=settings.openai_max_retries,
        base_url=settings.openai_base_url,
        lets_pass_when_down=settings.moderation_when_down == "open",
        ignored=ignored,
    )
    return HostedModerator(config, log.get("moderation"))
