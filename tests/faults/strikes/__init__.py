"""Faults: each begins with its block, and is undone at the end of it."""
