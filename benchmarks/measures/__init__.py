"""One module for every measure; each has a `measure` that returns its rows of the table."""
