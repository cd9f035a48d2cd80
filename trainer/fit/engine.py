"""Devices, precision and processes, by Lightning Fabric."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import torch
from lightning_fabric import Fabric
from torch import Tensor

from trainer.errors import DeviceError, TrainerError

PRECISIONS: Final = {"f32": "32-true", "bf16": "bf16-mixed"}
"""Recipe's word -> Fabric's."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """On what a run is fitted."""

    accelerator: str = "cpu"
    """Fabric's word: ``cpu``, ``cuda``, ``mps`` or ``auto``."""
    devices: int = 1
    """Devices, or processes on ``cpu``; each step's pictures are shared out among them."""
    workers: int = 2
    """Threads a process that read and prepare pictures ahead."""

    def require_enough(self, batch: int, accumulate: int) -> None:
        """Make sure that a step has pictures for every device: two a piece, as batch norm needs.

        Raises
        ------
        DeviceError
            There are more devices than a step of ``batch`` pictures in ``accumulate`` pieces can feed.
        """
        if batch < 2 * accumulate * self.devices:
            raise DeviceError(
                f"{self.devices} devices cannot share out a step of {batch} pictures in {accumulate} pieces, "
                f"two pictures at least in each; use at most {batch // (2 * accumulate)}, or a larger batch"
            )

    def device(self) -> torch.device:
        """Return the device on which fitted networks are judged: the first one.

        Raises
        ------
        DeviceError
            There is none of this kind.
        """
        return replace(self, devices=1).open("f32").device

    def open(self, precision: str) -> Fabric:
        """Start the other processes, if any, and return the fabric.

        Raises
        ------
        DeviceError
            There is no such device, or not so many.
        """
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
        try:
            fabric = Fabric(
                accelerator=self.accelerator,
                devices=self.devices,
                strategy="ddp" if self.devices > 1 else "auto",
                precision=PRECISIONS[precision],  # type: ignore[arg-type]  # Fabric names a Literal
            )
            fabric.launch()
            # Convolutions of CUDA round to 10 bits of mantissa (TF32) unless told not to; f32 means 23.
            torch.backends.cudnn.allow_tf32 = precision != "f32"
        except (RuntimeError, ValueError) as error:
            raise DeviceError(
                f"{self.devices} devices of kind {self.accelerator!r} cannot be used ({error}); "
                "--accelerator cpu --devices 1 works everywhere"
            ) from error
        return fabric


def first_does(fabric: Fabric, work: Callable[[], None]) -> None:
    """Let the first process do something; where it fails, all processes fail with its error.

    Raises
    ------
    TrainerError
    """
    problem: TrainerError | None = None
    if fabric.is_global_zero:
        try:
            work()
        except TrainerError as error:
            problem = error
    problem = fabric.broadcast(problem)
    if problem is not None:
        raise problem


def summed(fabric: Fabric, values: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes."""
    total = fabric.all_reduce(values, reduce_op="sum")
    if not isinstance(total, Tensor):
        raise TypeError("Fabric gives a tensor for a tensor")
    return total


def is_first_process() -> bool:
    """Whether this process speaks for the run; others were started by Fabric or a cluster's launcher."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("GROUP_RANK", "0") == "0"
