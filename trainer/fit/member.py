"""Fitting one member: one network, one fold or split, one seed."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from node.domain.input_spec import InputSpec
from trainer.errors import CheckpointError, DivergedError
from trainer.feed.batches import Pictures, batches, shuffled
from trainer.fit.average import MovingAverage, estimate_statistics
from trainer.fit.checkpoint import load_checkpoint, save_checkpoint, write_atomically
from trainer.fit.engine import first_does, summed
from trainer.fit.finished import Member
from trainer.fit.frozen import CachedMaps, Chunk, Fitted
from trainer.fit.losses import loss_of
from trainer.fit.recipe import Recipe
from trainer.fit.schedule import Schedule
from trainer.fit.scoring import score_pictures, validation_figures
from trainer.fit.steps import learning_rate, mix, optimiser, smoothed
from trainer.judge.plots import learning_curves_png
from trainer.nets.catalogue import pooled
from trainer.nets.resnet50v2_fpn import ResNet50V2Fpn

LOG_COLUMNS: Final = ("epoch", "learning_rate", "loss", "validation_auc", "validation_accuracy")
LOOKED_AT: Final = 32
"""Pictures on which heads that answer nothing are looked for."""

Report = Callable[[str], None]
Progress = Callable[[str, int, int], None]
"""(what, steps done, steps in all)."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all members of a run have in common."""

    recipe: Recipe
    spec: InputSpec
    fabric: Fabric
    workers: int
    report: Report
    progress: Progress


