"""A token at a time in numpy: the same as the models say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gencli.textgen import models, steps
from gencli.textgen.steps import RecurrentSteps, Steps, TorchSteps, TransformerSteps

VOCABULARY = 11


@pytest.mark.parametrize(
    ("arch", "context", "kind"),
    [
        ("lstm", 8, RecurrentSteps),
        ("gru", 8, RecurrentSteps),
        ("transformer", 1, TransformerSteps),
        ("transformer", 9, TransformerSteps),
        ("transformer", 64, TransformerSteps),
    ],
)
@pytest.mark.parametrize("table", [0, steps.TABLE])
@pytest.mark.parametrize("embedding", [0, 6])
def test_steps_are_those_of_the_model(
    arch: str, context: int, kind: type[Steps], table: int, embedding: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over window ends, and over rows that are doubled, dropped and put in another order."""
    monkeypatch.setattr(steps, "TABLE", table)
    draw = torch.Generator().manual_seed(4)
    model = models.build(
        arch,
        VOCABULARY,
        width=16,
        layers=2,
        context=context,
        dropout=0.2,
        embedding=embedding,
        heads=2,
        feed_forward=None,
    ).eval()
    model.initialise(draw)
    with torch.no_grad():  # weights of norms and biases too, which begin as 1 and 0
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=draw))
    prompt = torch.randint(VOCABULARY, (1, 5), generator=draw)
    logits, ours = steps.begin(model, prompt)
    with torch.inference_mode():
        wanted, state = model.read(prompt)
    np.testing.assert_allclose(logits, wanted, rtol=1e-5)
    assert type(ours) is kind
    theirs = TorchSteps(model, state, torch.device("cpu"))
    for place in range(40):
        if place in {0, 11, 25}:
            rows = {0: [0, 0, 0], 11: [2, 0], 25: [1, 1, 0, 0]}[place]
            ours.keep(rows)
            theirs.keep(rows)
        tokens = torch.randint(VOCABULARY, (len(rows),), generator=draw).tolist()
        found = ours.step(tokens)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, theirs.step(tokens), atol=2e-4)


def test_a_sigmoid_takes_any_number() -> None:
    with np.errstate(all="raise"):
        found = steps._sigmoid(np.array([-1e30, -2.0, 0.0, 2.0, 1e30], np.float32))
    np.testing.assert_allclose(found, [0, 0.11920292, 0.5, 0.88079708, 1], atol=1e-7)
