"""Fitting one member: one network, one fold, one seed."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from node.domain.input_spec import InputSpec
from trainer.errors import CheckpointError, DivergedError
from trainer.feed.batches import PictureSet, augmented, shuffled, tensor_of, training_batches
from trainer.fit.average import MovingAverage, estimate_statistics
from trainer.fit.checkpoint import load_checkpoint, save_checkpoint, write_atomically
from trainer.fit.recipe import Recipe, Schedule
from trainer.fit.steps import learning_rate, mix, optimiser, smoothed_targets, soft_cross_entropy
from trainer.judge.metrics import auc
from trainer.nets.catalogue import pooled

LOG_COLUMNS: Final = ("epoch", "learning_rate", "loss", "validation_auc")
SCORING_BATCH: Final = 32
WHOLE: Final = 1000
"""Stands for a fold's number in the random streams of networks fitted on the whole training part."""

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Member:
    """Which member of a run."""

    fold: int | None
    """None: fitted on the whole training part."""
    seed: int

    @property
    def name(self) -> str:
        """Folder of the member within the run."""
        return f"{'whole' if self.fold is None else f'fold-{self.fold}'}-seed-{self.seed}"

    @property
    def stream(self) -> tuple[int, int]:
        """Start of the seed of every random number drawn for the member."""
        return self.seed, WHOLE if self.fold is None else self.fold


