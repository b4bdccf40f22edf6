"""A fault that is more than a signal to a process: it brings its own story, and its own judgement.

A module of trials has a function `trials(seeds)`, and is listed in `tests/faults/__main__.py`. The first word of a
fault's name is its place in the table: B1 to B10 neighbours, C what comes in, D the machine, E storms, G the watch.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.oracle import Wrong
from tests.faults.rig import Rig, rigged


@dataclass(slots=True)
class Stage:
    """What a trial is played on: an empty database of its own, a folder, and a seed for what is left to chance."""

    database: str
    url: str
    folder: Path
    seed: int
    hits: int = field(default=0)
    """How often the fault came about; a trial counts it itself with `met`."""

    @contextmanager
    def rigged(self, **settings: Any) -> Iterator[Rig]:
        """The bot's processes with their neighbours, for as long as the context lasts. Settings as in `bot/settings.py`."""
        with rigged(self.url, self.folder, **settings) as rig:
            yield rig

    def met(self, times: int = 1) -> None:
        """Say that the fault came about."""
        self.hits += times


@dataclass(frozen=True, slots=True)
class Trial:
    """One run. `play` yields everything that is wrong, and raises `NeverSeen` where something that had to come did not."""

    fault: str
    database: str
    seed: int
    play: Callable[[Stage], Iterable[Wrong]]
    is_alone: bool = False
    """It needs the machine to itself: a storm, or a wait that is measured."""

    @property
    def name(self) -> str:
        """To find it again by."""
        return f"{self.fault} · {self.database} · seed {self.seed}"
