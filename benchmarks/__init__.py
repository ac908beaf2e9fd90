"""How fast it is, how little it needs, and whether that stays so with a million users: `python -m benchmarks`."""
