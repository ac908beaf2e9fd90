"""A PostgreSQL that can be stopped, frozen and started again at the same place."""

import signal
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from waiting import eventually

from celeryctl.local.postgres import Postgres
from celeryctl.local.postmaster import Postmaster


class Database:
    """A PostgreSQL that keeps its port when it is started again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.url = Postgres(home).ensure()
        self.port = int(urlsplit(self.url).port or 0)

    def stop(self) -> None:
        """End it as a power cut would: nobody is asked, nothing is written any more."""
        self._processes()[0].send_signal(signal.SIGQUIT)
        eventually(lambda: not Postmaster(self.home).alive)

    def start(self) -> None:
        Postmaster(self.home, ports=lambda: self.port).start()

    def freeze(self) -> None:
        for one in self._processes():
            one.suspend()

    def thaw(self) -> None:
        for one in self._processes():
            with suppress(psutil.NoSuchProcess):
                one.resume()

    def _processes(self) -> list[psutil.Process]:
        main = psutil.Process(int((Postmaster(self.home).data / "postmaster.pid").read_text().splitlines()[0]))
        return [main, *main.children()]
