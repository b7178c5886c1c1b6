"""The referee watches a generator and a discriminator play, and says in plain words when something goes wrong.

It looks at the means over the steps since it last looked, so that one odd batch means nothing, and it wants to see a
thing several times in a row before it speaks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from gencli.core.recipe import Diverged

AHEAD = 0.995  # share of pairs in which the real picture is preferred, from which on the discriminator has won
REJECTED = 3.0  # −log σ of what the generator made: the discriminator is more than 95 % sure of it
ALIKE = 0.25  # diversity of the samples, as a share of the pictures', under which they are all alike
ALIKE_OF_CLASS = 0.1  # the same within classes: a generator learns these first, and their variety later
SAME = 0.01  # mean difference of two pictures' values under which they are the same
TURNS = 3  # looks in a row until it speaks
EARLY = 4  # looks at the beginning when nothing has taken shape yet
FAR = 1e3  # a loss from which on the game is lost
QUIET = 20  # looks until it says the same again


@dataclass(frozen=True)
class Evidence:
    """What is seen of a game: means since the last look, and the fixed samples as they are now.

    `ahead` in [0, 1]: of pairs, one real and one drawn, how often the real one is preferred. `rejected`: −log σ of the
    logits of what was drawn, 0 and more. `diversity` and `wanted`: mean absolute difference of two samples, and of two
    pictures of the set. `changed`: whether the generator's weights did since the last look. `worst`: the largest
    absolute loss.
    """

    ahead: float
    rejected: float
    diversity: float
    wanted: float
    changed: bool
    worst: float


class Referee:
    """What it has seen so far. `critic`: verdicts are values without bounds, which say nothing about winning.
    `alike`: the share of the diversity that is wanted under which samples are all alike."""

    def __init__(self, *, critic: bool = False, alike: float = ALIKE) -> None:
        self.critic, self.alike = critic, alike
        self.looks = 0
        self.rows: dict[str, int] = {}  # looks in a row at which something was seen
        self.said: dict[str, int] = {}  # the look at which it was last said

    def look(self, seen: Evidence) -> list[str]:
        """What is to be said now. Raises Diverged when it is better to go back."""
        self.looks += 1
        if not math.isfinite(seen.worst) or seen.worst > FAR:
            self.rows = {}
            raise Diverged(f"the losses have run away, to {seen.worst:.3g}")
        words = {
            "winning": "the discriminator is winning: it tells every drawn picture from a real one",
            "alike": f"mode collapse: samples alike, {self._share(seen):.0%} as different as the pictures are",
            "same": "the pictures of the set are all the same, and so are the samples",
            "frozen": "the generator does not change any more",
        }
        found = {
            "winning": not self.critic and seen.ahead >= AHEAD and seen.rejected >= REJECTED,
            "alike": self.looks > EARLY and seen.wanted >= SAME and self._share(seen) < self.alike,
            "same": seen.wanted < SAME,
            "frozen": not seen.changed,
        }
        told = []
        for name, words_for_it in words.items():
            self.rows[name] = self.rows.get(name, 0) + 1 if found[name] else 0
            silent = self.looks - self.said.get(name, -QUIET) < QUIET
            if self.rows[name] >= TURNS and not silent:
                self.said[name] = self.looks
                told.append(words_for_it)
        return told

    @staticmethod
    def _share(seen: Evidence) -> float:
        return seen.diversity / max(seen.wanted, 1e-12)

    def state_dict(self) -> dict[str, Any]:
        return {"looks": self.looks, "rows": dict(self.rows), "said": dict(self.said)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.looks, self.rows, self.said = state_dict["looks"], dict(state_dict["rows"]), dict(state_dict["said"])
