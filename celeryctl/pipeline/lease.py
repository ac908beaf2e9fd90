"""Holding a batch while its work goes on."""

import threading
from types import TracebackType

from celeryctl.errors import CeleryctlError
from celeryctl.storage import batches


class LostError(CeleryctlError):
    """The batch went to somebody else."""


class Lease:
    """Renews a claim every third of its time from a thread of its own, until the block is left."""

    def __init__(self, claim: batches.Claim) -> None:
        self._claim = claim
        self._over = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"lease-{claim.id}", daemon=True)

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def check(self) -> None:
        """Raise LostError when the batch is no longer ours: whatever is done from here on is in vain."""
        if self._lost.is_set():
            raise LostError

    def _renew(self) -> None:
        while not self._over.wait(batches.LEASE / 3):
            try:
                held = batches.renew(self._claim)
            except CeleryctlError:
                continue  # the database may be back in time; if not, somebody else takes the batch over
            if not held:
                self._lost.set()
                return
