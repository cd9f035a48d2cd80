"""The network as it is served: class probabilities and the Grad-CAM map, without autograd.

Grad-CAM (Selvaraju et al., ICCV 2017) weights each feature map with the spatial mean of the gradient of the
class score, and keeps the positive part of the sum. Each network's own head gives that sum in closed form.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainer.nets.catalogue import pooled
from trainer.nets.heads import Features, explained, with_explained


class ServedNet(nn.Module):
    """Members of a run as one network: their class scores averaged, their common frozen stages run once.

    The dense weights of each member are centred over the classes: the softmax does not change by that, and
    the positive class' score becomes the evidence for it against the others.

    Parameters
    ----------
    members : sequence of nn.Module
        Networks of one kind, fitted from the same initial weights.
    positive : int
        Index of the positive class.
    temperature : float
        Divides the log odds of the positive class against all others; 1 leaves the scores as they are.
    """

    def __init__(self, members: Sequence[nn.Module], positive: int, temperature: float = 1.0) -> None:
        super().__init__()
        shared = shared_stages(members)
        self.positive = positive
        self.temperature = temperature
        self.trunk = pooled(members[0]).stages[:shared]
        self.tails = nn.ModuleList([pooled(member).stages[shared:] for member in members])
        self.heads = nn.ModuleList([pooled(member).served_head(positive) for member in members])
        self.eval()
        self.requires_grad_(False)

    def features(self, images: Tensor) -> list[Features]:
        """Return each member's features."""
        common = self.trunk(images)
        return [tail(common) for tail in self.tails]

    def scores(self, features: Sequence[Features]) -> Tensor:
        """Return the mean class scores before the softmax, [n, classes]."""
        return self._answers(features)[0]

    def _answers(self, features: Sequence[Features]) -> tuple[Tensor, Tensor]:
        """Return scores [n, classes] and evidence [n, grid rows, grid columns], each the members' mean."""
        answers = [head(maps) for head, maps in zip(self.heads, features, strict=True)]
        scores, evidence = zip(*answers, strict=True)
        return torch.stack(scores).mean(dim=0), torch.stack(evidence).mean(dim=0)

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
            as one stack; not negative, not normalised. The temperature would only scale it and is left out.
        """
        scores, evidence = self._answers(self.features(images))
        return torch.softmax(self._calibrated(scores), dim=1), torch.relu(evidence)

    def _calibrated(self, scores: Tensor) -> Tensor:
        """Return class scores whose softmax gives the positive class its log odds over the temperature.

        The other classes share what is left as before; with two classes this is the softmax of the scores
        over the temperature.
        """
        if self.temperature == 1.0:
            return scores
        kinds = range(scores.shape[1])
        others = torch.logsumexp(
            scores[:, [kind for kind in kinds if kind != self.positive]], 1, keepdim=True
        )
        moved = (scores[:, self.positive, None] - others) / self.temperature + others
        parts = [moved if kind == self.positive else scores[:, kind, None] for kind in kinds]
        return torch.cat(parts, dim=1)


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
    features = [_detached(one) for one in net.features(images)]
    maps = [explained(one).requires_grad_(True) for one in features]
    with torch.enable_grad():
        gradients = torch.autograd.grad(net.scores(features)[:, net.positive].sum(), maps)
    weighted = [
        (gradient.mean(dim=(2, 3), keepdim=True) * one).sum(dim=1)
        for gradient, one in zip(gradients, maps, strict=True)
    ]
    return torch.relu(torch.stack(weighted).sum(dim=0)).detach()


def _detached(features: Features) -> Features:
    """Return features whose explained maps are a leaf of their own: other entries do not lead to them."""
    return with_explained(features, explained(features).detach().clone())
