"""What is kept of who has looked at card numbers in the clear. It outlives the user whose they were."""

import os
import pwd
import socket

from celeryctl.storage.database import database, transaction

REVEAL = "INSERT INTO reveals (user_id, who, host) VALUES (%s, %s, %s)"


def reveal(user_id: int) -> None:
    """Note that whoever runs this process is about to see the card numbers of this user."""
    with transaction():
        database.execute_sql(REVEAL, (user_id, _who(), socket.gethostname()))


def _who() -> str:
    """The user's own name, not what LOGNAME says; the number of one that has none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
