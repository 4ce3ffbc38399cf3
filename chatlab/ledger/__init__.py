"""Usage and money over time."""
