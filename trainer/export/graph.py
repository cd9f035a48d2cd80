"""The network as it is served: class probabilities and the Grad-CAM map, without autograd.

Grad-CAM (Selvaraju et al., ICCV 2017) weights each feature map with the spatial mean of the gradient of
the class score, and keeps the positive part of the sum. Behind global average pooling and one dense layer
that gradient is a constant, the dense weight over the number of cells, so the map is a 1 x 1 convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from trainer.nets.catalogue import pooled


class ServedNet(nn.Module):
    """Members of a run as one network: their class scores averaged, their common frozen stages run once.

    The dense weights of each member are centred over the classes: the softmax does not change by that, and
    the positive class' score becomes the evidence for it against the others.

    Parameters
    ----------
    members : sequence of nn.Module
        Pooled networks of one kind, fitted from the same initial weights.
    positive : int
        Index of the positive class.
    """

    def __init__(self, members: Sequence[nn.Module], positive: int) -> None:
        super().__init__()
        shared = shared_stages(members)
        self.positive = positive
        self.trunk = pooled(members[0]).stages[:shared]
        self.tails = nn.ModuleList([pooled(member).stages[shared:] for member in members])
        self.heads = nn.ModuleList([_centred(pooled(member).head) for member in members])
        self.eval()
        self.requires_grad_(False)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return each member's last feature maps, [n, features, grid rows, grid columns]."""
        common = self.trunk(images)
        return [tail(common) for tail in self.tails]

    def scores(self, features: Sequence[Tensor]) -> Tensor:
        """Return the mean class scores before the softmax, [n, classes]."""
        each = [head(maps.mean(dim=(2, 3))) for head, maps in zip(self.heads, features, strict=True)]
        return torch.stack(each).mean(dim=0)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Score a batch.

        Parameters
        ----------
        images : Tensor, shape (n, channels, rows, columns)

        Returns
        -------
        probabilities : Tensor, shape (n, classes)
        cam : Tensor, shape (n, grid rows, grid columns)
            Grad-CAM of the positive class' mean score with respect to all members' last feature maps taken
            as one stack; not negative, not normalised.
        """
        features = self.features(images)
        cells = features[0].shape[2] * features[0].shape[3]
        evidence = [
            torch.einsum("nkij,k->nij", maps, cast(nn.Linear, head).weight[self.positive])
            for head, maps in zip(self.heads, features, strict=True)
        ]
        cam = torch.relu(torch.stack(evidence).mean(dim=0) / cells)
        return torch.softmax(self.scores(features), dim=1), cam


def _centred(head: nn.Linear) -> nn.Linear:
    result = nn.Linear(head.in_features, head.out_features)
    with torch.no_grad():
        result.weight.copy_(head.weight - head.weight.mean(dim=0, keepdim=True))
        result.bias.copy_(head.bias - head.bias.mean())
    return result


def shared_stages(members: Sequence[nn.Module]) -> int:
    """Return how many leading stages hold exactly the same weights in all members."""
    first = pooled(members[0]).stages
    for index in range(len(first)):
        own = first[index].state_dict()
        for other in members[1:]:
            theirs = pooled(other).stages[index].state_dict()
            if any(
                not torch.equal(own[name], theirs[name])
                for name in own
                if not name.endswith("num_batches_tracked")
            ):
                return index
    return len(first)


def gradcam_by_autograd(net: ServedNet, images: Tensor) -> Tensor:
    """Return Grad-CAM as its authors define it, with autograd; what ``ServedNet.forward`` must equal.

    Parameters
    ----------
    net : ServedNet
    images : Tensor, shape (n, channels, rows, columns)

    Returns
    -------
    Tensor, shape (n, grid rows, grid columns)
    """
    features = [maps.detach().requires_grad_(True) for maps in net.features(images)]
    with torch.enable_grad():
        gradients = torch.autograd.grad(net.scores(features)[:, net.positive].sum(), features)
    weighted = [
        (gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1)
        for gradient, maps in zip(gradients, features, strict=True)
    ]
    return torch.relu(torch.stack(weighted).sum(dim=0)).detach()
