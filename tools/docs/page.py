"""A page of the documentation as a reader meets it: its blocks of code in order, and its links.

What is said about a block stands in HTML comments directly above it, one a line:

    <!-- not run: REASON -->    it cannot run in a test
    <!-- run: WHO -->           typed by that person, who has an interpreter, a shell and keys of their own
    <!-- fails -->              it must fail, and the reader is shown how
    <!-- prints -->             (above a text block) what the block before it prints; "..." stands for anything

and at the top of a page `<!-- needs: server -->`: a server in development mode runs on 127.0.0.1:50056.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import tomllib
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

RUN = ("python", "sh")
PARSED = {"json": json.loads, "yaml": yaml.safe_load, "toml": tomllib.loads}
SHOWN = ("text", "ini", "make")
# MyST's own: directives that the site's generator carries out.
DIRECTIVE = re.compile(r"\{[a-z:-]+\}")
COMMENT = re.compile(r"<!-- ([a-z -]+?)(?:: (.*?))? -->")
# The README's two walk-throughs name who types a block with these words, for tests that pick one.
WHO = ("run", "walk-through", "registered")
KNOWN = (*WHO, "not run", "fails", "prints", "needs")
NOBODY = "reader"


class PageError(Exception):
    """The page itself is wrong; says where."""


@dataclass(frozen=True)
class Block:
    page: Path
    line: int  # of its first line of code, counted from 1
    language: str
    code: str
    said: dict[str, str] = field(default_factory=dict)

    @property
    def who(self) -> str:
        return next((self.said[key] for key in WHO if key in self.said), NOBODY)

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def not_run(self) -> str | None:
        """Why it is not run, for a block of a language that would be."""
        return self.said.get("not run") if self.language in RUN else None


class Page:
    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        self.name = path.relative_to(root)
        self.text = path.read_text()

    @cached_property
    def _tokens(self) -> list[Token]:
        return MarkdownIt("commonmark").enable("table").parse(self.text)

    @cached_property
    def blocks(self) -> list[Block]:
        return [self._block(token, said) for token, said in self._fences()]

    @property
    def needs(self) -> set[str]:
        return {text or "" for key, text in COMMENT.findall(self.text) if key == "needs"}

    @property
    def links(self) -> list[tuple[int, str]]:
        """Line and target of each link and picture, as written; those of HTML included."""
        found = []
        for token in self._tokens:
            line = (token.map or [0])[0] + 1
            for child in token.children or []:
                found += [(line, str(child.attrs[name])) for name in ("href", "src") if name in child.attrs]
            if token.type in ("html_block", "inline"):
                found += [(line, target) for target in re.findall(r'(?:href|src|srcset)="([^"]*)"', token.content)]
        return found

    def _fences(self) -> Iterator[tuple[Token, dict[str, str]]]:
        lines = self.text.splitlines()
        for token in self._tokens:
            if token.type == "code_block" and token.map:
                raise PageError(f"{self.name}:{token.map[0] + 1}: an indented block, which nobody runs; fence it")
            if token.type == "fence" and token.map:
                yield token, self._comments_above(lines, token.map[0])

    def _comments_above(self, lines: list[str], fence: int) -> dict[str, str]:
        said: dict[str, str] = {}
        above = fence - 1
        while above >= 0 and (comment := COMMENT.fullmatch(lines[above].strip())):
            key, value = comment.groups()
            if key not in KNOWN:
                raise PageError(f"{self.name}:{above + 1}: nothing is known of {key!r}; known: {', '.join(KNOWN)}")
            said[key] = value or ""
            above -= 1
        if said.get("not run") == "":
            raise PageError(f"{self.name}:{fence + 1}: `not run` lacks its reason")
        return said

    def _block(self, token: Token, said: dict[str, str]) -> Block:
        assert token.map
        line, language = token.map[0] + 2, token.info.strip()
        if DIRECTIVE.match(language):
            language = "text"
        if language not in (*RUN, *PARSED, *SHOWN):
            raise PageError(f"{self.name}:{line - 1}: a block of {repr(language) if language else 'no language'}; say what it is")
        if language in PARSED:
            try:
                PARSED[language](token.content)
            except Exception as reason:
                raise PageError(f"{self.name}:{line}: this is no {language}: {reason}") from None
        return Block(self.name, line, language, token.content, said)
