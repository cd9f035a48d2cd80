"""Where the trainer's pages are walked: small data sets under the names of the pages, and small recipes.

The recipes of the trainer are replaced, under their own names, by ones that depart from them in size alone:
two epochs at most, small images, and a network of a few thousand parameters where the page does not need the
real one. So the pages' commands run as they stand, in seconds, on images of which little is to be learnt.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from node.dicom.write import PhantomLabels, write_phantom
from node.imaging.phantom import ThoraxPhantom
from node.imaging.prepare import hu_to_stored
from tests import small_sets
from tests.docs_reading import Document
from tests.station.docs_ground import Answer, Walk, prepare
from tests.unit.trainer.imports.conftest import fpn_layers, write_layers
from trainer.cli import fit
from trainer.cli.app import app
from trainer.errors import TrainerError
from trainer.fit.recipe import read_recipe
from trainer.nets.efficientnet_lite0 import EfficientNetLite0
from trainer.nets.resnet50v2_fpn import ResNet50V2Fpn

TRAINER = ("python", "-m", "trainer")
FAILED = 1
CT_SIDE, PICTURE_SIDE, RADIOGRAPH_SIDE = 96, 64, 256
"""Rows and columns of slices, of pictures, and the least that Deep-CXR-Net takes."""
REAL = ("efficientnet-lite0", "deep-cxr-net", "deep-cxr-net-part1", "deep-cxr-net-part2")
"""Networks that the pages need as they are: for published weights, or for parts."""
SMALL: Mapping[str, Any] = {
    "epochs": 2,
    "batch": 8,
    "learning_rate": 1e-3,
    "frozen_stages": 0,
    "cached_variants": 0,
    "precision": "f32",
    "patience": 0,
}
"""Of every small recipe's schedule."""
ITERATED = ("adamw", "adam", "nadam")
FEWER: Mapping[str, Any] = {"folds": 2, "guard": 0, "whole_seeds": [1], "epochs": 1}
"""Of those with folds."""
HOSPITAL = {f"P{number}": number <= 4 for number in range(1, 9)}
"""Patients with a DICOM series, and whether they have the disease."""


class TrainerWalk(Walk):
    """A walk whose trainer runs in this process, as ``python -m trainer`` would."""

    def once(self, command: str) -> Answer:
        words = self.expanded(command)
        if words is None or tuple(words[:3]) != TRAINER:
            return super().once(command)
        result = CliRunner().invoke(app, words[3:])
        if isinstance(result.exception, TrainerError):
            error = result.exception
            return Answer(FAILED, f"{result.output}{type(error).__name__}: {error}\n")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.output)


def trainer_walk(folder: Path, page: Document, monkeypatch: pytest.MonkeyPatch) -> TrainerWalk:
    """Return a walk in a folder that holds the small recipes, and what the page takes as given."""
    recipes = folder / "trainer" / "recipes"
    if not recipes.exists():
        write_small_recipes(recipes)
    told = "".join(block.body for block in page.blocks if block.tested)
    for name, write in GIVEN.items():
        if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", told) and not (folder / name).exists():
            write(folder / name)
    monkeypatch.setattr(fit, "RECIPES", recipes)
    return TrainerWalk(prepare(folder, monkeypatch).folder)


def write_small_recipes(folder: Path) -> None:
    """Write a small recipe in place of every one that comes with the trainer."""
    folder.mkdir(parents=True)
    for file in fit.RECIPES.glob("*.toml"):
        document = read_recipe(file).as_json()
        schedule, taken = document["schedule"], document["specification"]["input"]
        schedule |= SMALL | (FEWER if schedule["folds"] else {"validation_share": 0.25})
        if schedule["optimiser"] not in ITERATED:
            schedule["optimiser"] = ITERATED[0]
        if document["net"] not in REAL:
            document["net"] = "tiny"
        side = {"ctset-raw": CT_SIDE}.get(taken["kind"], PICTURE_SIDE)
        if document["net"].startswith("deep-cxr-net"):
            side, schedule["epochs"] = RADIOGRAPH_SIDE, 1
        taken["size"] = [side, side]
        (folder / file.name).write_text(toml(document), encoding="utf-8")


def toml(table: Mapping[str, Any], name: str = "") -> str:
    """Return nested tables of texts, numbers, booleans and lists as TOML."""
    plain = [
        f"{key} = {json.dumps(value)}\n" for key, value in table.items() if not isinstance(value, Mapping)
    ]
    inner = [
        toml(value, f"{name}.{key}".lstrip(".")) for key, value in table.items() if isinstance(value, Mapping)
    ]
    return "".join([f"[{name}]\n" if name else "", *plain, *inner])


