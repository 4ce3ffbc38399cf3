"""JSON extraction: the fields a prompt, a system text or a schema asks for, found in a text by patterns."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

_Finder: TypeAlias = Callable[[str], Any]

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+")
_PHONE = re.compile(r"\+?\d[\d ()/-]{6,20}\d")
_URL = re.compile(r"https?://[^\s\"'<>)]+")
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_DATE = re.compile(
    rf"\b(?:\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}|\d{{1,2}}\.? (?:{_MONTHS}) \d{{4}}|"
    rf"(?:{_MONTHS}) \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}})\b"
)
_AMOUNT = re.compile(
    r"(?P<before>[$€£]|\b(?:USD|EUR|GBP|CHF)\b)\s?(?P<first>\d[\d,]{0,15}(?:\.\d+)?)|"
    r"(?P<second>\d[\d,]{0,15}(?:\.\d+)?)\s?(?P<after>[$€£]|\b(?:USD|EUR|GBP|CHF|dollars|euros|pounds)\b)"
)
_CURRENCIES = {"$": "USD", "€": "EUR", "£": "GBP", "dollars": "USD", "euros": "EUR", "pounds": "GBP"}
_NAME_CLUES = re.compile(
    r"(?:\b(?i:name is|named|called|name:|i am|i'm|from|by|customer:?|contact:?|mrs?\.?|ms\.?|dr\.?|dear)\s+)"
    r"([A-ZÀ-Þ][\w'’-]+(?:\s+[A-ZÀ-Þ][\w'’-]+){0,2})"
)
_FULL_NAME = re.compile(r"\b([A-ZÀ-Þ][a-zà-ÿ'’-]+(?:\s+[A-ZÀ-Þ][a-zà-ÿ'’-]+){1,2})\b")
_COMPANY = re.compile(
    r"\b((?:[A-Z][\w&-]+\s+){1,3}(?:Inc|Ltd|LLC|GmbH|AG|Corp|Corporation|Company|Co|SA|BV|plc)\b\.?)"
)
_CITY = re.compile(
    r"\b(?:in|at|city:|lives in|based in|located in)\s+([A-ZÀ-Þ][\w'’-]+(?:\s+[A-ZÀ-Þ][\w'’-]+)?)"
)
_AGE = re.compile(r"\b(?:aged?:?\s+(\d{1,3})|(\d{1,3})[- ]years?[- ]old)\b", re.IGNORECASE)
_QUANTITY = re.compile(r"\b(\d+)\s+(?!USD|EUR|GBP|CHF|dollars|euros|years?\b)[a-z]+", re.IGNORECASE)
_ORDER = re.compile(
    r"\b(?:order|invoice|ticket|ref(?:erence)?)\s*(?:no\.?|number|#|:)?\s*#?([A-Z0-9-]*\d[A-Z0-9-]*)",
    re.IGNORECASE,
)

_FIELD_LIST = re.compile(
    r"\b(?:keys?|fields?|properties|extract|with|containing|return)\b[:\s]+(?:the\s+)?"
    r"(?P<list>[\"'`]?\w+[\"'`]?(?:\s*(?:,\s*and|,|and|&)\s*(?:the\s+)?[\"'`]?\w+[\"'`]?)+)",
    re.IGNORECASE,
)
_ONE_FIELD = re.compile(r"\bextract\s+(?:only\s+)?the\s+[\"'`]?(\w+)", re.IGNORECASE)
_NO_FIELDS = {"the", "a", "an", "json", "object", "data", "text", "information", "facts", "fields", "keys"}


def extract_json(text: str, fields: Sequence[str], slip: float | None) -> str:
    """Return the fields found in a text as JSON; a field that was asked for and not found is null.

    With a slip the JSON is broken or one of its values is wrong.
    """
    if fields:
        found = {field: _find(field, text) for field in fields}
    else:
        found = {field: value for field in _DEFAULT_FIELDS if (value := _find(field, text)) is not None}
    if slip is None:
        return json.dumps(found, ensure_ascii=False)
    return _spoil(found, slip)


def asked_fields(*instructions: str) -> tuple[str, ...]:
    """Read the names of the fields from instructions such as `extract name, email and date as JSON`."""
    for instruction in instructions:
        match = _FIELD_LIST.search(instruction)
        if match:
            names = re.split(r"\s*(?:,\s*and\b|,|\band\b|&)\s*(?:the\s+)?", match["list"])
            wanted = [name.strip("\"'` \n").lower() for name in names]
            return tuple(dict.fromkeys(name for name in wanted if name and name not in _NO_FIELDS))
        single = _ONE_FIELD.search(instruction)
        if single and single[1].lower() not in _NO_FIELDS:
            return (single[1].lower(),)
    return ()


def _find(field: str, text: str) -> Any:
    lowered = field.lower()
    for words, finder in _FINDERS:
        if any(word in lowered for word in words):
            return finder(text)
    labelled = re.search(rf"\b{re.escape(field)}\s*[:=]\s*([^\n,;]+)", text, re.IGNORECASE)
    return labelled[1].strip() if labelled else None


def _first(pattern: re.Pattern[str]) -> _Finder:
    def find(text: str) -> str | None:
        match = pattern.search(text)
        if match is None:
            return None
        groups = [group for group in match.groups() if group]
        return (groups[0] if groups else match[0]).strip().rstrip(".,;")

    return find


def _whole(pattern: re.Pattern[str]) -> _Finder:
    find = _first(pattern)
    return lambda text: None if (found := find(text)) is None else int(found)


def _amount(text: str) -> int | float | None:
    match = _AMOUNT.search(text)
    if match is None:
        return None
    digits = (match["first"] or match["second"]).replace(",", "")
    return float(digits) if "." in digits else int(digits)


def _currency(text: str) -> str | None:
    match = _AMOUNT.search(text)
    if match is None:
        return None
    sign = match["before"] or match["after"]
    return _CURRENCIES.get(sign, sign)


def _name(text: str) -> Any:
    people = _COMPANY.sub(" ", text)
    return _first(_NAME_CLUES)(people) or _first(_FULL_NAME)(people)


def _phone(text: str) -> Any:
    return _first(_PHONE)(_DATE.sub(" ", text))


_FINDERS: tuple[tuple[tuple[str, ...], _Finder], ...] = (
    (("mail",), _first(_EMAIL)),
    (("phone", "mobile", "tel"), _phone),
    (("url", "link", "website"), _first(_URL)),
    (("currency",), _currency),
    (("amount", "total", "price", "cost", "sum", "paid"), _amount),
    (("date", "day", "when", "due"), _first(_DATE)),
    (("company", "organisation", "organization", "employer", "vendor"), _first(_COMPANY)),
    (("order", "invoice", "ticket", "reference"), _first(_ORDER)),
    (("city", "place", "location", "town"), _first(_CITY)),
    (("age",), _whole(_AGE)),
    (("quantity", "count", "number", "items"), _whole(_QUANTITY)),
    (("name", "person", "customer", "author", "sender"), _name),
)
_DEFAULT_FIELDS = ("name", "email", "phone", "company", "date", "amount", "currency", "city", "age", "url")


def _spoil(found: dict[str, Any], slip: float) -> str:
    text = json.dumps(found, ensure_ascii=False)
    if slip < 0.4 or not found:
        return text[:-1] + ","  # cut off, as by a model that stops too early
    field = list(found)[int(slip * len(found))]
    value = found[field]
    wrong = value + 1 if isinstance(value, int | float) else None if value else "unknown"
    return json.dumps({**found, field: wrong}, ensure_ascii=False)
