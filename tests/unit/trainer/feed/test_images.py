"""16-bit TIFF and DICOM reach the network by the node's preparation, whole series by its selection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from node.dicom.write import PhantomLabels, write_phantom
from node.domain.input_spec import InputSpec
from node.imaging.phantom import ThoraxPhantom
from node.imaging.prepare import hu_to_stored, prepare_slice
from node.imaging.selection import dark_count, select
from trainer.cases.case import Case
from trainer.cases.readers import read_cases
from trainer.errors import EmptyClass, PictureError, RecipeError
from trainer.feed.augment import Augmentation
from trainer.feed.batches import tensor_of, varied
from trainer.feed.deep_ct_augment import DeepCtAugmentation, deep_ct_augmented
from trainer.feed.images import open_lung_cases, prepared_image
from trainer.feed.keras_augment import KerasAugmentation, keras_augmented

PHANTOM = ThoraxPhantom(seed=1, slices=20, rows=128)


@pytest.fixture
def slices() -> list[np.ndarray]:
    return [hu_to_stored(item.hu) for item in PHANTOM]


def tiff_cases(folder: Path, slices: list[np.ndarray], *, whole: bool) -> list[Case]:
    cases = []
    for number, values in enumerate(slices):
        file = folder / f"IM{number:05d}.tif"
        Image.fromarray(values).save(file, "TIFF", compression="tiff_lzw", tiffinfo={317: 2})
        cases.append(
            Case(
                image=file,
                positive=True,
                source="covid-ctset",
                split="all",
                group="patient000001",
                series="patient1/SR_2",
                whole_series=whole,
            )
        )
    return cases


def test_a_tiff_slice_is_prepared_as_the_node_prepares_a_slice(
    spec: InputSpec, slices: list[np.ndarray], tmp_path: Path
) -> None:
    for case, values in zip(tiff_cases(tmp_path, slices[8:11], whole=False), slices[8:11], strict=True):
        np.testing.assert_array_equal(prepared_image(case, spec), prepare_slice(values, spec).tensor)


def test_whole_series_are_selected_as_by_the_node_and_chosen_images_stay(
    spec: InputSpec, slices: list[np.ndarray], tmp_path: Path
) -> None:
    kept = select([dark_count(values, spec.selection).count for values in slices], spec.selection).kept
    assert 0 < len(kept) < len(slices)
    whole = tiff_cases(tmp_path, slices, whole=True)
    assert open_lung_cases(whole, spec) == [whole[index] for index in kept]
    chosen = tiff_cases(tmp_path, slices, whole=False)
    assert open_lung_cases(chosen, spec) == chosen


def test_series_without_lungs_are_refused(spec: InputSpec, tmp_path: Path) -> None:
    solid = [np.full((64, 64), 1100 + number, np.uint16) for number in range(20)]
    with pytest.raises(EmptyClass, match="open lungs"):
        open_lung_cases(tiff_cases(tmp_path, solid, whole=True), spec)


def test_labelled_dicom_reaches_the_network(
    spec: InputSpec, slices: list[np.ndarray], tmp_path: Path
) -> None:
    lines = ["PatientID,label"]
    for patient, label in (("A", "covid"), ("B", "normal")):
        labels = PhantomLabels(identity=patient, patient_id=patient)
        write_phantom(tmp_path / patient, PHANTOM, labels)
        lines.append(f"{patient},{label}")
    (tmp_path / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    cases = open_lung_cases(read_cases(f"dicom-labelled:{tmp_path}"), spec)
    assert {case.positive for case in cases} == {True, False}
    kept = select([dark_count(values, spec.selection).count for values in slices], spec.selection).kept
    assert len(cases) == 2 * len(kept)
    wanted = {prepare_slice(slices[index], spec).tensor.tobytes() for index in kept}
    assert {prepared_image(case, spec).tobytes() for case in cases} == wanted


def test_a_scaled_tiff_is_refused_where_it_is_used(spec: InputSpec, tmp_path: Path) -> None:
    (case,) = tiff_cases(tmp_path, [np.full((8, 8), 4000, np.uint16)], whole=False)
    Image.fromarray(np.ones((8, 8), np.float32)).save(case.image, "TIFF")
    with pytest.raises(PictureError, match="floating-point"):
        prepared_image(case, spec)


def test_batches_vary_as_the_papers_do_and_never_cut_values_to_8_bits(
    spec: InputSpec, slices: list[np.ndarray], how: Augmentation
) -> None:
    size = spec.input.size
    raw = slices[10][: size[0], : size[1]]
    grey = (slices[10] // 16).astype(np.uint8)
    expected = keras_augmented(raw, KerasAugmentation(), np.random.default_rng(4))
    turned = varied(raw, spec, KerasAugmentation(), np.random.default_rng(4))
    np.testing.assert_array_equal(turned, expected)
    moved = varied(grey, spec, DeepCtAugmentation(), np.random.default_rng(4))
    np.testing.assert_array_equal(
        moved, deep_ct_augmented(grey, DeepCtAugmentation(), np.random.default_rng(4))
    )
    assert varied(raw, spec, None, np.random.default_rng(4)) is raw
    assert tensor_of([turned, moved], spec).shape == (2, spec.input.channels, *size)
    for refused in (how, DeepCtAugmentation()):
        with pytest.raises(RecipeError, match="8 bits"):
            varied(raw, spec, refused, np.random.default_rng(4))
