"""The rows of users from a draw or a lookup: which requests to make, and which record belongs to whom."""

from collections.abc import Iterator, Sequence

from celeryctl.dataset import Dataset
from celeryctl.errors import AnswerError
from celeryctl.pipeline.answer import members
from celeryctl.pipeline.decode import Result, attribute, decode, usable
from celeryctl.pipeline.page import Get
from celeryctl.pipeline.rejection import Rejection
from celeryctl.storage.misses import Missed
from celeryctl.storage.rows import Rows

Users = Sequence[tuple[int, int]]  # (users.id, external_id)
Found = Sequence[tuple[int, Result | None]]  # (users.id, what came for that user)


def chunks(dataset: Dataset, users: Users) -> list[Users]:
    """The users of each request, or of each series of requests where a source gives fewer than asked."""
    size = dataset.source.page_size if dataset.source.many else 1
    return [users[start : start + size] for start in range(0, len(users), size)]


def fetch_users(dataset: Dataset, users: Users, get: Get) -> Found:
    """What came for each of one chunk of users. Raises SourceError, SourceUnreachableError."""
    source = dataset.source
    if source.kind == "draw":
        return list(zip((user_id for user_id, _ in users), _draw(dataset, len(users), get), strict=True))
    results = _lookup_many(dataset, users, get) if source.many else _lookup_one(dataset, users[0], get)
    return [(user_id, results.get(external_id)) for user_id, external_id in users]


def assign(found: Found, rows: Rows, missed: list[Missed]) -> None:
    """Add what came for some users to the rows and to what is missed."""
    good, users = [], []
    for user_id, result in found:
        if result is None:
            missed.append(Missed(str(user_id), "none"))
        elif isinstance(result, Rejection):
            missed.append(Missed(str(user_id), "rejected", result.reasons, payload=result.payload))
        else:
            good.append(result[1])
            users.append(user_id)
    rows.add(good, users)


def _draw(dataset: Dataset, count: int, get: Get) -> list[Result]:
    """Exactly ``count`` records: a source may give fewer than asked, then it is asked for the rest."""
    results: list[Result] = []
    while len(results) < count:
        url = dataset.source.with_query(**{dataset.source.size or "size": count - len(results)})
        drawn = decode(dataset, get(url).body)
        if not drawn:
            raise AnswerError(f"the source of {dataset.name} gives no records", why="its answer is an empty list")
        results += drawn
    return results[:count]


def _lookup_one(dataset: Dataset, user: tuple[int, int], get: Get) -> dict[int, Result]:
    answer = get(dataset.source.url.replace("{external_id}", str(user[1])), absent_ok=True)
    if answer.status == 404:
        return {}
    results = decode(dataset, answer.body)
    return {user[1]: results[0]} if results else {}


def _lookup_many(dataset: Dataset, users: Users, get: Get) -> dict[int, Result]:
    ids = ",".join(str(external_id) for _, external_id in users)
    answer = get(dataset.source.url.replace("{external_ids}", ids), absent_ok=True)
    if answer.status == 404:
        return {}
    if dataset.source.key is None:
        return dict(by_id(dataset, answer.body))
    name = attribute(dataset.record, dataset.source.key)
    found = [(_key(name, result), result) for result in decode(dataset, answer.body)]
    known = {external_id: result for external_id, result in found if external_id is not None}
    lost = sum(external_id is None for external_id, _ in found)
    if not lost:
        return known
    # They may be anybody's: who has no record here is not known to have none.
    doubt = Rejection((f"the answer holds {lost} records without a usable {dataset.source.key}",))
    return {external_id: known.get(external_id, doubt) for _, external_id in users}


def _key(name: str, result: Result) -> int | None:
    return result.key if isinstance(result, Rejection) else usable(getattr(result[0], name, None))


def by_id(dataset: Dataset, body: bytes) -> Iterator[tuple[int, Result]]:
    """The answer is an object whose keys are the users' external ids; null means that there is none."""
    for key, raw in members(dataset, body, "an object by id").items():
        number = usable(key)
        if number is not None and bytes(raw) != b"null":
            yield number, decode(dataset, b"[" + bytes(raw) + b"]")[0]
