"""Markdown from a model to HTML that is safe to put into a page.

Everything a model writes is hostile. Four steps, each of which would be enough against scripts: raw HTML in
the Markdown is text; links go to http, https or mailto only; every block passes an allow-list of tags,
attributes and classes of our own (no style, id, name, svg, form, frame or picture); control characters and
those that reorder text are taken out. A picture becomes a link: loading it would tell its host what was
asked. Formulas are written by `mathml` and put in after the allow-list, in place of a mark that only our own
renderer can make.

The unit is the block, one top-level element of the document, so that a growing answer can be sent block by
block (see `streaming`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import nh3
from markdown_it.token import Token
from pygments.token import STANDARD_TYPES

from chatlab.ui.parser import CODE_PREFIX, Env, make_parser

MATH_MARK = re.compile(r'<span class="cl-math">(\d+)</span>')

# C0 and C1 controls but tab and newline; embeddings, overrides and isolates of text direction; characters
# without width that can hide text (the joiners that scripts and emoji need stay); Unicode tags; halves of
# surrogate pairs, which no page and no UTF-8 file can hold.
UNSEEN_RANGES = (
    *((0x00, 0x08), (0x0B, 0x1F), (0x7F, 0x9F), (0x061C, 0x061C), (0x180E, 0x180E), (0x200B, 0x200B)),
    *((0x202A, 0x202E), (0x2060, 0x206F), (0xD800, 0xDFFF), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB)),
    (0xE0000, 0xE007F),
)
UNSEEN = {code: None for first, last in UNSEEN_RANGES for code in range(first, last + 1)}

PARSER = make_parser()
CLEANER = nh3.Cleaner(
    tags={
        *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li", "section"),
        *("strong", "em", "s", "del", "code", "pre", "a", "span", "div", "sup", "sub"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    },
    attributes={"a": {"href", "title"}, "ol": {"start"}},
    allowed_classes={
        "span": {CODE_PREFIX + name for name in STANDARD_TYPES.values()} | {"cl-math", "cl-language"},
        "div": {"cl-code", "cl-formula", "cl-table"},
        "th": {"cl-center", "cl-right"},
        "td": {"cl-center", "cl-right"},
        "section": {"cl-footnotes"},
    },
    set_tag_attribute_values={"a": {"target": "_blank"}},
    link_rel="noopener noreferrer",
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
)


@dataclass(frozen=True, slots=True)
class Block:
    """One top-level element: its safe HTML and the line its source begins at (None: made from elsewhere)."""

    html: str
    line: int | None


def plain(text: str) -> str:
    """Take out control characters, and those that reorder or hide text."""
    return text.translate(UNSEEN)


def to_html(text: str) -> str:
    """Render a finished document."""
    return "".join(block.html for block in to_blocks(text))


def to_blocks(text: str, *, references: dict[str, Any] | None = None, finished: bool = True) -> list[Block]:
    """Render a document block by block.

    `references` holds link definitions known from before; those of `text` are added to it. While a
    document is not `finished`, a code block still without its end is not coloured.
    """
    env: Env = {"references": {} if references is None else references, "finished": finished}
    tokens = PARSER.parse(plain(text), env)
    return [_render(group, env) for group in _groups(tokens)]


def _groups(tokens: Sequence[Token]) -> list[list[Token]]:
    groups: list[list[Token]] = []
    depth = 0
    for token in tokens:
        if depth == 0:
            groups.append([])
        groups[-1].append(token)
        depth += token.nesting
    return groups


def _render(group: list[Token], env: Env) -> Block:
    env["formulas"] = formulas = list[str]()
    raw = PARSER.renderer.render(group, PARSER.options, env)
    clean = CLEANER.clean(raw)
    whole = MATH_MARK.sub(lambda mark: formulas[int(mark[1])], clean)
    return Block(plain(whole), group[0].map[0] if group[0].map else None)