def write_imagenet(file: Path) -> None:
    """Write weights under the names of the published file of EfficientNet-Lite0."""
    torch.manual_seed(1)
    layers = {
        "expand": "expand_conv",
        "expand_norm": "bn0",
        "depthwise": "depthwise_conv",
        "depthwise_norm": "bn1",
        "project": "project_conv",
        "project_norm": "bn2",
    }
    ends = {"0.0": "_conv_stem", "0.1": "_bn0", "17.0": "_conv_head", "17.1": "_bn1"}
    published = {}
    for name, value in EfficientNetLite0().stages.state_dict().items():
        stage, part, *rest = name.split(".")
        if part == "path":
            layer, kind = rest
            published[f"_blocks.{int(stage) - 1}._{layers[layer]}.{kind}"] = value
        else:
            published[f"{ends[f'{stage}.{part}']}.{rest[0]}"] = value
    torch.save(published, file)


def write_keras_file(file: Path) -> None:
    """Write a network of the authors in Keras' own layout, for small slices and with random weights."""
    torch.manual_seed(2)
    net = ResNet50V2Fpn(channels=1, classes=2, dropout=0.5, size=(CT_SIDE, CT_SIDE)).eval()
    write_layers(file, fpn_layers(net))


def write_ct_cov19(root: Path) -> None:
    """CT-COV19: three classes, one folder a subject."""
    for part, subjects in (("Train", range(6)), ("Test", range(6, 9))):
        for label, positive in (("COV", True), ("CAP", False), ("Normal", False)):
            for subject in subjects:
                values = small_sets.phantom_slices(subject + 50, positive, PICTURE_SIDE)[0]
                file = root / part / label / str(subject) / "FILE001.png"
                small_sets.write_grey(file, small_sets.grey(values))


def write_raw_series(root: Path) -> None:
    """Raw folders of COVID-CTset: whole series of some of the patients of the flat set."""
    for number, positive in small_sets.patients():
        if number % 4 == 0:
            group, patient = ("137covid", number) if positive else ("normal1", 145 + number)
            phantom = ThoraxPhantom(seed=number, slices=20, rows=CT_SIDE, patches=12 if positive else 0)
            for index, one in enumerate(phantom):
                file = root / group / f"patient{patient}" / "SR_2" / f"IM{index:05d}.tif"
                file.parent.mkdir(parents=True, exist_ok=True)
                image = Image.fromarray(hu_to_stored(one.hu))
                image.save(file, "TIFF", compression="tiff_lzw", tiffinfo={317: 2})


def write_hospital(root: Path) -> None:
    """A hospital's own series with its table of labels, and another table."""
    rows = []
    for number, (patient, positive) in enumerate(HOSPITAL.items()):
        labels = PhantomLabels(identity=patient, patient_id=patient)
        phantom = ThoraxPhantom(seed=number, slices=36, rows=PICTURE_SIDE, patches=12 if positive else 0)
        write_phantom(root / patient, phantom, labels)
        rows.append((patient, "covid" if positive else "normal", "test" if number % 4 == 3 else "train"))
    for name in ("labels.csv", "trial.csv"):
        with (root / name).open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([("PatientID", "label", "split"), *rows])


def write_kaggle(root: Path) -> None:
    """The chest X-ray pneumonia set, with a hundred more pneumonias in its test part."""
    small_sets.kaggle_pneumonia(root, PICTURE_SIDE)
    folder = root / "chest_xray" / "test" / "PNEUMONIA"
    one = min(folder.iterdir())
    for number in range(1000, 1100):
        shutil.copy(one, folder / f"person{number}_virus_{number}.jpeg")


def write_ct_series(root: Path) -> None:
    """One DICOM series of somebody without the disease."""
    write_phantom(root, ThoraxPhantom(slices=36, rows=PICTURE_SIDE))


GIVEN: Mapping[str, Callable[[Path], object]] = {
    "data/COVID-CTset": lambda root: small_sets.covid_ctset(root, CT_SIDE),
    "data/COVID-CTset-raw": write_raw_series,
    "data/CT-COV19": write_ct_cov19,
    "data/covid-ct": lambda root: small_sets.covid_ct(root, PICTURE_SIDE),
    "data/sars-cov2-ct": lambda root: small_sets.sars_cov2_ct(root, PICTURE_SIDE),
    "data/CheXpert-v1.0-small": lambda root: small_sets.chexpert(root, PICTURE_SIDE),
    "data/kaggle": write_kaggle,
    "data/covid-chestxray": lambda root: small_sets.covid_chestxray(root, PICTURE_SIDE),
    "data/our-ct": write_hospital,
    "data/ct-series": write_ct_series,
    "efficientnet-lite0.pth": write_imagenet,
    "FPN-fold1.hdf5": write_keras_file,
}
"""What the pages take as given -> how it is made here."""
