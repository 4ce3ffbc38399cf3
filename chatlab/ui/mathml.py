"""LaTeX from a model to MathML that is safe to put into a page.

latex2mathml builds an element tree; its own text form is not used, because it un-escapes what the model
wrote inside `\\text{...}` and passes `\\href` and `\\style` on. The tree is written out here: allowed
elements and attributes only, all text escaped. A formula that cannot be converted is shown as written.
"""

from __future__ import annotations

import re
from html import escape, unescape
from xml.etree.ElementTree import Element

from latex2mathml.converter import convert_to_element

LIMIT_CHARACTERS = 2_000  # of one formula; longer ones are shown as they were written
LIMIT_DEPTH = 40

MACROS = re.compile(r"\\(?:[egx]?def|let|(?:re)?newcommand|newenvironment|DeclareMathOperator)\b")
ALIGNED = re.compile(r"\\(begin|end)\{(?:aligned|gathered|split)\}")

ELEMENTS = {
    *("math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "ms", "mfrac", "msqrt", "mroot", "mstyle"),
    *("mpadded", "mphantom", "menclose", "msub", "msup", "msubsup", "munder", "mover", "munderover"),
    *("mmultiscripts", "mprescripts", "none", "mtable", "mtr", "mtd"),
}
ATTRIBUTES = {
    *("accent", "accentunder", "columnalign", "columnlines", "columnspacing", "depth", "display"),
    *("displaystyle", "fence", "form", "height", "largeop", "linebreak", "linethickness", "lspace"),
    *("mathcolor", "mathvariant", "maxsize", "minsize", "movablelimits", "notation", "rowlines"),
    *("rowspacing", "rspace", "scriptlevel", "separator", "stretchy", "symmetric", "voffset", "width"),
}
VALUE = re.compile(r"[\w .,%#+-]{1,40}")


def mathml(latex: str, *, block: bool) -> str:
    """Convert a formula to a `<math>` element, or to escaped `<code>` when that cannot be done."""
    source = ALIGNED.sub(r"\\\1{align*}", latex.strip())
    if len(source) > LIMIT_CHARACTERS or MACROS.search(source):  # macros can grow without bound
        return _as_written(latex)
    try:
        tree = convert_to_element(source, display="block" if block else "inline")
        return _write(tree, 0)
    except Exception:  # noqa: BLE001  # the converter raises anything from IndexError up on odd input
        return _as_written(latex)


def _as_written(latex: str) -> str:
    return f"<code>{escape(latex.strip())}</code>"


def _write(element: Element, depth: int) -> str:
    if depth > LIMIT_DEPTH:
        raise ValueError("the formula is nested too deeply")
    inner = escape(unescape(element.text or "")) + "".join(_write(child, depth + 1) for child in element)
    if element.tag not in ELEMENTS:
        return inner
    attributes = "".join(
        f' {name}="{escape(value)}"'
        for name, value in element.attrib.items()
        if name in ATTRIBUTES and VALUE.fullmatch(value)
    )
    return f"<{element.tag}{attributes}>{inner}</{element.tag}>"
