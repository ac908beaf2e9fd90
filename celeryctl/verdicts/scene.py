"""What a verdict on open work is made of: workers, beats, and the messages in the broker, read once."""

from dataclasses import dataclass, field

from celeryctl import services
from celeryctl.cluster import messages
from celeryctl.cluster.messages import Message
from celeryctl.errors import CeleryctlError
from celeryctl.pipeline.context import Context
from celeryctl.storage.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Scene:
    """The cluster at one moment. ``unseen`` tells why the broker's messages could not be read."""

    snapshot: Snapshot
    waiting: list[Message] = field(default_factory=list)
    delivered: list[Message] = field(default_factory=list)
    unseen: str = ""

    @property
    def working(self) -> list[str]:
        """The names of the workers that live."""
        return [worker.name for worker in self.snapshot.workers or [] if worker.alive]

    def silent(self) -> list[str]:
        """A word on each worker that has stopped saying that it lives."""
        gone = [worker for worker in self.snapshot.workers or [] if not worker.alive]
        return [f"{worker.name} has said nothing for {worker.age:.0f} s" for worker in gone]

    @property
    def has_beat(self) -> bool:
        return any(beat.alive and beat.active for beat in self.snapshot.beats or [])

    @property
    def is_cut(self) -> bool:
        """Whether there may be more messages than were looked at."""
        return max(len(self.waiting), len(self.delivered)) >= messages.MOST

    def queued(self, batch_id: int) -> Message | None:
        """The message that would bring this batch to a worker."""
        return next((one for one in self.waiting if one.batch_id == batch_id), None)

    def is_delivered(self, batch_id: int) -> bool:
        return any(one.batch_id == batch_id for one in self.delivered)


def read(context: Context) -> Scene:
    """Look at ledger and broker. A broker that is away is told in the scene."""
    snapshot = services.read()
    try:
        return Scene(snapshot, messages.waiting(context.settings), messages.delivered(context.settings))
    except CeleryctlError as exc:
        return Scene(snapshot, unseen=str(exc))
