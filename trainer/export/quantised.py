"""The served network quantised to 8 bits by NNCF (extra ``int8``), from pictures of a training part.

Post-training quantisation: weights and activations become 8-bit whole numbers, their ranges are taken from
the pictures given. What it does to decisions is measured, never assumed.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import openvino
from numpy.typing import NDArray

from node.domain.input_spec import InputSpec
from trainer.cases.case import Case
from trainer.cases.readers import read_cases, training_part
from trainer.errors import BundleError
from trainer.feed.images import open_lung_cases, prepared_image
from trainer.judge.runner import OpenVinoNet

MOST_PICTURES: Final = 300
"""From which the ranges are taken, evenly spread over what is given."""


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """A quantised network in OpenVINO's own format."""

    xml: bytes
    """Its description."""
    weights: bytes
    pictures: int
    """From which the ranges of its activations were taken."""

    @property
    def sha256(self) -> str:
        """Digest of both, one after the other."""
        return hashlib.sha256(self.xml + self.weights).hexdigest()

    def on(self, spec: InputSpec) -> OpenVinoNet:
        """Return the network ready to run."""
        return OpenVinoNet(self.xml, spec, "f32", self.weights)


def calibration_pictures(argument: str, spec: InputSpec) -> list[NDArray[np.float32]]:
    """Return prepared pictures of a data set's training part, each of shape (1, channels, rows, columns).

    Parameters
    ----------
    argument : str
        ``KIND:PATH``.
    spec : InputSpec

    Raises
    ------
    DataError
        It cannot be read, has no training part, or is made of DICOM slices without labels.
    """
    cases = open_lung_cases(training_part(read_cases(argument)), spec)
    return [np.asarray(prepared_image(case, spec), dtype=np.float32)[None] for case in _spread(cases)]


def _spread(cases: Sequence[Case]) -> list[Case]:
    places = np.linspace(0, len(cases) - 1, min(MOST_PICTURES, len(cases)))
    return [cases[int(place)] for place in places.round()]


def quantised(whole: bytes, pictures: Sequence[NDArray[np.float32]]) -> Quantised:
    """Quantise a network.

    Parameters
    ----------
    whole : bytes
        ONNX with float32 weights.
    pictures : sequence of float32 array, shape (1, channels, rows, columns)

    Raises
    ------
    BundleError
        NNCF is not installed.
    """
    nncf = _nncf()
    model = openvino.Core().read_model(whole, b"")
    made = nncf.quantize(model, nncf.Dataset(list(pictures)), subset_size=len(pictures))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "int8.xml"
        openvino.save_model(made, file, compress_to_fp16=False)
        return Quantised(
            xml=file.read_bytes(), weights=file.with_suffix(".bin").read_bytes(), pictures=len(pictures)
        )


def _nncf() -> Any:
    """Return NNCF."""
    try:
        import nncf  # noqa: PLC0415 - an extra of its own, large, and nothing else needs it
    except ImportError as error:
        raise BundleError(
            "int8 needs NNCF, which is not installed; install the extra: pip install 'groundglass[int8]'"
        ) from error
    return nncf
