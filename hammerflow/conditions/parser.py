"""Parser: the text of a condition as a tree, by the grammar of CEL without macros.

Grammar and precedence are those of https://github.com/google/cel-spec (doc/langdef.md#syntax), with
Python's ``and or not None True False`` added. A chain of one precedence is one node, so that only
nesting makes the tree deep.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

from hammerflow.errors import ConditionError
from hammerflow.introspection.kinds import kind_name
from hammerflow.text import plain_text

__all__ = ["MAX_DEPTH", "MAX_INT", "MAX_SOURCE", "SyntaxNode", "condition_error", "parse"]

MAX_SOURCE = 2_000  # characters
MAX_DEPTH = 32  # the most that CEL requires of a parser; a level takes 10 Python frames
MAX_INT = 2**63 - 1

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<float>(?:[0-9]+\.[0-9]+|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)
      | (?P<int>0[xX][0-9a-fA-F]+|[0-9]+)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<string>"(?:[^"\\\n\r]|\\.)*"|'(?:[^'\\\n\r]|\\.)*')
      | (?P<mark>\|\||&&|[=!<>]=|[-+*/%<>!?:.,()\[\]{}])
    )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL
)
_PLAIN = dict(zip("abfnrtv\\\"'`?", "\a\b\f\n\r\t\v\\\"'`?", strict=True))
_CONSTANTS = {
    "true": True, "false": False, "null": None, "True": True, "False": False, "None": None,
}  # fmt: skip
_WORDS = {"and": "&&", "or": "||", "not": "not", "in": "in"}
_HINTS = {"=": "write == to compare", "&": "write &&", "|": "write ||"}
_COMPARE = ("==", "!=", "<", "<=", ">", ">=", "in", "not")  # not in
T = TypeVar("T")


class SyntaxNode(NamedTuple):
    """One operation of a condition."""

    op: str
    args: tuple[Any, ...]
    at: int  # index of its first character


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse(source: str) -> SyntaxNode:
    """The tree of a text, which may be refused with a ConditionError."""
    text = plain_text(source)
    if text is None:
        raise ConditionError(f"a condition must be a string, not {kind_name(source)}")
    if len(text) > MAX_SOURCE:
        raise ConditionError(
            f"a condition has at most {MAX_SOURCE} characters, this one has {len(text)}"
        )
    parser = _Parser(text, _tokens(text))
    tree = parser.expression()
    if parser.token.kind != "end":
        raise parser.unexpected("an operator or the end")
    return tree


def condition_error(source: str, at: int, reason: str) -> ConditionError:
    """The error of a text; the message counts characters from 1."""
    shown = source if len(source) <= 200 else source[:197] + "..."
    return ConditionError(f"error in the condition {shown!r} at character {at + 1}: {reason}", at)


def _tokens(source: str) -> list[_Token]:
    tokens, at, end = [], 0, len(source.rstrip())
    while at < end:
        found = _TOKEN.match(source, at, end)
        if found is None or found.lastgroup is None:
            raise _stray(source, at)
        kind, text = found.lastgroup, found[found.lastgroup]
        if kind == "name" and text in _WORDS:
            kind, text = "mark", _WORDS[text]
        tokens.append(_Token(kind, text, found.start(found.lastgroup)))
        at = found.end()
    return [*tokens, _Token("end", "", end)]


def _stray(source: str, at: int) -> ConditionError:
    at += len(source[at:]) - len(source[at:].lstrip())
    sign = source[at]
    if sign in "\"'":
        return condition_error(source, at, "the string that opens here is not closed on its line")
    return condition_error(source, at, _HINTS.get(sign, f"{sign!r} has no meaning here"))


class _Parser:
    """Recursive descent: one method for each rule of the grammar."""

    def __init__(self, source: str, tokens: list[_Token]) -> None:
        self.source, self.tokens, self.next, self.depth = source, tokens, 0, 0
        # From the loosest to the tightest; partial() adds no Python frame to a level.
        self.either = partial(self.joined, "||", partial(self.joined, "&&", self.negation))
        self.sum = partial(self.arithmetic, "+-", partial(self.arithmetic, "*/%", self.unary))

    @property
    def token(self) -> _Token:
        return self.tokens[self.next]

    def error(self, at: int, reason: str) -> ConditionError:
        return condition_error(self.source, at, reason)

    def unexpected(self, expected: str) -> ConditionError:
        found = repr(self.token.text[:40]) if self.token.kind != "end" else "the end"
        return self.error(self.token.at, f"expected {expected}, got {found}")

    def take(self, *marks: str) -> _Token | None:
        token = self.token
        if token.kind != "mark" or token.text not in marks:
            return None
        self.next += 1
        return token

    def expect(self, mark: str) -> _Token:
        token = self.take(mark)
        if token is None:
            raise self.unexpected(repr(mark))
        return token

    def expression(self) -> SyntaxNode:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(self.token.at, f"it is nested more than {MAX_DEPTH} deep")
        tree = self.either()
        if mark := self.take("?"):
            then = self.expression()
            self.expect(":")
            tree = SyntaxNode("?:", (tree, then, self.expression()), mark.at)
        self.depth -= 1
        return tree

    def joined(self, mark: str, part: Callable[[], SyntaxNode]) -> SyntaxNode:
        parts = [part()]
        at = self.token.at
        while self.take(mark):
            parts.append(part())
        return SyntaxNode(mark, tuple(parts), at) if len(parts) > 1 else parts[0]

    def arithmetic(self, signs: str, part: Callable[[], SyntaxNode]) -> SyntaxNode:
        first, rest = part(), []
        while mark := self.take(*signs):
            rest.append((mark.text, mark.at, part()))
        return SyntaxNode("arithmetic", (first, rest), first.at) if rest else first

    def negation(self) -> SyntaxNode:
        """``not`` binds as in Python: weaker than a comparison, unlike ``!``."""
        at, count = self.token.at, 0
        while self.take("not"):
            count += 1
        tree = self.relation()
        return SyntaxNode("!", (tree, count), at) if count else tree

    def relation(self) -> SyntaxNode:
        left = self.sum()
        mark = self.take(*_COMPARE)
        if mark is None:
            return left
        operation = self.expect("in") if mark.text == "not" else mark
        tree = SyntaxNode(operation.text, (left, self.sum()), mark.at)
        if again := self.take(*_COMPARE):
            reason = "comparisons do not chain: write a < b && b < c, or parentheses"
            raise self.error(again.at, reason)
        return tree if operation is mark else SyntaxNode("!", (tree, 1), mark.at)

    def unary(self) -> SyntaxNode:
        sign = self.take("!", "-")
        if sign is None:
            return self.member()
        count = 1
        while self.take(sign.text):
            count += 1
        return SyntaxNode("!" if sign.text == "!" else "negate", (self.member(), count), sign.at)

    def member(self) -> SyntaxNode:
        """A value and the steps into it: ``.name``, ``.method(...)``, ``[index]``."""
        first, steps = self.primary(), []
        while mark := self.take(".", "["):
            if mark.text == "[":
                steps.append(SyntaxNode("index", (self.expression(),), mark.at))
                self.expect("]")
                continue
            name = self.name()
            if self.take("("):
                args = self.until(")", self.expression)
                steps.append(SyntaxNode("call", (name, args), mark.at))
            else:
                steps.append(SyntaxNode("select", (name,), mark.at))
        return SyntaxNode("path", (first, tuple(steps)), first.at) if steps else first

    def name(self) -> str:
        if self.token.kind != "name":
            raise self.unexpected("the name of a field (other keys: ['in quotes'])")
        self.next += 1
        return self.tokens[self.next - 1].text

    def until(self, closing: str, read: Callable[[], T]) -> tuple[T, ...]:
        parts: list[T] = []
        while not self.take(closing):
            parts.append(read())
            if not self.take(","):
                self.expect(closing)
                break
        return tuple(parts)

    def pair(self) -> tuple[SyntaxNode, SyntaxNode]:
        key = self.expression()
        self.expect(":")
        return key, self.expression()

    def primary(self) -> SyntaxNode:
        if self.take("("):
            tree = self.expression()
            self.expect(")")
            return tree
        if mark := self.take("["):
            return SyntaxNode("list", self.until("]", self.expression), mark.at)
        if mark := self.take("{"):
            return SyntaxNode("map", self.until("}", self.pair), mark.at)
        token = self.token
        if token.kind not in ("int", "float", "string", "name"):
            raise self.unexpected("a value")
        self.next += 1
        if token.kind != "name":
            return SyntaxNode("literal", (self.literal(token),), token.at)
        if token.text in _CONSTANTS:
            return SyntaxNode("literal", (_CONSTANTS[token.text],), token.at)
        if self.take("("):
            args = self.until(")", self.expression)
            return SyntaxNode("function", (token.text, args), token.at)
        return SyntaxNode("name", (token.text,), token.at)

    def literal(self, token: _Token) -> Any:
        if token.kind == "string":
            return _ESCAPE.sub(lambda escape: self.unescape(escape, token.at), token.text[1:-1])
        after = self.token
        if after.kind in ("name", "int", "float") and after.at == token.at + len(token.text):
            raise self.error(token.at, f"{token.text + after.text!r:.60} is not a number")
        if token.kind == "float":
            return float(token.text)
        digits = token.text.lower()
        value = int(digits[:30], 16 if digits.startswith("0x") else 10)
        if len(digits) > 30 or value > MAX_INT:
            raise self.error(token.at, "an int has at most 64 bits")
        return value

    def unescape(self, escape: re.Match[str], at: int) -> str:
        *codes, octal, plain = escape.groups()
        if plain is not None:
            if plain not in _PLAIN:
                raise self.error(at, f"the escape {escape[0]!r} is unknown")
            return _PLAIN[plain]
        code = int(octal, 8) if octal else int(next(filter(None, codes)), 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise self.error(at, f"the escape {escape[0]!r} is not a character")
        return chr(code)
