"""Unit conversion: length, mass, volume, time and temperature, by exact factors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from chatlab.simulator.finding import Finding, format_number, misplace


@dataclass(frozen=True, slots=True)
class _Unit:
    """A unit as `factor` and `offset` of its dimension's base unit: base = value * factor + offset."""

    name: str  # plural
    singular: str
    dimension: str
    factor: Fraction
    offset: Fraction = Fraction(0)


# Dimension, factor to the base unit, names: the plural first. Imperial factors are exact by definition
# (international yard and pound, 1959; US customary gallon of 231 cubic inches).
_TABLE = (
    ("length", "0.001", "millimetres millimetre millimeters millimeter mm"),
    ("length", "0.01", "centimetres centimetre centimeters centimeter cm"),
    ("length", "1", "metres metre meters meter m"),
    ("length", "1000", "kilometres kilometre kilometers kilometer km"),
    ("length", "0.0254", "inches inch in"),
    ("length", "0.3048", "feet foot ft"),
    ("length", "0.9144", "yards yard yd"),
    ("length", "1609.344", "miles mile mi"),
    ("mass", "0.001", "grams gram g"),
    ("mass", "0.000001", "milligrams milligram mg"),
    ("mass", "1", "kilograms kilogram kilos kilo kg"),
    ("mass", "1000", "tonnes tonne"),
    ("mass", "0.45359237", "pounds pound lbs lb"),
    ("mass", "0.028349523125", "ounces ounce oz"),
    ("volume", "0.001", "millilitres millilitre milliliters milliliter ml"),
    ("volume", "1", "litres litre liters liter l"),
    ("volume", "3.785411784", "gallons gallon gal"),
    ("volume", "0.473176473", "pints pint"),
    ("volume", "0.2365882365", "cups cup"),
    ("time", "1", "seconds second secs sec s"),
    ("time", "60", "minutes minute mins min"),
    ("time", "3600", "hours hour hrs hr h"),
    ("time", "86400", "days day"),
    ("time", "604800", "weeks week"),
)
_UNITS = {
    name: _Unit(names.split()[0], names.split()[1], dimension, Fraction(factor))
    for dimension, factor, names in _TABLE
    for name in names.split()
}
_CELSIUS = _Unit("degrees Celsius", "degree Celsius", "temperature", Fraction(1), Fraction("273.15"))
_FAHRENHEIT = _Unit(
    "degrees Fahrenheit",
    "degree Fahrenheit",
    "temperature",
    Fraction(5, 9),
    Fraction("459.67") * Fraction(5, 9),
)
_KELVIN = _Unit("kelvin", "kelvin", "temperature", Fraction(1))
_UNITS |= dict.fromkeys(("celsius", "c", "°c"), _CELSIUS)
_UNITS |= dict.fromkeys(("fahrenheit", "f", "°f"), _FAHRENHEIT)
_UNITS |= dict.fromkeys(("kelvin", "kelvins", "k"), _KELVIN)

_NAMES = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
_NUMBER = r"(?P<number>(?<![\d,.])-?\d[\d,]{0,15}(?:\.\d+)?|\ban?\b|\bone\b)"
_FROM_TO = re.compile(
    rf"{_NUMBER}\s*(?:degrees?\s+|°\s*)?(?P<source>{_NAMES})\b\s*(?:is\s+)?(?:in|to|into|as)\s+"
    rf"(?:degrees?\s+)?(?P<target>{_NAMES})\b",
    re.IGNORECASE,
)
_HOW_MANY = re.compile(
    rf"how many\s+(?P<target>{_NAMES})\s+(?:are\s+|is\s+)?(?:there\s+)?(?:in|make)\s+"
    rf"{_NUMBER}\s*(?P<source>{_NAMES})\b",
    re.IGNORECASE,
)


def find_conversion(prompt: str, slip: float | None) -> Finding | None:
    """Find a quantity to be converted: `5 miles in km`, `how many minutes are in 3 hours`."""
    match = _HOW_MANY.search(prompt) or _FROM_TO.search(prompt)
    if match is None:
        return None
    source, target = _UNITS[match["source"].lower()], _UNITS[match["target"].lower()]
    if source.dimension != target.dimension or source == target:
        return None
    amount = _amount(match["number"])
    right = (amount * source.factor + source.offset - target.offset) / target.factor
    result = format_number(right if slip is None else misplace(right, slip))
    given = f"{format_number(amount)} {source.singular if amount == 1 else source.name}"
    return Finding(
        topic="Unit conversion",
        question=f"{given} in {target.name}",
        value=f"{result} {target.name}",
        sentence=f"{given} is {result} {target.name}.",
        steps=(
            f"Both are units of {source.dimension}, so the one can be turned into the other.",
            _rule(source, target),
            f"For {given} that gives {result} {target.name}.",
        ),
        hint=f"Which is larger, one of the {source.name} or one of the {target.name}, and by what factor?",
        code=_code(amount, source, target),
    )


def _amount(text: str) -> Fraction:
    return Fraction(1) if text.lower() in {"a", "an", "one"} else Fraction(text.replace(",", ""))


def _rule(source: _Unit, target: _Unit) -> str:
    if source.dimension == "temperature":
        return f"Temperatures have different zero points, so {source.name} need an offset and a factor."
    return (
        f"The factor from {source.name} to {target.name} is {format_number(source.factor / target.factor)}."
    )


def _code(amount: Fraction, source: _Unit, target: _Unit) -> str:
    offset = format_number((source.offset - target.offset) / target.factor)
    factor = format_number(source.factor / target.factor)
    return f"print({format_number(amount)} * {factor}" + (")" if offset == "0" else f" + {offset})")
