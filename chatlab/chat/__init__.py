"""Conversations: context, turns and the live transcript. Reaches the outside only through ports."""
