"""What `why` answers with."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """How ``subject`` stands, in one word; ``because`` are whole sentences, the most important first.

    ``next`` is the command that helps most.
    """

    subject: str
    state: str
    because: tuple[str, ...]
    next: str
