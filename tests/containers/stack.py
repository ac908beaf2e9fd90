"""The Compose stack of a copy of this tree, in the tests' own engine."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values
from waiting import eventually

from .engine import Engine, said

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Stack:
    engine: Engine
    tree: Path

    @classmethod
    def of_this_tree(cls, engine: Engine) -> "Stack":
        """In a copy of what is under version control, whether committed or not."""
        tree = engine.folder / "tree"
        files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        for name in filter(None, files.decode().split("\0")):
            if (ROOT / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, tree / name)
        return cls(engine, tree)

    def configure(self, settings: str, *, users: int) -> None:
        """What `celeryctl config init` writes, and more settings; sources with so many users."""
        environ = {name: value for name, value in os.environ.items() if name != "CELERYCTL_HOME"}
        said([sys.executable, "-P", "-m", "celeryctl", "config", "init"], environ, cwd=self.tree)
        with (self.tree / ".env").open("a") as file:
            file.write(settings)
        service = {"command": [*self.services()["offline-api"]["command"], "--users", str(users)]}
        (self.tree / "docker-compose.override.yml").write_text(yaml.safe_dump({"services": {"offline-api": service}}))

    def compose(self, *arguments: str) -> str:
        return said(["docker-compose", *arguments], self.environ, cwd=self.tree)

    def refused(self, *arguments: str) -> str:
        """What a command that has to fail says on stderr."""
        command = ["docker-compose", *arguments]
        done = subprocess.run(command, env=self.environ, cwd=self.tree, capture_output=True, text=True, check=False)
        assert done.returncode != 0, done.stdout  # 1, or 15 of newer ones
        return done.stderr

    @property
    def environ(self) -> dict[str, str]:
        """As deploy/offline.env says."""
        given = dotenv_values(ROOT / "deploy/offline.env")
        return self.engine.environ | {name: value or "" for name, value in given.items()}

    def inside(self, *command: str) -> str:
        """What a command prints in the first worker's container."""
        return self.engine.docker("exec", self.containers("celery-worker")[0], *command)

    def celeryctl(self, *arguments: str) -> Any:
        """The document that a command prints there."""
        return json.loads(self.inside("celeryctl", *arguments, "--json"))

    def running(self, *arguments: str) -> "subprocess.Popen[str]":
        """A command there, at work."""
        command = ["docker-compose", "exec", "-T", "celery-worker", "celeryctl", *arguments]
        return subprocess.Popen(command, env=self.environ, cwd=self.tree, stdout=subprocess.PIPE, text=True)

    def containers(self, service: str) -> list[str]:
        """Their ids, in the order of their numbers; also of those that have ended."""
        by = (
            "--filter",
            f"label=com.docker.compose.service={service}",
            "--filter",
            "label=com.docker.compose.oneoff=False",
        )
        shown = self.engine.docker("ps", "--all", "--no-trunc", "--format={{.Names}} {{.ID}}", *by)
        numbered = sorted((int(re.split("[-_]", line.split()[0])[-1]), line.split()[1]) for line in shown.splitlines())
        return [one for _, one in numbered]

    def lasting(self) -> list[str]:
        """The services of the profile `offline` that do not end by themselves."""
        there = {name: one for name, one in self.services().items() if set(one.get("profiles", ())) <= {"offline"}}
        return [name for name, one in there.items() if one["restart"] != "no"]

    def services(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load(self.compose("config"))["services"]
        return found

    def state(self, container: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.engine.docker("inspect", "--format={{json .State}}", container))
        return found

    def health(self, service: str) -> list[str]:
        """Of each of its containers: healthy, unhealthy, starting, or none where nothing checks."""
        return [self.state(one).get("Health", {}).get("Status", "none") for one in self.containers(service)]

    def restarts(self, container: str) -> int:
        """How often the engine has started it anew."""
        return int(self.engine.docker("inspect", "--format={{.RestartCount}}", container))

    def becomes_healthy(self, *services: str, within: float = 120) -> None:
        for service in services:
            eventually(lambda one=service: set(self.health(one)) == {"healthy"}, within=within)

    def signal(self, container: str, name: str) -> None:
        """To the program in it, past the engine, which would take it for a wish that it stay ended."""
        self.engine.kill(self.state(container)["Pid"], name)
