"""Arithmetic in prompts: `17 * 23`, `what is 17 times 23`, `15% of 80`. Exact, and safe on hostile input.

An expression is parsed into a syntax tree of which only numbers and operators are accepted; size, depth and
exponents are bounded, so no text can make it compute for long.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from fractions import Fraction

from chatlab.simulator.finding import Finding, format_number, misplace

MAX_PROMPT = 4_000  # characters that are looked at
MAX_EXPRESSION = 200  # characters
MAX_EXPONENT = 64
MAX_MAGNITUDE = 10**40

_NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
    "twenty")  # fmt: skip
_WORDS: tuple[tuple[str, str], ...] = (
    (r"(?<=\d),(?=\d{3}\b)", ""),
    (r"([\d.]+)\s*(?:%|percent)\s+of\s+", r"\1/100*"),
    (r"\b(?:multiplied by|times)\b|[×·]|(?<=[\d)])\s*x\s*(?=[\d(])", " * "),
    (r"\b(?:divided by|over)\b|÷", " / "),
    (r"\b(?:plus|added to)\b", " + "),
    (r"\bminus\b|[−–]", " - "),
    (r"\bmodulo\b|\bmod\b", " % "),
    (r"\bto the power of\b|\^", " ** "),
    (r"\bsquared\b", " ** 2"),
    (r"\bcubed\b", " ** 3"),
)
_EXPRESSION = re.compile(r"[-(]*\s*\d[\d.\s()+\-*/%]*[\d)]")
_ASKS = re.compile(
    r"\b(what|how much|calculate|compute|evaluate|solve|result|work out|sum|product|add|multiply|give|answer|"
    r"reply)\b|=",
    re.IGNORECASE,
)
_DATE_LIKE = re.compile(r"\d+([-/.])\d+\1\d+")

_OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}
_SIGNS = {"*": "×", "/": "÷", "-": "−"}


class _NotArithmetic(Exception):
    """The text is no expression that is computed here."""


def find_arithmetic(prompt: str, slip: float | None) -> Finding | None:
    """Find an expression in a prompt and compute it."""
    expression = _expression(prompt)
    if expression is None:
        return None
    shown = _show(expression)
    hint = f"In what order would you take the steps of {shown}, and what does the first one give?"
    try:
        right = evaluate(expression)
    except ZeroDivisionError:
        return _division_by_zero(shown)
    except _NotArithmetic:
        return None
    value = format_number(right if slip is None else misplace(right, slip))
    return Finding(
        topic="Arithmetic",
        question=shown,
        value=value,
        sentence=f"{shown} = {value}.",
        steps=(
            f"The expression is {shown}.",
            _method(expression),
            f"Taken from left to right, that gives {value}.",
        ),
        hint=hint,
        code=f"print({expression})",
    )


def evaluate(expression: str) -> Fraction:
    """Compute an expression of numbers, + - * / % ** and parentheses, exactly."""
    try:
        tree = ast.parse(expression, mode="eval")
        return _value(tree.body)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise _NotArithmetic(expression) from error


def _value(node: ast.expr) -> Fraction:
    if isinstance(node, ast.Constant) and type(node.value) in {int, float}:
        return Fraction(str(node.value))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        inner = _value(node.operand)
        return -inner if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.BinOp):
        return _bounded(_operate(node.op, _value(node.left), _value(node.right)))
    raise _NotArithmetic(ast.dump(node))


def _operate(kind: ast.operator, left: Fraction, right: Fraction) -> Fraction:
    if not isinstance(kind, ast.Pow):
        if type(kind) not in _OPERATORS:
            raise _NotArithmetic(ast.dump(kind))
        return _OPERATORS[type(kind)](left, right)
    if right.denominator != 1 or abs(right) > MAX_EXPONENT:
        raise _NotArithmetic("an exponent out of bounds")
    return Fraction(left ** int(right))


def _bounded(value: Fraction) -> Fraction:
    if abs(value.numerator) > MAX_MAGNITUDE or value.denominator > MAX_MAGNITUDE:
        raise _NotArithmetic("a number out of bounds")
    return value


def _expression(prompt: str) -> str | None:
    text = prompt.strip()[:MAX_PROMPT].rstrip("?.! ").lower()
    for number, word in enumerate(_NUMBER_WORDS):
        text = re.sub(rf"\b{word}\b", str(number), text)
    for pattern, replacement in _WORDS:
        text = re.sub(pattern, replacement, text)
    found = [match[0].strip() for match in _EXPRESSION.finditer(text)]
    candidates = [item for item in found if _is_expression(item)]
    if not candidates or not (_ASKS.search(text) or len(candidates[0]) >= len(text) - 4):
        return None
    return re.sub(r"\s+", " ", re.sub(r"\b0+(?=\d)", "", max(candidates, key=len)))


def _is_expression(text: str) -> bool:
    has_operator = re.search(r"[\d)]\s*(?:[-+/%]|\*{1,2})\s*[-(]*\s*[\d(]", text)
    return bool(has_operator) and len(text) <= MAX_EXPRESSION and not _DATE_LIKE.fullmatch(text)


def _show(expression: str) -> str:
    compact = expression.replace(" ", "")
    spaced = re.sub(r"(?<=[\d)])(\*\*|[-+*/%])", r" \1 ", compact)
    return re.sub(r" ([*/-]) ", lambda match: f" {_SIGNS[match[1]]} ", spaced)


def _method(expression: str) -> str:
    if len(re.findall(r"\*\*|[-+*/%]", expression)) > 1:
        return "Parentheses come first, then powers, then × and ÷, then + and −."
    return "The inverse operation is a good check."


def _division_by_zero(shown: str) -> Finding:
    return Finding(
        topic="Arithmetic",
        question=shown,
        value="undefined",
        sentence=f"{shown} is undefined, because nothing can be divided by zero.",
        steps=("A quotient is the number that, times the divisor, gives the dividend.", "Zero has none."),
        hint="What number, multiplied by zero, would give the dividend?",
    )
