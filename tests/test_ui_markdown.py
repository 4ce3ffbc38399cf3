"""Model text is hostile; what becomes of it is a fixed set of harmless elements."""

from __future__ import annotations

import json
import random
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from chatlab.ui.markdown import plain, to_html
from chatlab.ui.mathml import ATTRIBUTES, ELEMENTS, mathml
from chatlab.ui.streaming import GrowingDocument, apply_patch, common_ends

HOSTILE = json.loads((Path(__file__).parent / "hostile" / "markdown.json").read_text())
HTML_TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li", "section"),
    *("strong", "em", "s", "del", "code", "pre", "a", "span", "div", "sup", "sub"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
HTML_ATTRIBUTES = {"class", "href", "rel", "start", "target", "title"}


class Inspector(HTMLParser):
    """Collects the elements and attributes of a piece of HTML, as a browser would read them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def faults(html: str) -> list[str]:
    """Whatever is in the HTML that must not be."""
    found = []
    for tag, attributes in Inspector(html).elements:
        allowed = HTML_ATTRIBUTES if tag in HTML_TAGS else ATTRIBUTES if tag in ELEMENTS else None
        if allowed is None:
            found.append(f"element {tag}")
            continue
        found += [f"attribute {name} of {tag}" for name in attributes if name not in allowed]
        href = attributes.get("href")
        if href is not None and not href.startswith(("http://", "https://", "mailto:")):
            found.append(f"link to {href}")
        if tag == "a" and (attributes.get("rel"), attributes.get("target")) != (
            "noopener noreferrer",
            "_blank",
        ):
            found.append("link that tells where it comes from")
        for name in (attributes.get("class") or "").split():
            if not name.startswith(("cl-", "hl-")):
                found.append(f"class {name}")
    return found


@pytest.mark.parametrize("payload", HOSTILE)
def test_hostile_text_becomes_harmless(payload: str) -> None:
    assert faults(to_html(payload)) == []


@pytest.mark.parametrize("payload", HOSTILE)
def test_hostile_text_is_harmless_at_every_moment_of_its_arrival(payload: str) -> None:
    document = GrowingDocument()
    closed: list[str] = []
    opened = ""
    for character in payload:
        document.feed(character)
        if patch := document.patch():
            closed, opened = apply_patch(closed, opened, patch)
            assert faults("".join(closed) + opened) == []


def test_the_corpus_is_large_enough() -> None:
    assert len(set(HOSTILE)) >= 60


def test_all_hostile_texts_in_one_document_are_harmless_and_parse_quickly() -> None:
    text = "\n\n".join(HOSTILE * 20)
    start = time.perf_counter()
    html = to_html(text)
    assert time.perf_counter() - start < 10
    assert faults(html) == []


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("**b** _i_ ~~s~~ `c`", "<p><strong>b</strong> <em>i</em> <s>s</s> <code>c</code></p>\n"),
        ("- [x] done\n- [ ] open", "<ul>\n<li>☑ done</li>\n<li>☐ open</li>\n</ul>\n"),
        ("It costs $5, or $6.", "<p>It costs $5, or $6.</p>\n"),
        ("```\na < b\n```", '<div class="cl-code"><pre><code>a &lt; b\n</code></pre></div>\n'),
        ("3. c", '<ol start="3">\n<li>c</li>\n</ol>\n'),
        ("a[^n]\n\n[^n]: F", None),
    ],
    ids=["inline", "tasks", "dollars", "fence", "list start", "footnote"],
)
def test_markdown_is_rendered(markdown: str, html: str | None) -> None:
    made = to_html(markdown)
    if html is None:
        html = (
            '<p>a<sup>[1]</sup></p>\n<section class="cl-footnotes"><ol><li><p>F</p>\n</li></ol></section>\n'
        )
    assert made == html


def test_tables_align_by_class() -> None:
    html = to_html("|a|b|c|\n|:-|:-:|-:|\n|1|2|3|")
    assert '<td>1</td>\n<td class="cl-center">2</td>\n<td class="cl-right">3</td>' in html


def test_code_is_coloured_when_its_language_is_known() -> None:
    assert '<span class="hl-k">def</span>' in to_html("```python\ndef f(): pass\n```")
    assert "<span" not in to_html("```nosuchlanguage!\ndef f(): pass\n```")


def test_a_link_shows_where_it_really_goes() -> None:
    html = to_html('[https://bank.example](https://evil.example "https://bank.example")')
    assert 'href="https://evil.example" title="https://evil.example"' in html


def test_a_picture_is_a_link_and_is_never_loaded() -> None:
    html = to_html("![a plot](https://example.org/p.png)")
    assert "<img" not in html
    assert ">[picture: a plot]</a>" in html


def test_bare_links_work() -> None:
    assert 'href="https://example.org/a"' in to_html("see https://example.org/a.")


@pytest.mark.parametrize(
    "text",
    ["a\u202eb", "a&#x202E;b", "a\x1b[31mb", "a&#27;b", "a\u200bb", "a\U000e0041b", "a\x00b", "a\ud800b"],
    ids=["override", "override entity", "escape", "escape entity", "no width", "tag", "null", "half"],
)
def test_unseen_characters_are_taken_out(text: str) -> None:
    assert set(to_html(text)) & set(map(chr, (0, 27, 0x202E, 0x200B, 0xE0041, 0xD800))) == set()
    to_html(text).encode()


def test_scripts_that_need_joiners_keep_them() -> None:
    assert plain("👩\u200d💻 می\u200cخواهم") == "👩\u200d💻 می\u200cخواهم"


@pytest.mark.parametrize(
    "latex", [r"\frac{a}{b}", r"\sum_{i=1}^n i", r"\begin{aligned}a&=b\\c&=d\end{aligned}"]
)
def test_formulas_become_mathml(latex: str) -> None:
    html = mathml(latex, block=True)
    assert html.startswith('<math display="block">')
    assert faults(html) == []


@pytest.mark.parametrize(
    "latex", [r"\frac{", "{" * 500, "x" * 5000, r"\def\a{\a\a}\a", r"\newcommand{\b}{x}\b", "^", "_", "&"]
)
def test_formulas_that_cannot_be_converted_are_shown_as_written(latex: str) -> None:
    html = mathml(latex, block=False)
    assert html.startswith(("<code>", "<math"))
    assert faults(html) == []


@pytest.mark.parametrize("source", [r"\(a+b\)", r"\[a+b\]", "$a+b$", "$$a+b$$", "$$\na+b\n$$"])
def test_formulas_are_read_in_every_usual_form(source: str) -> None:
    assert "<mo>+</mo>" in to_html(source)


DOCUMENTS = {
    "headings": "# One\n\ntext\n\nTwo\n===\n\nmore **text** here\n\n---\n\nend",
    "lists": "1. a\n   - b\n\n     para\n   - c\n2. d\n\n   ```py\n   x = 1\n   ```\n3. e\n\n- f\n- g\n\nh",
    "code": "a\n\n```python\ndef f():\n  return '😀'\n\n\n# y\n```\n\na\n\n    indented\n\n    code\n\nx",
    "table": "| a | b |\n|---|--:|\n| 1 | 2 |\n| 3 | 😀 |\n\ntext\n\n| c |\n|---|\n| 5 |\n\nend",
    "quotes": "> a\n> b\nlazy\n\n> c\n>> d\n\ne\n\n> - f\n>   g\n\nh",
    "references": "[a][1] and [b]\n\ntext\n\ntext\n\ntext\n\n[1]: https://x.example\n[b]: https://y.example\n\n[a][1]",
    "footnotes": "a[^1] b[^2]\n\nc\n\nd\n\ne\n\n[^1]: one\n\n    still one\n\n[^2]: two\n\nf[^1]",
    "formulas": "a $x^2$ b\n\n$$\n\\frac{1}{2}\n$$\n\n\\[ y = z \\]\n\n- $a$\n- \\(b\\)\n\nend",
    "hostile": "\n\n".join(HOSTILE),
    "emoji": "😀 a 👩‍💻 b\n\n*😀* and 𝔘𝔫𝔦\n\n- 😀\n- 😀😀\n\n😀\n\n😀",
    "returns": "a\r\nb\r\n\r\n- c\r\n- d\r\n\r\n```\r\ne\r\n```\r\n\r\nf",
}


def stream(text: str, sizes: random.Random, largest: int) -> tuple[str, int]:
    """Feed a text in chunks of random size; return the HTML a front end ends with, and the bytes sent."""
    document = GrowingDocument()
    closed: list[str] = []
    opened, at, sent = "", 0, 0
    while at < len(text):
        step = sizes.randint(1, largest)
        document.feed(text[at : at + step])
        at += step
        if patch := document.patch():
            closed, opened = apply_patch(closed, opened, patch)
            sent += len(json.dumps(patch, ensure_ascii=False))
        assert apply_patch([], "", document.whole()) == (closed, opened)
    if patch := document.finish():
        closed, opened = apply_patch(closed, opened, patch)
        sent += len(json.dumps(patch, ensure_ascii=False))
    return "".join(closed) + opened, sent


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("seed", range(5))
def test_every_chunking_ends_with_the_html_of_the_whole(name: str, seed: int) -> None:
    html, _ = stream(DOCUMENTS[name], random.Random(seed), 12)
    assert html == to_html(DOCUMENTS[name])


def test_bytes_grow_with_the_new_text() -> None:
    parts = [
        DOCUMENTS[name] for name in ("headings", "lists", "code", "table", "quotes", "formulas", "emoji")
    ]
    short, long = "\n\n".join(parts * 4), "\n\n".join(parts * 16)
    _, sent_short = stream(short, random.Random(1), 40)
    _, sent_long = stream(long, random.Random(1), 40)
    assert sent_long / sent_short < 1.2 * len(long) / len(short)


def test_a_long_paragraph_is_not_sent_again_with_every_word() -> None:
    text = "word " * 800
    html, sent = stream(text, random.Random(1), 40)
    assert sent < 4 * len(html)


def test_what_only_the_end_can_tell_is_mended_at_the_end() -> None:
    document = GrowingDocument()
    document.feed("[a][1]\n\nb\n\nc\n\nd\n\ne")
    document.patch()
    document.feed("\n\n[1]: https://x.example")
    patch = document.finish()
    assert patch is not None
    assert patch[0] == 0
    assert 'href="https://x.example"' in patch[1][0]


@pytest.mark.parametrize(
    ("old", "new", "ends"),
    [
        ("", "", (0, 0)),
        ("ab", "ab", (2, 0)),
        ("<p>a</p>", "<p>ab</p>", (4, 4)),
        ("aa", "aaa", (2, 0)),
        ("xay", "xby", (1, 1)),
        ("abc", "", (0, 0)),
    ],
)
def test_common_ends_never_overlap(old: str, new: str, ends: tuple[int, int]) -> None:
    assert common_ends(old, new) == ends
