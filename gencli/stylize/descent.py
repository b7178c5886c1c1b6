"""Ways down an objective, for a picture as the variable."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from gencli.core.spectra import towards_natural

log = logging.getLogger("gencli")

HISTORY = 16  # pairs of steps and gradients L-BFGS remembers
FIRST_MOVE = 0.02  # root mean square of the first change, in [0, 1]
LONGEST_MOVE = 0.1  # and the most any later one may have
USUAL = 0.9  # share of the running mean of squared slopes that is kept each step
CAUTION = 0.25  # the power of its square that a coordinate's step is divided by; Adam's is 0.5
MOMENTUM = 0.8  # of the change from one aim to the next
ADAM_RATE, ADAM_BETAS, AVERAGE = 0.1, (0.8, 0.9), 0.9
ADAM_LAST = 0.02  # share of the rate that is left at the end
SGD_DECAY, SGD_EVERY = 0.96, 100  # the textbook's: 4 % less every 100 steps
BOOK_RATE = 100 / 255**2  # the textbook's 100, for pictures in [0, 1] in place of 0 … 255
PLATEAU, PATIENCE = 2e-4, 10  # stop when so many steps together gain less than this share of the loss
MOST_FAULTS = 3

Function = Callable[[Tensor], tuple[Tensor, Tensor]]


class Method(Protocol):
    """Where to go from a picture whose gradient is known, and what the result is then."""

    def step(self, x: Tensor, gradient: Tensor) -> Tensor: ...
    def result(self, best: Tensor) -> Tensor: ...


class LBFGS:
    """Limited-memory BFGS (Liu & Nocedal 1989) inside the gamut, with one evaluation a step.

    It works in the coordinates in which `towards_natural` is the identity; its first guess of the inverse
    Hessian there is a diagonal, the root of each slope's usual size as in Adam but more cautious, and it
    carries some momentum (Nesterov 1983). Values that would leave [0, 1] wait at its border while the
    gradient points outwards: cut off only at the end, they would be missed. torch.optim's takes a first
    step whose length depends on the number of pixels, and may throw a picture anywhere in one; here the
    length of a change is bounded in units of colour.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale, self.count = scale, 0
        self.pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=HISTORY)
        self.last: tuple[Tensor, Tensor]
        self.aim: Tensor
        self.second = torch.zeros(())

    def step(self, x: Tensor, gradient: Tensor) -> Tensor:
        waiting = ((x <= 0) & (gradient > 0)) | ((x >= 1) & (gradient < 0))
        slope = towards_natural(gradient.masked_fill(waiting, 0), 0.5)
        if self.count:
            moved, turned = towards_natural(x - self.last[0], -0.5).flatten(), (slope - self.last[1]).flatten()
            curvature = moved @ turned
            if curvature > 1e-10 * turned.norm() * moved.norm():
                self.pairs.append((moved, turned, 1 / curvature))
        self.last = x, slope
        self.count += 1
        self.second = USUAL * self.second + (1 - USUAL) * slope.square()
        move = self._bounded(towards_natural(self._direction(slope), 0.5))
        aim = (x + move.masked_fill(waiting, 0)).clamp(0, 1)
        carried = MOMENTUM * (aim - self.aim) if self.count > 1 else 0
        self.aim = aim
        return (x + self._bounded(aim + carried - x)).clamp(0, 1)

    def _bounded(self, move: Tensor) -> Tensor:
        size = move.square().mean().sqrt().clamp_min(1e-20)
        if not self.pairs:  # nothing is known of the curvature, so nothing of the right length
            return move * (self.scale * FIRST_MOVE / size)
        return move * (self.scale * LONGEST_MOVE / size).clamp(max=1)

    def _direction(self, slope: Tensor) -> Tensor:
        """The two-loop recursion: minus the approximate inverse Hessian times the slope."""
        usual = (self.second / (1 - USUAL**self.count)).flatten()
        diagonal = (usual + 0.01 * usual.mean()).clamp_min(1e-36) ** -CAUTION
        q, steps = -slope.flatten(), []
        for moved, turned, inverse in reversed(self.pairs):
            alpha = inverse * (moved @ q)
            q = torch.addcmul(q, alpha, turned, value=-1)
            steps.append(alpha)
        q = diagonal * q
        if self.pairs:
            _, turned, inverse = self.pairs[-1]
            q = q / (inverse * (turned @ (diagonal * turned)))
        for (moved, turned, inverse), alpha in zip(self.pairs, reversed(steps), strict=True):
            q = torch.addcmul(q, alpha - inverse * (turned @ q), moved)
        return q.view_as(slope)

    def result(self, best: Tensor) -> Tensor:
        return best


