"""The shipped rules see through disguises, leave harmless words alone, and can be replaced by a file of one's own."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.errors import ConfigError, ContentRejected, InvalidParams
from listener.moderation.fold import fold
from listener.moderation.rules import JUDGED_CHARS_MAX, SHIPPED, Rule, RuleModerator, read_rules
from listener.moderation.terms import Folded, Term, Terms


def moderator(path: Path | None = None) -> RuleModerator:
    return RuleModerator(tuple(Rule.of(rule) for rule in read_rules(path).rule))


SHIPPED_RULES = moderator()


async def rule_broken(text: str, field: str = "prompt", judge: RuleModerator = SHIPPED_RULES) -> str | None:
    refusal = None
    try:
        await judge.judge({field: text})
    except ContentRejected as refused:
        refusal = refused
    if refusal is None:
        return None
    assert refusal.details["field"] == field
    assert text not in f"{refusal} {refusal.details}", "the words are not repeated"
    return str(refusal.details["rule"])


@pytest.mark.parametrize(
    "typed",
    [
        "a nude woman",
        "a NUDE woman",
        "a nüdé woman",
        "a пudе woman",  # Cyrillic
        "a νυdε woman",  # Greek
        "a ｎｕｄｅ woman",
        "a ɴᴜᴅᴇ woman",
        "a 𝓷𝓾𝓭𝓮 woman",
        "a 🅝🅤🅓🅔 woman",
        "a 🄝🅄🄓🄔 woman",
        "a 🇳🇺🇩🇪 woman",
        "a n\u200bu\u2060d\ufeffe woman",
        "a n\u00adude woman",
        "a n\u200du\u200cde woman",
        "a nu\U000e0064de woman",  # a tag character
        "a n\u0336u\u0336d\u0336e\u0336 woman",
        "a n\u034fude woman",
        "a nu\u3164de woman",
        "a \u202enude\u202c woman",
        "a nuuuuuuuude woman",
        "a nud3 woman",
        "a n4ked woman",
        "a n u d e woman",
        "a n.u.d.e woman",
        "a n_u-d*e woman",
        "a nude-woman",
        "nude女孩",
        "eine nackte, also nackt",
        "голая женщина",
        "裸体",
    ],
)
async def test_a_disguised_word_is_seen_through(typed: str) -> None:
    assert await rule_broken(typed) == "sexual_content"


@pytest.mark.parametrize(
    ("typed", "rule"),
    [
        ("a 12 year old girl, sexy", "sexual_content_with_minors"),
        ("a 9-year-old boy in lingerie", "sexual_content_with_minors"),
        ("sexy, aged １７", "sexual_content_with_minors"),
        ("seductive women", None),
        ("seductive schoolgirls", "sexual_content_with_minors"),
        ("childporn", "child_abuse_material"),
        ("ch1ld p0rn", "child_abuse_material"),
        ("a decapitated knight", "graphic_violence"),
        ("suicidal mood", "self_harm"),
        ("a swastika on a flag", "hate"),
        ("suicide bombers", "self_harm"),
    ],
)
async def test_each_rule_is_named(typed: str, rule: str | None) -> None:
    assert await rule_broken(typed) == rule


@pytest.mark.parametrize(
    "typed",
    [
        "a calm portrait",
        "nude lipstick and nude heels",
        "a naked mole rat, visible to the naked eye",
        "Al Gore in a Gore-Tex jacket",
        "a Suicide Squad poster",
        "a pen is on the table",
        "a peduncle in Scunthorpe, Essex, Middlesex",
        "an expert assassin, class analysis, cocktail",
        "455 nm, 5000 K, 3/4 view, 80085",
        "un nuevo avenue, venue, revenue, the nudge of a nudnik",
        "a 25 year old man, sexy",
        "a child with a kite, 12 years old",
        "a 12 year old whisky beside a sexy dress",
        "Люди гуляют, портрет мужчины в парке",
        "一個女孩在花園裡",
        "مردی در باغ",
        "👩\u200d🚀 in space",
        "XXX large shirt",
    ],
)
async def test_a_harmless_text_passes(typed: str) -> None:
    assert await rule_broken(typed) is None


@pytest.mark.parametrize(
    ("typed", "rule"),
    [
        ("blurry, clothes", "undressing_by_negation"),
        ("C1othes", "undressing_by_negation"),
        ("nude, nsfw, wrinkled clothes", None),
        ("blurry", None),
    ],
)
async def test_a_negative_prompt_has_rules_of_its_own(typed: str, rule: str | None) -> None:
    assert await rule_broken(typed, "negative_prompt") == rule


async def test_a_file_of_ones_own_replaces_the_shipped_rules(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(
        'version = 1\n[[rule]]\nname = "brands"\nfields = ["prompt", "outfit"]\n'
        'any = ["acme*"]\nunless = ["acme tower"]\n'
    )
    own = moderator(path)
    assert await rule_broken("an ACMEfone", judge=own) == "brands"
    assert await rule_broken("ᴀᴄᴍᴇ shoes", "outfit", own) == "brands"
    assert await rule_broken("the Acme Tower, a nude statue", judge=own) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("version = 2", "version"),
        ("version = 1\n[[rule]]\nname = 'x'\n", "needs terms"),
        ("version = 1\n[[rule]]\nname = 'x'\nall = [[], ['y']]\n", "needs terms"),
        ("version = 1\n[[rule]]\nname = 'x'\nany = ['...']\n", "any.0"),
        ("version = 1\n[[rule]]\nname = 'Not A Name'\nany = ['y']\n", "name"),
        ("version = 1\n[[rule]]\nname = 'x'\nanny = ['y']\n", "anny"),
        ("version = ", "cannot be read"),
        (None, "cannot be read"),
        ("x" * 1_000_001, "larger than"),
    ],
)
def test_a_file_that_cannot_be_used_ends_the_start_and_says_where(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "rules.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match="LISTENER_MODERATION_RULES") as refused:
        read_rules(path)
    assert words in str(refused.value)
    assert str(path) in str(refused.value)


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=200))
def test_folding_never_fails_and_folds_once(typed: str) -> None:
    folded = fold(typed)
    assert fold(folded) == folded
    assert "nude" in fold("nude" + typed)


@pytest.mark.parametrize(
    "typed", ["1" * 2000, "il1|!" * 400, "n u d " * 333, ". " * 1000, "child " * 333, "_" * 2000, "nudnudnud" * 222]
)
async def test_a_text_made_to_be_slow_is_judged_in_time(typed: str) -> None:
    began = time.process_time()
    await rule_broken(typed)
    assert time.process_time() - began < 1.0


def test_digits_alone_are_a_number_and_no_word() -> None:
    terms = Terms.of(["ass", "boob"])
    assert terms.stand_in(Folded("a55"))
    assert terms.stand_in(Folded("b00b"))
    assert not terms.stand_in(Folded("455 8008"))


def test_the_shipped_file_is_the_one_that_is_read() -> None:
    assert SHIPPED.is_file()
    assert {rule.name for rule in read_rules().rule} >= {"sexual_content", "sexual_content_with_minors"}


async def test_a_text_too_long_to_judge_is_refused_and_not_let_pass() -> None:
    await SHIPPED_RULES.judge({"prompt": "word " * (JUDGED_CHARS_MAX // 5)})
    with pytest.raises(InvalidParams) as refused:
        await SHIPPED_RULES.judge({"prompt": "x" * (JUDGED_CHARS_MAX + 1)})
    assert refused.value.details["field"] == "prompt"


LIKE = {"a": "4@", "e": "3", "i": "1!", "o": "0", "s": "5$", "t": "7+"}
WRITTEN = [
    term for rule in read_rules().rule for term in (*rule.any, *rule.whole, *(t for group in rule.all for t in group))
]


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(WRITTEN), st.randoms(use_true_random=False))
def test_ruling_a_term_out_by_its_letters_never_contradicts_its_pattern(written: str, chance: random.Random) -> None:
    def disguised(char: str) -> str:
        return chance.choice([char, char, char * chance.randint(1, 6), chance.choice(LIKE.get(char, char))])

    words = re.sub(r"\{(\d+)-(\d+)\}", lambda bounds: str(chance.randint(int(bounds[1]), int(bounds[2]))), written)
    typed = "".join(map(disguised, words.replace("*", "")))
    if chance.random() < 0.3:
        typed = chance.choice(" .-_!").join(typed.replace(" ", ""))
    text = Folded(fold(f"so, {typed} yes"))
    term = Term.of(written)
    decided = any(any(char.isalpha() for char in match.group()) for match in term.pattern.finditer(text.text))
    assert term.stands_in(text) == decided
