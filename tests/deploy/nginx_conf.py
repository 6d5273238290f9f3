"""Reads nginx's configuration as far as these tests ask: blocks, directives, and which location answers a path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

TOKEN = re.compile(r"""\#[^\n]*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[{};]|(?:\$\{\w+\}|[^\s{};])+""")


@dataclass
class Block:
    """A directive with its words, and what stands in its braces."""

    words: list[str]
    inside: list[Block] = field(default_factory=list)

    def all(self, name: str) -> list[Block]:
        """Its own directives of that name."""
        return [one for one in self.inside if one.words[:1] == [name]]

    def word(self, name: str) -> str | None:
        """The first word of a directive, if it is there."""
        found = self.all(name)
        return found[0].words[1] if found else None

    def location(self, path: str) -> Block:
        """The location of a server that answers a path: exact, else the first expression, else the longest prefix."""
        places = self.all("location")
        for one in places:
            if one.words[1:] == ["=", path]:
                return one
        for one in places:
            if one.words[1] == "~" and re.search(one.words[2], path):
                return one
        prefixes = [one for one in places if len(one.words) == 2 and path.startswith(one.words[1])]
        return max(prefixes, key=lambda one: len(one.words[1]))


def parsed(text: str) -> Block:
    """The whole file. Raises: ValueError for braces that do not match, or a directive without its end."""
    tokens = (token for token in TOKEN.findall(text) if not token.startswith("#"))
    root = Block(["http"])
    if _fill(root, tokens):
        raise ValueError("a brace closes nothing")
    return root


def _fill(block: Block, tokens: Iterator[str]) -> bool:
    words: list[str] = []
    for token in tokens:
        if token == ";":
            block.inside.append(Block(words))
            words = []
        elif token == "{":
            inner = Block(words)
            if not _fill(inner, tokens):
                raise ValueError(f"{words} does not end")
            block.inside.append(inner)
            words = []
        elif token == "}":
            if words:
                raise ValueError(f"{words} has no semicolon")
            return True
        else:
            words.append(token.strip("\"'"))
    if words:
        raise ValueError(f"{words} has no end")
    return False
