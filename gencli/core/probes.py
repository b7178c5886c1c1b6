"""Linear classifiers on what a network sees: how well something can be told from its features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencli.core.device import generator

PASSES = 20


def logistic(rows: Tensor, labels: Tensor, classes: int) -> nn.Linear:
    """Multinomial logistic regression by AdamW with a rate falling to zero."""
    linear = nn.utils.skip_init(nn.Linear, rows.shape[1], classes, device=rows.device)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    optimizer = torch.optim.AdamW(linear.parameters(), lr=3e-3, weight_decay=0.3)
    draw = generator(0, 2)
    for done in range(PASSES):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * (1 - done / PASSES)
        for chosen in torch.randperm(len(rows), generator=draw).to(rows.device).split(512):
            loss = F.cross_entropy(linear(rows[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return linear