class Adam:
    """Adam (Kingma & Ba 2015) in natural coordinates, at a rate that falls along a cosine over `steps`.

    What it scales one by one are not pixels but the coordinates in which `towards_natural` is the identity.
    Its result is a running mean of its iterates, corrected for its start (Polyak & Juditsky 1992).
    """

    def __init__(self, scale: float = 1.0, steps: int = 200) -> None:
        self.scale, self.steps, self.count = scale, steps, 0
        self.unit: Tensor | None = None

    def step(self, x: Tensor, gradient: Tensor) -> Tensor:
        if self.count == 0:
            self.first, self.second, self.mean = (torch.zeros_like(x) for _ in range(3))
        self.count += 1
        b1, b2 = ADAM_BETAS
        slope = towards_natural(gradient, 0.5)
        self.first = b1 * self.first + (1 - b1) * slope
        self.second = b2 * self.second + (1 - b2) * slope.square()
        scaled = self.first / (1 - b1**self.count) / ((self.second / (1 - b2**self.count)).sqrt() + 1e-12)
        direction = towards_natural(scaled, 0.5)
        if self.unit is None:  # the first change has the size of the rate, in units of colour
            self.unit = direction.square().mean().sqrt().clamp_min(1e-20)
        x = (x - self.rate / self.unit * direction).clamp(0, 1)
        self.mean = AVERAGE * self.mean + (1 - AVERAGE) * x
        return x

    @property
    def rate(self) -> float:
        """Root mean square of a change, at most: falls from `ADAM_RATE` to a share of it."""
        falling = 0.5 + 0.5 * math.cos(math.pi * min(self.count / self.steps, 1))
        return self.scale * ADAM_RATE * (ADAM_LAST + (1 - ADAM_LAST) * falling)

    def result(self, best: Tensor) -> Tensor:
        return self.mean / (1 - AVERAGE**self.count) if self.count else best


class SGD:
    """Gradient descent at a rate that falls by 4 % every 100 steps, as in the textbook.

    `rate` None takes a first step of a fixed size in colour, and that step's rate from there on.
    """

    def __init__(self, scale: float = 1.0, rate: float | None = None) -> None:
        self.scale, self.rate, self.count = scale, rate, 0

    def step(self, x: Tensor, gradient: Tensor) -> Tensor:
        if self.rate is None:
            self.rate = FIRST_MOVE / float(gradient.square().mean().sqrt().clamp_min(1e-20))
        rate = self.scale * self.rate * SGD_DECAY ** (self.count / SGD_EVERY)
        self.count += 1
        return x - rate * gradient

    def result(self, best: Tensor) -> Tensor:
        return best


def descend(
    objective: Function,
    start: Tensor,
    steps: int,
    method: Callable[[float], Method],
    report: Callable[[int, float, Tensor], None],
    free: Tensor | None = None,
) -> Tensor:
    """Improve a picture (1, 3, H, W) for at most `steps` evaluations of the objective.

    Stops early on a plateau. Where `free` (1, 1, H, W) is 0 the picture is held. `method(scale)` starts
    a way down with its steps scaled. A loss that is not finite goes back to the best picture with half
    the step, three times at most. `report(step, loss, result so far)` is called after each evaluation.
    """
    way = method(1.0)
    x, best, lowest, faults = start, start, math.inf, 0
    history: list[float] = []

    def result() -> Tensor:
        found = way.result(best)
        return found if free is None else torch.where(free > 0, found, start)

    for step in range(1, steps + 1):
        value, gradient = objective(x)
        loss = float(value)
        if not (math.isfinite(loss) and bool(gradient.isfinite().all())):
            faults += 1
            if faults > MOST_FAULTS:
                log.warning("the loss stays not a number; the best picture so far is kept")
                return best  # an average would take in the picture that failed
            way, x = method(0.5**faults), best
            continue
        if loss < lowest:
            best, lowest = x, loss
        history.append(lowest)
        report(step, loss, result())
        stalled = len(history) > PATIENCE and lowest > (1 - PLATEAU) * history[-1 - PATIENCE]
        if stalled or step == steps:
            break
        onward = way.step(x, gradient if free is None else gradient * free)
        x = onward if free is None else torch.lerp(x, onward, free)
    return result()
