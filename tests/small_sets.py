"""Small synthetic data sets in the layouts that the originals have; their images hold something to learn."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from node.imaging.phantom import ThoraxPhantom
from node.imaging.prepare import hu_to_stored
from trainer.cases.chexpert import FINDINGS
from trainer.nets.deep_cxr_net import FINDINGS as SIX

PATIENTS = 8
"""A class."""
SLICES = range(14, 20)
"""Of a phantom of 40: through open lungs."""
CHEST_X_RAY_TABLE = "patientid,sex,age,finding,RT_PCR_positive,view,modality,folder,filename,clinical_notes"
"""Columns of the late table that tell something here."""


def patients(each: int = PATIENTS) -> Iterator[tuple[int, bool]]:
    """Yield patients' numbers and whether they have the disease, so many of each class."""
    for number in range(1, 2 * each + 1):
        yield number, number <= each


def phantom_slices(number: int, positive: bool, side: int) -> list[NDArray[np.uint16]]:
    """Return two slices of a patient, HU + 1024, with ground glass where positive."""
    phantom = ThoraxPhantom(seed=number, rows=side, patches=12 if positive else 0)
    picked = np.random.default_rng(number).choice(SLICES, 2, replace=False)
    return [hu_to_stored(phantom.slice_at(int(index)).hu) for index in picked]


def grey(values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return a slice in a lung window, 8 bits."""
    return np.clip((values.astype(float) - 1024 + 1350) / 1500 * 255, 0, 255).astype(np.uint8)


def write_grey(file: Path, values: NDArray[np.uint8]) -> None:
    """Write a picture of 8 bits."""
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), values)


def write_table(file: Path, columns: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
    """Write a table with the given columns."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def covid_ctset(root: Path, side: int) -> str:
    """COVID-CTset's flat training set; the trainer makes the folds."""
    root.mkdir(parents=True)
    for number, positive in patients():
        group = "137covid" if positive else "normal1"
        patient = number if positive else 145 + number
        for index, values in enumerate(phantom_slices(number, positive, side), start=1):
            name = f"{group}_patient{patient}_SR_2_IM{index:05d}.tif"
            image = Image.fromarray(values)
            image.save(root / name, "TIFF", compression="tiff_lzw", tiffinfo={317: 2})
    return f"covid-ctset-fold1:{root}"


def covid_ct(root: Path, side: int, each: int = PATIENTS) -> str:
    """COVID-CT's class folders by its official split."""
    for number, positive in patients(each):
        split = ("train", "train", "train", "val")[number % 4]
        folder = root / split / ("COVID" if positive else "NonCOVID")
        for index, values in enumerate(phantom_slices(number, positive, side)):
            name = f"2020.{number:02d}.13.2003-p{index}-1.png" if positive else f"{number}%{index}.png"
            write_grey(folder / name, grey(values))
    return f"covid-ct:{root}"


def sars_cov2_ct(root: Path, side: int) -> str:
    """SARS-CoV-2 CT: numbered pictures, ten of a block from one patient."""
    for number, positive in patients():
        split = "val" if number % 4 == 3 else "train"
        folder = root / split / ("COVID" if positive else "non-COVID")
        for index, values in enumerate(phantom_slices(number, positive, side)):
            write_grey(folder / f"Covid ({10 * number + index}).png", grey(values))
    return f"sars-cov2-ct:{root}"


def radiograph(number: int, positive: bool, side: int) -> NDArray[np.uint8]:
    """Return something like a frontal radiograph: the phantom seen from the front, summed along y."""
    phantom = ThoraxPhantom(seed=number, slices=24, rows=64, patches=12 if positive else 0)
    front = np.stack([one.hu.mean(axis=0) for one in phantom])[::-1]
    scaled = (front - front.min()) / (front.max() - front.min()) * 255
    return cv2.resize(scaled.astype(np.float32), (side, side)).astype(np.uint8)


def chexpert(root: Path, side: int, each: int = PATIENTS) -> str:
    """CheXpert with its table; the finding of half of the images is uncertain or not mentioned."""
    rows = []
    for number, positive in patients(each):
        inside = f"train/patient{number:05d}/study1/view1_frontal.jpg"
        write_grey(root / inside, radiograph(number, positive, side))
        values = {name: str(float((number + index) % 2)) for index, name in enumerate(SIX)}
        values |= {"Pneumonia": str(float(positive)), FINDINGS[-1]: "-1.0"}
        about = {"Path": f"CheXpert-v1.0-small/{inside}", "Sex": "Male", "Age": str(40 + number)}
        rows.append(about | {"Frontal/Lateral": "Frontal", "AP/PA": "PA"} | values)
    columns = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS]
    write_table(root / "train.csv", columns, rows)
    return f"chexpert:{root}"


def kaggle_pneumonia(root: Path, side: int, each: int = PATIENTS) -> str:
    """The chest X-ray pneumonia set."""
    for number, positive in patients(each):
        split = ("train", "train", "train", "test")[number % 4]
        folder = root / "chest_xray" / split / ("PNEUMONIA" if positive else "NORMAL")
        name = f"person{number}_virus_{number}.jpeg" if positive else f"IM-{number:04d}-0001.jpeg"
        write_grey(folder / name, radiograph(number, positive, side))
    return f"kaggle-pneumonia:{root}"


def covid_chestxray(root: Path, side: int, each: int = PATIENTS) -> str:
    """The ieee8023 radiographs with their table."""
    rows = []
    for number, positive in patients(each):
        name = f"{number}.png"
        write_grey(root / "images" / name, radiograph(number, positive, side))
        finding = "Pneumonia/Viral/COVID-19" if positive else "No Finding"
        about = {"patientid": str(number), "sex": "F", "age": "60", "finding": finding, "view": "PA"}
        rows.append(about | {"modality": "X-ray", "folder": "images", "filename": name})
    write_table(root / "metadata.csv", CHEST_X_RAY_TABLE.split(","), rows)
    return f"covid-chestxray:{root}"