class Fitting:
    """One member on its way; ``run`` takes it to the end, epoch by epoch, each with a checkpoint.

    Parameters
    ----------
    net : nn.Module
        A pooled network of the catalogue, with its initial weights.
    recipe : Recipe
    spec : InputSpec
    train, validation : PictureSet
        Validation is scored after every epoch for the log; nothing is chosen by it. None: there is none.
    member : Member
    folder : Path
        Receives ``checkpoint.pt`` and ``log.csv``.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        recipe: Recipe,
        spec: InputSpec,
        train: PictureSet,
        validation: PictureSet | None,
        member: Member,
        folder: Path,
    ) -> None:
        self.net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch lacks this overload
        self.recipe = recipe
        self.spec = spec
        self.train = train
        self.validation = validation
        self.member = member
        self.folder = folder
        self.epoch = 0
        self.log: list[dict[str, float]] = []
        frozen = pooled(net).stages[: self.schedule.frozen_stages]
        frozen.requires_grad_(False)
        self.frozen = frozen
        self.trained = pooled(net).stages[self.schedule.frozen_stages :]
        self.optimiser = optimiser(net, self.schedule.learning_rate, self.schedule.weight_decay)
        self.average = MovingAverage(net, self.schedule.ema)
        self._cache: Tensor | None = None

    @property
    def epochs(self) -> int:
        """Passes: the recipe's, or as many as give the steps of a fold where all pictures are fitted."""
        whole, folds = self.schedule.epochs, self.schedule.folds
        return whole if self.member.fold is not None else max(1, round(whole * (folds - 1) / folds))

    @property
    def schedule(self) -> Schedule:
        """The recipe's schedule."""
        return self.recipe.schedule

    def run(self, resume: bool, report: Report) -> nn.Module:
        """Fit to the last epoch and return the averaged network.

        Raises
        ------
        DivergedError
            The loss is not finite; the checkpoint of the epoch before stays.
        CheckpointError
            A checkpoint cannot be read, written, or is of another recipe.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        checkpoint = self.folder / "checkpoint.pt"
        if resume and checkpoint.exists():
            self._restore(load_checkpoint(checkpoint))
        while self.epoch < self.epochs:
            loss = self._one_epoch()
            self.epoch += 1
            area = self._validation_auc()
            self.log.append(
                {
                    "epoch": self.epoch,
                    "learning_rate": self._rate(self._steps() * self.epoch - 1),
                    "loss": loss,
                    "validation_auc": area,
                }
            )
            save_checkpoint(checkpoint, self._state())
            self._write_log()
            report(
                f"{self.member.name}: epoch {self.epoch}/{self.epochs}, loss {loss:.3f}, fold AUC {area:.3f}"
            )
        stages = pooled(self.average.net).stages[self.schedule.frozen_stages :]
        estimate_statistics(stages, self._trained_inputs())
        return self.average.net

    def _trained_inputs(self) -> Iterator[Tensor]:
        """Yield one epoch of what the trained stages take: augmented, not mixed, float32."""
        for values, _ in self._batches((*self.member.stream, self.epochs)):
            yield values if self._cache is not None else self._through_frozen(values)

    def _validation_auc(self) -> float:
        if self.validation is None:
            return float("nan")
        scores = score_pictures(self.average.net, self.validation, self.spec, self.schedule.precision)
        column = self.spec.outputs.positive_index
        return auc(scores[:, column], np.asarray(self.validation.classes == column))

    def _steps(self) -> int:
        return len(shuffled(len(self.train), self.schedule.batch, (0,)))

    def _rate(self, step: int) -> float:
        return learning_rate(
            step,
            self._steps() * self.epochs,
            self.schedule.warm_up_steps,
            self.schedule.learning_rate,
        )

    def _one_epoch(self) -> float:
        seed = (*self.member.stream, self.epoch)
        rng = np.random.default_rng([*seed, 0, 0])
        torch.manual_seed(int(np.random.default_rng([*seed, 1, 1]).integers(2**31)))
        self.net.train()
        self.frozen.eval()
        losses = []
        for number, (values, classes) in enumerate(self._batches(seed)):
            rate = self._rate(self._steps() * self.epoch + number)
            losses.append(self._one_step(values, classes, rate, rng))
        return float(np.mean(losses))

    def _one_step(self, values: Tensor, classes: Tensor, rate: float, rng: np.random.Generator) -> float:
        targets = smoothed_targets(classes, len(self.spec.outputs.classes), self.schedule.label_smoothing)
        values, targets = mix(values, targets, self.schedule.mixup, rng)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with self._precision():
            if self._cache is None:
                values = self._through_frozen(values)
            scores = pooled(self.net).classify(self.trained(values))
        loss = soft_cross_entropy(scores, targets)
        if not math.isfinite(loss.item()):
            raise DivergedError(
                f"{self.member.name}: the loss is {loss.item()} in epoch {self.epoch + 1}; the checkpoint "
                f"of epoch {self.epoch} stays; lower the learning rate"
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        self.optimiser.step()
        self.average.follow(self.net)
        return float(loss.item())

    def _precision(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.schedule.precision == "bf16")

    def _through_frozen(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            result: Tensor = self.frozen(images)
        return result

    def _batches(self, seed: tuple[int, int, int]) -> Iterator[tuple[Tensor, Tensor]]:
        if self.schedule.cached_variants == 0:
            yield from training_batches(
                self.train, self.spec, self.recipe.augmentation, self.schedule.batch, seed
            )
            return
        if self._cache is None:
            self._cache = self._frozen_features()
        rng = np.random.default_rng([*seed, 2, 2])
        for chunk in shuffled(len(self.train), self.schedule.batch, seed):
            variant = torch.from_numpy(rng.integers(0, self.schedule.cached_variants, len(chunk)))
            maps = self._cache[torch.from_numpy(chunk), variant].float()
            yield (
                maps.contiguous(memory_format=torch.channels_last),
                torch.from_numpy(self.train.classes[chunk]),
            )

    def _frozen_features(self) -> Tensor:
        """Return the frozen stages' maps [pictures, variants, channels, rows, columns], bfloat16."""
        self.frozen.eval()
        parts = []
        for variant in range(self.schedule.cached_variants):
            seed, maps = (self.member.seed, variant), []
            for start in range(0, len(self.train), SCORING_BATCH):
                indices = range(start, min(start + SCORING_BATCH, len(self.train)))
                crops = [
                    augmented(self.train, index, self.spec, self.recipe.augmentation, seed)
                    for index in indices
                ]
                with self._precision():
                    maps.append(self._through_frozen(tensor_of(crops, self.spec)).to(torch.bfloat16))
            parts.append(torch.cat(maps))
        return torch.stack(parts, dim=1)

    def _state(self) -> dict[str, Any]:
        return {
            "recipe": repr(self.recipe.as_json()),
            "member": self.member.name,
            "epoch": self.epoch,
            "log": self.log,
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.net.state_dict(),
            "average_steps": self.average.steps,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        if state.get("recipe") != repr(self.recipe.as_json()) or state.get("member") != self.member.name:
            raise CheckpointError(
                f"{self.folder / 'checkpoint.pt'} is of another recipe or member; fit into a new "
                "folder, or give the recipe that the run was begun with"
            )
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.net.load_state_dict(state["average"])
        self.average.steps = int(state["average_steps"])
        self.epoch = int(state["epoch"])
        self.log = list(state["log"])

    def _write_log(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, LOG_COLUMNS)
        writer.writeheader()
        writer.writerows(self.log)
        write_atomically(self.folder / "log.csv", text.getvalue().encode())


@torch.no_grad()
def score_pictures(net: nn.Module, pictures: PictureSet, spec: InputSpec, precision: str) -> np.ndarray:
    """Return class probabilities, float64 [n, classes], of pictures without augmentation."""
    net.eval()
    parts = []
    for start in range(0, len(pictures), SCORING_BATCH):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            scores = net(tensor_of(list(pictures.crops[start : start + SCORING_BATCH]), spec))
        parts.append(torch.softmax(scores.double(), dim=1).numpy())
    return np.concatenate(parts)
