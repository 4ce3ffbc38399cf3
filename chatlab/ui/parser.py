"""The Markdown that chatlab reads, and the HTML of the elements that are its own.

CommonMark with tables, strikethrough, bare links, footnotes, task lists and formulas between dollars or
`\\(...\\)` and `\\[...\\]`. What comes out is not safe yet: only `markdown` may use this module.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping, Sequence
from html import escape
from typing import Any, TypeAlias, cast

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.gfm_autolink import gfm_autolink_plugin
from mdit_py_plugins.tasklists import tasklists_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from chatlab.ui.mathml import LIMIT_CHARACTERS, mathml

CODE_PREFIX = "hl-"  # of the classes that colour code
HIGHLIGHT_LIMIT = 40_000  # characters of one code block; longer ones stay plain
SAFE_LINK = re.compile(r"(?:https?:|mailto:)", re.IGNORECASE)
LANGUAGE = re.compile(r"[\w+#.-]{1,30}")
ALIGNMENT = re.compile(r"text-align:(center|right)")

Env: TypeAlias = MutableMapping[str, Any]
"""What a parse carries: `references` (link definitions), `finished`, and `formulas` of the block at hand."""


def make_parser() -> MarkdownIt:
    """Build the parser; it may be used from several threads."""
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.use(gfm_autolink_plugin)
    parser.use(footnote_plugin, inline=False)
    parser.use(tasklists_plugin)
    parser.use(
        dollarmath_plugin, allow_labels=False, allow_space=False, allow_digits=False, double_inline=True
    )
    parser.inline.ruler.before("escape", "bracket_math", _bracket_math)
    parser.core.ruler.push("align_by_class", _align_by_class)
    cast("RendererHTML", parser.renderer).rules.update(RULES)  # last: plug-ins bring renderers of their own
    parser.validateLink = lambda url: SAFE_LINK.match(url.strip()) is not None  # type: ignore[method-assign]  # the documented way to set it
    return parser


def _bracket_math(state: StateInline, silent: bool) -> bool:
    start = state.pos + 2
    opening = state.src[state.pos : start]
    if opening not in ("\\(", "\\["):
        return False
    end = state.src.find("\\)" if opening == "\\(" else "\\]", start, start + LIMIT_CHARACTERS)
    if end < 0:
        return False
    if not silent:
        kind = "math_inline" if opening == "\\(" else "math_inline_double"
        state.push(kind, "math", 0).content = state.src[start:end]
    state.pos = end + 2
    return True


def _align_by_class(state: StateCore) -> None:
    """Say the alignment of a table's cells by class: style attributes are not let through."""
    for token in state.tokens:
        if token.type in ("th_open", "td_open"):
            found = ALIGNMENT.match(str(token.attrs.pop("style", "")))
            if found:
                token.attrs["class"] = f"cl-{found[1]}"


def _fence(token: Token, env: Env) -> str:
    lines = token.map[1] - token.map[0] if token.map else 0
    closed = token.content.count("\n") == lines - 2  # first and last line are the fence itself
    name = (token.info.split() or [""])[0]
    label = f'<span class="cl-language">{name}</span>' if LANGUAGE.fullmatch(name) else ""
    code = _coloured(token.content, name) if closed or env["finished"] else escape(token.content)
    return _code_box(code, label)


def _code_box(code: str, label: str = "") -> str:
    return f'<div class="cl-code">{label}<pre><code>{code}</code></pre></div>\n'


def _coloured(code: str, language: str) -> str:
    if not language or len(code) > HIGHLIGHT_LIMIT:
        return escape(code)
    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return escape(code)
    return highlight(code, lexer, HtmlFormatter(nowrap=True, classprefix=CODE_PREFIX))


def _picture(tokens: Sequence[Token], position: int) -> str:
    token = tokens[position]
    source = escape(str(token.attrs["src"]))
    words = f"[picture: {escape(token.content) or 'no description'}]"
    within_link = sum(other.nesting for other in tokens[:position] if other.type.startswith("link_"))
    return words if within_link or not source else _link(source) + words + "</a>"


def _link(target: str) -> str:
    return f'<a href="{target}" title="{target}">'  # the title shows where it really goes


def _formula(latex: str, env: Env, *, block: bool) -> str:
    env["formulas"].append(mathml(latex, block=block))
    return f'<span class="cl-math">{len(env["formulas"]) - 1}</span>'


RULES: dict[str, Any] = {
    "fence": lambda tokens, i, _options, env: _fence(tokens[i], env),
    "code_block": lambda tokens, i, _options, _env: _code_box(escape(tokens[i].content)),
    "image": lambda tokens, i, _options, _env: _picture(tokens, i),
    "link_open": lambda tokens, i, _options, _env: _link(escape(str(tokens[i].attrs["href"]))),
    # Only the task list plug-in makes html_inline: raw HTML is off.
    "html_inline": lambda tokens, i, _options, _env: "☑" if "checked" in tokens[i].content else "☐",
    "math_inline": lambda tokens, i, _options, env: _formula(tokens[i].content, env, block=False),
    "math_inline_double": lambda tokens, i, _options, env: _formula(tokens[i].content, env, block=True),
    "math_block": lambda tokens, i, _options, env: (
        f'<div class="cl-formula">{_formula(tokens[i].content, env, block=True)}</div>\n'
    ),
    "footnote_ref": lambda tokens, i, _options, _env: f"<sup>[{tokens[i].meta['id'] + 1}]</sup>",
    "table_open": lambda *_: '<div class="cl-table"><table>',
    "table_close": lambda *_: "</table></div>\n",
    "footnote_block_open": lambda *_: '<section class="cl-footnotes"><ol>',
    "footnote_block_close": lambda *_: "</ol></section>\n",
    "footnote_open": lambda *_: "<li>",
    "footnote_close": lambda *_: "</li>",
    "footnote_anchor": lambda *_: "",
}
