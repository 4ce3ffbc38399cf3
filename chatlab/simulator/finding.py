"""What a skill found out about a prompt, before a model family puts it into words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A checkable answer. `value` is the answer alone and stands in `sentence` word for word."""

    topic: str
    question: str  # what was understood, in few words
    value: str
    sentence: str
    steps: tuple[str, ...]  # how one gets there, one sentence each
    hint: str  # the question a tutor would ask instead of answering
    code: str = ""  # Python that computes the value


Skill: TypeAlias = Callable[[str, float | None], Finding | None]
"""Looks for its kind of question in a prompt; None when there is none.

The second argument is None for a right answer, or a number in [0, 1) that picks one of the wrong ones.
"""


def format_number(value: Fraction) -> str:
    """Write a number without a needless point, with at most six decimals."""
    if value.denominator == 1:
        return str(value.numerator)
    text = f"{float(value):.6f}".rstrip("0").rstrip(".")
    return text if text not in {"0", "-0"} else f"{float(value):.3g}"


def misplace(value: Fraction, slip: float) -> Fraction:
    """Return a number near `value` that a careless calculator could come to; never `value` itself."""
    step = Fraction(1) if value.denominator == 1 else value / 20 or Fraction(1)
    wrong = (value + step, value - step, value + 10 * step, value - 10 * step, value * 10 or step)
    return wrong[int(slip * len(wrong))]