class Fitting:
    """One member on its way; ``run`` takes it to the end, epoch by epoch, each with a checkpoint.

    Parameters
    ----------
    net : nn.Module
        A network of the catalogue, with its initial weights.
    setting : Setting
    train : Pictures
    validation : Pictures or None
        Scored after every epoch. With ``keep = "average"`` for the log alone; None: there is none.
    member : Member
    folder : Path
        Receives ``checkpoint.pt``, ``best.pt``, ``log.csv`` and ``curves.png``.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        setting: Setting,
        train: Pictures,
        validation: Pictures | None,
        member: Member,
        folder: Path,
    ) -> None:
        self.setting = setting
        self.train = train
        self.validation = validation
        self.member = member
        self.folder = folder
        self.epoch = 0
        self.best_epoch = 0
        self.log: list[dict[str, float]] = []
        self.net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch lacks this overload
        schedule, fabric = self.schedule, setting.fabric
        self.fitted = Fitted(self.net, schedule.frozen_stages, schedule.cached_variants > 0)
        self.module, self.optimiser = fabric.setup(
            self.fitted,
            optimiser(self.net, schedule.optimiser, schedule.learning_rate, schedule.weight_decay),
        )
        self.average = MovingAverage(self.net, schedule.ema)
        self.loss = loss_of(schedule.loss, train.targets, setting.spec.outputs, schedule.class_weights)
        self._cache: CachedMaps | None = None

    @property
    def schedule(self) -> Schedule:
        """The recipe's schedule."""
        return self.setting.recipe.schedule

    @property
    def epochs(self) -> int:
        """Most passes: the recipe's, or as many as give the steps of a fold where all pictures are fitted."""
        most, folds = self.schedule.epochs, self.schedule.folds
        return max(1, round(most * (folds - 1) / folds)) if self.member.part == "whole" else most

    @property
    def ended(self) -> bool:
        """Whether all epochs are over, or the patience."""
        waited = self.epoch - self.best_epoch
        return self.epoch >= self.epochs or 0 < self.schedule.patience <= waited

    def run(self, resume: bool) -> nn.Module:
        """Fit to the last epoch and return the network to keep.

        Raises
        ------
        DivergedError
            The loss, a weight or a score is not finite; the checkpoint of the epoch before stays.
        CheckpointError
            A checkpoint cannot be read, written, or is of another recipe.
        """
        checkpoint = self.folder / "checkpoint.pt"
        if resume and checkpoint.exists():
            self._restore(load_checkpoint(checkpoint))
        while not self.ended:
            loss = self._one_epoch()
            figures = self._validate()
            self.epoch += 1
            self._judge(loss, *figures)
            first_does(self.setting.fabric, self._save)
            self._tell(loss)
        first_does(self.setting.fabric, self._draw)
        if self.schedule.keep == "best":
            self.average.net.load_state_dict(load_checkpoint(self.folder / "best.pt"))
        elif self.schedule.ema > 0:
            stages = pooled(self.average.net).stages[self.schedule.frozen_stages :]
            estimate_statistics(stages, self._inputs_of_fitted_stages())
        return self.average.net.cpu()

    def _inputs_of_fitted_stages(self) -> Iterator[Tensor]:
        """Yield one epoch of what the fitted stages take: augmented, not mixed, float32."""
        for values, _ in self._batches((*self.member.stream, self.epochs), self._chunks(self.epochs)):
            yield self.fitted.maps(values.to(self.setting.fabric.device))

    def _judge(self, loss: float, area: float, accuracy: float) -> None:
        """Add the epoch's figures to the log, and note whether it is the best one."""
        figure = {"auc": area, "accuracy": accuracy}[self.schedule.watch]
        former = [row[f"validation_{self.schedule.watch}"] for row in self.log]
        if not former or not figure <= max(former, key=lambda value: (not math.isnan(value), value)):
            self.best_epoch = self.epoch
        row = {"epoch": self.epoch, "learning_rate": self._rate(self._steps() * self.epoch - 1), "loss": loss}
        self.log.append(row | {"validation_auc": area, "validation_accuracy": accuracy})

    def _validate(self) -> tuple[float, float]:
        """Return AUC and accuracy of the network that would be kept now, nan without a validation part."""
        fabric, spec = self.setting.fabric, self.setting.spec
        own_statistics = list(self.average.net.buffers())  # batch norms follow each process' own pictures
        for buffer, first in zip(own_statistics, fabric.broadcast(own_statistics), strict=True):
            buffer.copy_(first)
        if not all(bool(value.isfinite().all()) for value in self.average.net.state_dict().values()):
            raise self._diverged("a weight is no number")
        if self.validation is None:
            return float("nan"), float("nan")
        own = range(fabric.global_rank, len(self.validation), fabric.world_size)
        scores = torch.zeros(len(self.validation), len(spec.outputs.classes), dtype=torch.float64)
        scores[list(own)] = torch.from_numpy(
            score_pictures(
                self.average.net,
                self.validation,
                spec,
                self.schedule.precision,
                loss=self.schedule.loss,
                indices=own,
                device=fabric.device,
            )
        )
        scores = summed(fabric, scores).cpu()
        if not bool(scores.isfinite().all()):
            raise self._diverged("a score of the validation part is no number")
        return validation_figures(
            scores.numpy(),
            self.validation.targets,
            spec.outputs.positive_index,
            self.schedule.loss,
        )

    def _steps(self) -> int:
        return len(self._chunks(0))

    def _chunks(self, epoch: int) -> list[Chunk]:
        """Return the epoch's steps as index arrays, each large enough for two pictures a piece."""
        pieces = self.setting.fabric.world_size * self.schedule.accumulate
        chunks = shuffled(len(self.train), self.schedule.batch, (*self.member.stream, epoch))
        return [chunk for chunk in chunks if len(chunk) >= 2 * pieces] or chunks[:1]

    def _own_pieces(self, chunk: Chunk) -> list[Chunk]:
        """Return this process' share of a step, cut for accumulation."""
        fabric, cuts = self.setting.fabric, self.schedule.accumulate
        pieces = np.array_split(chunk, fabric.world_size * cuts)
        return pieces[fabric.global_rank * cuts : (fabric.global_rank + 1) * cuts]

    def _rate(self, step: int) -> float:
        schedule = self.schedule
        total = self._steps() * self.epochs
        return learning_rate(step, total, schedule.warm_up_steps, schedule.learning_rate, shape=schedule.rate)

    def _one_epoch(self) -> float:
        seed = (*self.member.stream, self.epoch)
        rank = self.setting.fabric.global_rank
        rng = np.random.default_rng([*seed, 0, rank])
        torch.manual_seed(int(np.random.default_rng([*seed, 1, 1 + rank]).integers(2**31)))
        self.fitted.begin()
        chunks = self._chunks(self.epoch)
        pieces = [piece for chunk in chunks for piece in self._own_pieces(chunk)]
        losses = []
        with closing(self._batches(seed, pieces)) as source:
            for number, chunk in enumerate(chunks):
                rate = self._rate(len(chunks) * self.epoch + number)
                losses.append(self._one_step(source, len(chunk), rate, rng))
                self.setting.progress(f"{self.member.name}, epoch {self.epoch + 1}", number + 1, len(chunks))
        return float(np.mean(losses))

    def _one_step(
        self, source: Iterator[tuple[Tensor, Chunk]], count: int, rate: float, rng: np.random.Generator
    ) -> float:
        """Go one step by the mean loss over ``count`` pictures of all processes."""
        fabric, schedule = self.setting.fabric, self.schedule
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        total = torch.zeros((), device=fabric.device)
        for piece in range(schedule.accumulate):
            values, indices = next(source)
            values = values.to(fabric.device)
            targets = torch.from_numpy(self.train.targets[indices]).to(fabric.device)
            if schedule.loss == "softmax":
                values, targets = mix(
                    values, smoothed(targets, schedule.label_smoothing), schedule.mixup, rng
                )
            with fabric.no_backward_sync(self.module, enabled=piece < schedule.accumulate - 1):
                loss = self.loss(self.module(values), targets).sum() / count
                fabric.backward(loss * fabric.world_size)
            total += loss.detach()
        mean = summed(fabric, total).item()
        if not math.isfinite(mean):
            raise self._diverged(f"the loss is {mean}")
        self.optimiser.step()
        self.average.follow(self.net)
        return mean

    def _diverged(self, what: str) -> DivergedError:
        return DivergedError(
            f"{self.member.name}: {what} in epoch {self.epoch + 1}; the checkpoint of epoch {self.epoch} "
            "stays; lower the learning rate"
        )

    def _batches(self, seed: tuple[int, ...], chunks: list[Chunk]) -> Generator[tuple[Tensor, Chunk]]:
        setting, schedule = self.setting, self.schedule
        how = setting.recipe.augmentation
        if schedule.cached_variants == 0:
            return batches(self.train, setting.spec, how, chunks, seed, workers=setting.workers)
        if self._cache is None:
            self._cache = CachedMaps(
                self.fitted,
                pictures=self.train,
                spec=setting.spec,
                how=how,
                variants=schedule.cached_variants,
                seed=self.member.seed,
                fabric=setting.fabric,
                workers=setting.workers,
            )
        return self._cache.batches(chunks, seed)

    def _tell(self, loss: float) -> None:
        row = self.log[-1]
        best = ", best so far" if self.schedule.keep == "best" and self.best_epoch == self.epoch else ""
        self.setting.report(
            f"{self.member.name}: epoch {self.epoch}/{self.epochs}, loss {loss:.3f}, validation AUC "
            f"{row['validation_auc']:.3f}, accuracy {row['validation_accuracy']:.3f}{best}"
        )
        if isinstance(self.net, ResNet50V2Fpn) and (dead := self._dead_heads(self.net)):
            self.setting.report(
                f"warning: {self.member.name}: the heads on {', '.join(dead)} answer nothing on any of "
                f"{LOOKED_AT} pictures and can learn no more; fit with another seed or a lower learning rate"
            )

    def _dead_heads(self, net: ResNet50V2Fpn) -> list[str]:
        net.eval()
        chunk = np.arange(min(LOOKED_AT, len(self.train)))
        ((images, _),) = batches(self.train, self.setting.spec, None, [chunk], (0,), workers=1)
        return net.dead_heads(images.to(self.setting.fabric.device))

    def _save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.schedule.keep == "best" and self.best_epoch == self.epoch:
            save_checkpoint(self.folder / "best.pt", self.average.net.state_dict())
        save_checkpoint(self.folder / "checkpoint.pt", self._state())
        text = io.StringIO()
        writer = csv.DictWriter(text, LOG_COLUMNS)
        writer.writeheader()
        writer.writerows(self.log)
        write_atomically(self.folder / "log.csv", text.getvalue().encode())

    def _draw(self) -> None:
        title = f"{self.setting.recipe.name}, {self.member.name}"
        learning_curves_png(self.log, self.folder / "curves.png", title)

    def _state(self) -> dict[str, Any]:
        return {
            "recipe": repr(self.setting.recipe.as_json()),
            "member": self.member.name,
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "log": self.log,
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.net.state_dict() if self.schedule.ema > 0 else None,
            "average_steps": self.average.steps,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        recipe = repr(self.setting.recipe.as_json())
        if state.get("recipe") != recipe or state.get("member") != self.member.name:
            raise CheckpointError(
                f"{self.folder / 'checkpoint.pt'} is of another recipe or member; fit into a new "
                "folder, or give the recipe that the run was begun with"
            )
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.net.load_state_dict(state["net"] if state["average"] is None else state["average"])
        self.average.steps = int(state["average_steps"])
        self.epoch = int(state["epoch"])
        self.best_epoch = int(state["best_epoch"])
        self.log = list(state["log"])
