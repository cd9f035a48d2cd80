"""Batch norm, flatten and dense layers with ReLU behind attended maps; optionally with likelihoods beside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from trainer.nets.heads import Classifier, Features, ServedHead, centred, explained


class AttentionClassifier(Classifier):
    """Maps -> batch norm -> flatten -> dense layers with ReLU -> dropout -> scores.

    Parameters
    ----------
    stages : nn.Sequential
        Ending in maps, or in (likelihoods, maps); the likelihoods join behind the first dense layer.
    maps : int
        Channels of the maps.
    grid : (int, int)
        Rows and columns of the maps.
    hidden : sequence of int
        Units of the dense layers before the last.
    likelihoods : int
        Values a likelihood vector has; 0 without.
    classes : int
    dropout : float
    one_logit : bool
        Let the last layer have a single unit, the log odds of class 0 against class 1.
    """

    def __init__(
        self,
        stages: nn.Sequential,
        *,
        maps: int,
        grid: tuple[int, int],
        hidden: Sequence[int],
        likelihoods: int,
        classes: int,
        dropout: float,
        one_logit: bool,
    ) -> None:
        super().__init__()
        self.grid = grid
        self.stages = stages
        self.norm = nn.BatchNorm2d(maps)
        widths = [maps * grid[0] * grid[1], hidden[0] + likelihoods, *hidden[1:]]
        self.hidden = nn.ModuleList(
            nn.Linear(wide, units) for wide, units in zip(widths, hidden, strict=False)
        )
        self.dropout = nn.Dropout(dropout)
        last = hidden[-1] + (likelihoods if len(hidden) == 1 else 0)
        self.head = nn.Linear(last, 1 if one_logit else classes)

    def classify(self, features: Features) -> Tensor:
        """Return class scores before the softmax, [n, classes].

        With a single unit z they are (z, 0): softmax and cross-entropy of these are the sigmoid and the
        binary cross-entropy of z.
        """
        values = _hidden_values(self.norm, self.hidden, features)[-1]
        scores: Tensor = self.head(self.dropout(values))
        if self.head.out_features == 1:
            return torch.cat([scores, torch.zeros_like(scores)], dim=1)
        return scores

    def served_head(self, positive: int) -> ServedHead:
        """Return the head for export."""
        return _AttentionHead(self, positive)


def _hidden_values(norm: nn.Module, hidden: nn.ModuleList, features: Features) -> list[Tensor]:
    """Return each dense layer's values after ReLU, the first with the likelihoods appended."""
    result = [torch.relu(hidden[0](norm(explained(features)).flatten(1)))]
    if isinstance(features, tuple):
        result[0] = torch.cat([result[0], features[0]], dim=1)
    for layer in list(hidden)[1:]:
        result.append(torch.relu(layer(result[-1])))
    return result


class _AttentionHead(ServedHead):
    """The gradient is a product of dense kernels under the masks of their ReLUs."""

    from_first: Tensor

    def __init__(self, net: AttentionClassifier, positive: int) -> None:
        super().__init__()
        self.norm, self.hidden, self.positive = net.norm, net.hidden, positive
        whole = net.head
        if whole.out_features == 1:
            whole = nn.Linear(net.head.in_features, 2)
            with torch.no_grad():
                whole.weight.copy_(torch.cat([net.head.weight, torch.zeros_like(net.head.weight)]))
                whole.bias.copy_(torch.cat([net.head.bias, torch.zeros_like(net.head.bias)]))
        self.head = centred(whole)
        with torch.no_grad():
            first = cast(nn.Linear, net.hidden[0])
            kernel = first.weight.reshape(first.out_features, -1, *net.grid).mean(dim=(2, 3))
            variance = cast(Tensor, net.norm.running_var)
            self.register_buffer("from_first", kernel * net.norm.weight * (variance + net.norm.eps).rsqrt())

    def forward(self, features: Features) -> tuple[Tensor, Tensor]:
        values = _hidden_values(self.norm, self.hidden, features)
        gradient = self.head.weight[self.positive][None]
        for layer, value in zip(list(self.hidden)[:0:-1], values[:0:-1], strict=True):
            gradient = (gradient * (value > 0)) @ cast(nn.Linear, layer).weight
        units = self.from_first.shape[0]
        gradient = (gradient[:, :units] * (values[0][:, :units] > 0)) @ self.from_first
        return self.head(values[-1]), torch.einsum("nkij,nk->nij", explained(features), gradient)
