"""Values that must not be read over a shoulder."""

from collections.abc import Collection, MutableMapping

from celeryctl.logs import HIDDEN, mask


class Secret(str):
    """Text whose repr does not show it. ``str()`` and formatting do: that is how it gets where it is needed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(HIDDEN)


def masked(value: str) -> str:
    """The value as it may be shown: a URL without its password, of anything else nothing."""
    # What holds a space is no URL, and a password may go on behind it.
    return mask(value) if "://" in value and not any(map(str.isspace, value)) else HIDDEN


def hidden(value: str) -> str:  # noqa: ARG001 - takes the place of `masked`
    """Nothing of the value."""
    return HIDDEN


def without_secrets(environ: MutableMapping[str, str], *, keep: Collection[str] = ()) -> None:
    """Take out of an environment what holds a secret and whom it is for has no use of, but what is to ``keep``."""
    named = {"DATABASE_URL", "REDIS_URL", "CARD_ENCRYPTION_KEYS", "FLOWER_BASIC_AUTH"}
    for name in [one for one in environ if one in named or one.endswith(("_AUTHORIZATION", "PASSWORD"))]:
        if name not in keep:
            del environ[name]
