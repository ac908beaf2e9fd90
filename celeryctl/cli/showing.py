"""The user that `users show` shows."""

from typing import Any

from celeryctl.errors import CeleryctlError
from celeryctl.services import UserService
from celeryctl.storage import audit


def find(user_id: int, *, external: bool, reveal: bool) -> dict[str, Any]:
    """The user with all that hangs on it. That its card numbers are revealed is kept before they are.

    ``external``: the id is the source's own. Raises CeleryctlError where there is none, CipherError without its key.
    """
    read = UserService.get_user_by_external_id if external else UserService.get_user_with_relations
    known = read(user_id)
    if known is None:
        raise CeleryctlError(f"there is no user {user_id}", why="no row has this id", fix="celeryctl users list")
    if reveal:
        audit.reveal(known["id"])
    return UserService.get_user_with_relations(known["id"], reveal=reveal) or known
