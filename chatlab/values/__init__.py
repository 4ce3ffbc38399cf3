"""The vocabulary: frozen values that every floor speaks, with no dependency but the standard library."""
