"""The frozen leading stages of a network: run each time, or once beforehand on a few variants a picture."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from node.domain.input_spec import InputSpec
from trainer.feed.batches import Pictures, Varying, batches
from trainer.nets.catalogue import pooled

BATCH = 32

Chunk = NDArray[np.int64]


class Fitted(nn.Module):
    """A network as it is fitted: its frozen stages without gradients, or left out.

    Parameters
    ----------
    net : nn.Module
        Of the catalogue.
    frozen : int
        Leading stages that stay as they are.
    from_maps : bool
        Take the frozen stages' maps instead of images.
    """

    def __init__(self, net: nn.Module, frozen: int, from_maps: bool) -> None:
        super().__init__()
        self.net = net
        self.count = frozen
        self.from_maps = from_maps
        self.frozen.requires_grad_(False)
        self.begin()

    @property
    def frozen(self) -> nn.Sequential:
        """The leading stages that stay as they are."""
        return nn.Sequential(*list(pooled(self.net).stages)[: self.count])

    def begin(self) -> None:
        """Enter training mode; the frozen stages' statistics stay."""
        self.train()
        self.frozen.eval()

    def maps(self, values: Tensor) -> Tensor:
        """Return what the fitted stages take."""
        if self.from_maps:
            return values
        with torch.no_grad():
            result: Tensor = self.frozen(values)
        return result

    def forward(self, values: Tensor) -> Tensor:
        """Return class scores before the softmax, [n, outputs]."""
        return pooled(self.net).classify(pooled(self.net).stages[self.count :](self.maps(values)))


class CachedMaps:
    """The frozen stages' maps of augmented variants of every picture, bfloat16.

    Parameters
    ----------
    fitted : Fitted
    pictures : Pictures
    spec : InputSpec
    how : Varying
    variants : int
        A picture.
    seed : int
    fabric : Fabric
    workers : int
    """

    def __init__(
        self,
        fitted: Fitted,
        *,
        pictures: Pictures,
        spec: InputSpec,
        how: Varying,
        variants: int,
        seed: int,
        fabric: Fabric,
        workers: int,
    ) -> None:
        self.variants = variants
        fitted.frozen.eval()
        chunks = [
            np.arange(start, min(start + BATCH, len(pictures))) for start in range(0, len(pictures), BATCH)
        ]
        parts = []
        for variant in range(variants):
            maps = []
            for images, _ in batches(pictures, spec, how, chunks, (seed, variant), workers=workers):
                with torch.no_grad(), fabric.autocast():
                    maps.append(fitted.frozen(images.to(fabric.device)).to("cpu", torch.bfloat16))
            parts.append(torch.cat(maps))
        self._maps = torch.stack(parts, dim=1)

    def batches(self, chunks: Sequence[Chunk], seed: Sequence[int]) -> Generator[tuple[Tensor, Chunk]]:
        """Yield the maps of one variant of each picture, drawn at random, and the pictures' indices."""
        rng = np.random.default_rng([*seed, 2, 2])
        for chunk in chunks:
            variant = torch.from_numpy(rng.integers(0, self.variants, len(chunk)))
            maps = self._maps[torch.from_numpy(chunk), variant].float()
            yield maps.contiguous(memory_format=torch.channels_last), chunk
