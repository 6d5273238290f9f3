"""The moderator that refuses by an editable file of rules. Knows the file; needs no network and no model."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from listener.errors import ConfigError, ContentRejected, InvalidParams
from listener.moderation.fold import fold
from listener.moderation.terms import Folded, Terms

SHIPPED = Path(__file__).with_name("rules.toml")
FILE_BYTES_MAX = 1_000_000
JUDGED_CHARS_MAX = 20_000
"""About 20 ms of judging."""

TermText = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"[^\W_]")]
TermTexts = Annotated[tuple[TermText, ...], Field(max_length=2000)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class RuleText(_Strict):
    """One rule as it is written."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    fields: tuple[str, ...] = ("prompt",)
    any: TermTexts = ()
    all: tuple[TermTexts, ...] = ()
    whole: TermTexts = ()
    unless: TermTexts = ()

    @model_validator(mode="after")
    def _says_something(self) -> RuleText:
        if not (self.any or self.all or self.whole) or not all(self.all):
            raise ValueError("a rule needs terms in `any`, `all` or `whole`")
        return self


class OpenAiText(_Strict):
    """What is let pass of OpenAI's findings."""

    ignore: frozenset[str] = frozenset()


class RuleFile(_Strict):
    """A file of rules."""

    version: Literal[1]
    rule: tuple[RuleText, ...] = ()
    openai: OpenAiText = OpenAiText()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, ready to be asked."""

    name: str
    fields: frozenset[str]
    any: Terms
    all: tuple[Terms, ...]
    whole: Terms
    unless: Terms

    @classmethod
    def of(cls, text: RuleText) -> Rule:
        """Compile what is written."""
        groups = tuple(Terms.of(group) for group in text.all)
        fields = frozenset(text.fields)
        return cls(text.name, fields, Terms.of(text.any), groups, Terms.of(text.whole), Terms.of(text.unless))

    def refuses(self, folded: Folded) -> bool:
        """Whether a folded text breaks the rule."""
        judged = self.unless.taken_out_of(folded)
        if self.any.stand_in(judged) or (self.all and all(group.stand_in(judged) for group in self.all)):
            return True
        items = judged.text.split(",") if self.whole else ()
        return any(self.whole.are_all_of(Folded(item.strip())) for item in items)


class RuleModerator:
    """Refuses what breaks a rule; costs no call and about a millisecond."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = rules

    async def judge(self, texts: Mapping[str, str]) -> None:
        """Raises: ContentRejected with the field and the rule, never the words; InvalidParams for a whole book."""
        for field, text in texts.items():
            if len(text) > JUDGED_CHARS_MAX:
                remedy = f"shorten it to at most {JUDGED_CHARS_MAX} characters"
                raise InvalidParams(f"{field} is too long to judge", details={"field": field, "remedy": remedy})
            folded = Folded(fold(text))
            for rule in self._rules:
                if field in rule.fields and rule.refuses(folded):
                    raise ContentRejected(f"{field} breaks {rule.name}", details={"field": field, "rule": rule.name})

    async def close(self) -> None:
        """Nothing to let go of."""


def read_rules(path: Path | None = None) -> RuleFile:
    """Read a file of rules; the shipped one when none is named.

    Raises: ConfigError that names the file and the place in it.
    """
    path = path or SHIPPED
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ConfigError(f"LISTENER_MODERATION_RULES: {path} is larger than {FILE_BYTES_MAX} bytes")
        return RuleFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise ConfigError(f"LISTENER_MODERATION_RULES: {path}, {place}: {problem['msg']}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"LISTENER_MODERATION_RULES: {path} cannot be read: {error}") from error
