"""The gateway: bytes to events to a reply with a known end, and the one client that does the network.

Everything but `client` is pure: same bytes in, same events out. `client` owns the openai SDK, which is slow
to import, so nothing is re-exported here.
"""
