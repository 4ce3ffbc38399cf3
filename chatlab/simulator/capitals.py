"""Capital cities: 66 countries, by name, and the follow-up `and of Spain?`."""

from __future__ import annotations

import re

from chatlab.simulator.finding import Finding

CAPITALS = {
    "Argentina": "Buenos Aires", "Australia": "Canberra", "Austria": "Vienna", "Bangladesh": "Dhaka",
    "Belgium": "Brussels", "Bolivia": "Sucre", "Brazil": "Brasília", "Bulgaria": "Sofia", "Canada": "Ottawa",
    "Chile": "Santiago", "China": "Beijing", "Colombia": "Bogotá", "Croatia": "Zagreb", "Cuba": "Havana",
    "Czechia": "Prague", "Denmark": "Copenhagen", "Ecuador": "Quito", "Egypt": "Cairo", "Estonia": "Tallinn",
    "Ethiopia": "Addis Ababa", "Finland": "Helsinki", "France": "Paris", "Germany": "Berlin",
    "Ghana": "Accra", "Greece": "Athens", "Hungary": "Budapest", "Iceland": "Reykjavik",
    "India": "New Delhi", "Indonesia": "Jakarta", "Iran": "Tehran", "Iraq": "Baghdad", "Ireland": "Dublin",
    "Israel": "Jerusalem", "Italy": "Rome", "Japan": "Tokyo", "Jordan": "Amman", "Kenya": "Nairobi",
    "Latvia": "Riga", "Lithuania": "Vilnius", "Malaysia": "Kuala Lumpur", "Mexico": "Mexico City",
    "Morocco": "Rabat", "Nepal": "Kathmandu", "the Netherlands": "Amsterdam", "New Zealand": "Wellington",
    "Nigeria": "Abuja", "Norway": "Oslo", "Pakistan": "Islamabad", "Peru": "Lima",
    "the Philippines": "Manila", "Poland": "Warsaw", "Portugal": "Lisbon", "Romania": "Bucharest",
    "Russia": "Moscow", "Saudi Arabia": "Riyadh", "Serbia": "Belgrade", "Slovakia": "Bratislava",
    "South Korea": "Seoul", "Spain": "Madrid", "Sweden": "Stockholm", "Switzerland": "Bern",
    "Thailand": "Bangkok", "Tunisia": "Tunis", "Turkey": "Ankara", "Ukraine": "Kyiv",
    "the United Kingdom": "London", "the United States": "Washington, D.C.", "Uruguay": "Montevideo",
    "Vietnam": "Hanoi",
}  # fmt: skip

# The city that those who err most often name instead.
_POPULAR_ERRORS = {
    "Australia": "Sydney", "Bolivia": "La Paz", "Brazil": "Rio de Janeiro", "Canada": "Toronto",
    "China": "Shanghai", "Ecuador": "Guayaquil", "Germany": "Munich", "India": "Mumbai", "Israel": "Tel Aviv",
    "Italy": "Milan", "Morocco": "Casablanca", "the Netherlands": "The Hague", "New Zealand": "Auckland",
    "Nigeria": "Lagos", "Pakistan": "Karachi", "Spain": "Barcelona", "Switzerland": "Zurich",
    "Turkey": "Istanbul", "the United States": "New York", "Vietnam": "Ho Chi Minh City",
}  # fmt: skip

_ALIASES = {
    "usa": "the United States", "us": "the United States", "united states of america": "the United States",
    "america": "the United States", "uk": "the United Kingdom", "great britain": "the United Kingdom",
    "england": "the United Kingdom", "holland": "the Netherlands", "czech republic": "Czechia",
    "türkiye": "Turkey", "korea": "South Korea",
}  # fmt: skip

_COUNTRIES = {country.removeprefix("the ").lower(): country for country in CAPITALS} | _ALIASES
_ANY_COUNTRY = re.compile(
    r"\b(" + "|".join(sorted(map(re.escape, _COUNTRIES), key=len, reverse=True)) + r")\b", re.IGNORECASE
)
_CAPITAL = re.compile(r"\bcapitals?\b", re.IGNORECASE)
FOLLOW_UP = re.compile(r"^\s*(and|what about|how about)\b.{0,60}$", re.IGNORECASE)


def find_capital(prompt: str, slip: float | None) -> Finding | None:
    """Find the question for a country's capital. Names of countries are matched in English."""
    match = _ANY_COUNTRY.search(prompt) if _CAPITAL.search(prompt) else None
    if match is None:
        return None
    country = _COUNTRIES[match[1].lower()]
    capital = CAPITALS[country] if slip is None else _wrong_capital(country, slip)
    stop = "" if capital.endswith(".") else "."
    return Finding(
        topic="Capital cities",
        question=f"The capital of {country}",
        value=capital,
        sentence=f"The capital of {country} is {capital}{stop}",
        steps=(
            f"The question names one country: {country}.",
            "The capital is the seat of government, which need not be the largest city.",
            f"For {country} that is {capital}{stop}",
        ),
        hint=f"Which cities of {country} can you name, and in which of them does the government sit?",
        code=f'capitals = {{"{country.removeprefix("the ")}": "{capital}"}}',
    )


def _wrong_capital(country: str, slip: float) -> str:
    if country in _POPULAR_ERRORS:
        return _POPULAR_ERRORS[country]
    others = [capital for name, capital in CAPITALS.items() if name != country]
    return others[int(slip * len(others))]
