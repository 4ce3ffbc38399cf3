"""The embedded gateway: a real HTTP server on a loopback port that speaks OpenRouter's wire format.

Its five seeded models answer simple questions without any network or key, each with a pace, a price and a
known share of failures of its own, so that chats, comparisons and bills mean something offline.
"""

from chatlab.simulator.models import DEFAULT_MODEL, FAMILIES, SIMULATOR_KEY, Family
from chatlab.simulator.server import Simulator, serve_forever

__all__ = ["DEFAULT_MODEL", "FAMILIES", "SIMULATOR_KEY", "Family", "Simulator", "serve_forever"]
