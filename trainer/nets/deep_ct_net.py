"""Deep-CT-Net: DenseNet-121, pyramid attention, batch norm, flatten, dense layers.

Deep-CT-Net and Deep-CXR-Net (Scientific Reports 2022, s41598-022-06802-7), sections 2.2 and 4.2. The paper
speaks of three classes and of binary labels; both profiles are here: with two classes a single log odds
(binary cross-entropy), with three a softmax. Dense widths, dropout and the light attention are this
project's choice, the paper leaves them open.
"""

from __future__ import annotations

from typing import Final

from torch import nn

from trainer.nets.attention_head import AttentionClassifier
from trainer.nets.densenet121 import FEATURES, densenet121_stages
from trainer.nets.heads import grid_of
from trainer.nets.pyramid_attention import MULTIPLE, PyramidAttention

SIZE: Final = (256, 256)
HIDDEN: Final = 256
SIDE_MULTIPLE: Final = 32 * MULTIPLE


def attended_stages(channels: int) -> list[nn.Module]:
    """Return DenseNet-121's stages and the pyramid attention, which keeps its 1024 channels."""
    return [*densenet121_stages(channels), PyramidAttention(FEATURES, FEATURES)]


class DeepCtNet(AttentionClassifier):
    """Deep-CT-Net; also the structure of the parts of Deep-CXR-Net.

    Parameters
    ----------
    channels : int
    classes : int
        2: one log odds of class 0, as scores (z, 0). More: one score a class.
    dropout : float
        Before the last dense layer, in training only.
    size : (int, int)
        Rows and columns of the images, multiples of 256.
    one_logit : bool or None
        None: as ``classes`` says.
    """

    def __init__(
        self,
        channels: int = 3,
        classes: int = 2,
        dropout: float = 0.5,
        size: tuple[int, int] = SIZE,
        one_logit: bool | None = None,
    ) -> None:
        super().__init__(
            nn.Sequential(*attended_stages(channels)),
            maps=FEATURES,
            grid=grid_of(size, SIDE_MULTIPLE, SIDE_MULTIPLE),
            hidden=(HIDDEN,),
            likelihoods=0,
            classes=classes,
            dropout=dropout,
            one_logit=classes == 2 if one_logit is None else one_logit,
        )
