"""Cross-validations on tiny data in the true layouts: fitted, judged, resumed, tabulated."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.unit.trainer.cases.layouts import write_picture
from tests.unit.trainer.tables.conftest import RECIPES, chest, write_tiff
from trainer.cases.readers import read_cases
from trainer.cli.app import app
from trainer.errors import CheckpointError, DataError, EmptyClass, LayoutError, RecipeError, TableError
from trainer.fit.recipe import read_recipe
from trainer.tables.folds import cross_validate_folds
from trainer.tables.judging import Work, held_out_part
from trainer.tables.patients import raw_series
from trainer.tables.records import read_images, read_patients, read_records
from trainer.tables.seeds import cross_validate_seeds

PNG = b"\x89PNG\r\n\x1a\n"


class Killed(BaseException):
    """Stands for the end of the process."""


def quiet(_: str) -> None:
    """Take no notice."""


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))


def test_two_folds_are_fitted_judged_and_tabulated(
    ctset_root: Path, ctset_raw_root: Path, short_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ["crossval", "--data", f"covid-ctset:{ctset_root}", "--out", str(out), "--format", "csv"]
    command += ["--recipe", str(short_recipe("ctset-paper")), "--net", "tiny", "--fold", "1", "--fold", "2"]
    command += ["--patients", f"covid-ctset:{ctset_raw_root}", "--threads", "1"]
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == 0, answer.output + str(answer.exception)

    sixth = [row for row in rows_of(out / "tables" / "ctset-table-6.csv") if row["source"] == "measured here"]
    assert [row["fold"] for row in sixth] == ["1", "2", "mean"]
    for row, number in zip(sixth, (1, 2), strict=False):
        scores = rows_of(out / "tiny" / f"fold-{number}.scores.csv")
        called = [(row["positive"] == "1", float(row["score"]) >= 0.5) for row in scores]
        assert int(row["covid_tp"]) == called.count((True, True))
        assert int(row["normal_tp"]) == called.count((False, False))
        assert float(row["accuracy"]) == pytest.approx(sum(a is b for a, b in called) / len(called), abs=1e-4)
        held_out = [
            case for case in read_cases(f"covid-ctset-fold{number}:{ctset_root}") if case.split == "test"
        ]
        assert len(scores) == len(held_out)

    fourth = [row for row in rows_of(out / "tables" / "ctset-table-4.csv") if "measured" in row["source"]]
    assert [row["source"] for row in fourth[:2]] == ["measured here, 30 %", "measured here, 10 %"]
    for row in fourth:
        parts = ("correct", "wrong", "covid_undetermined", "normal_undetermined")
        held = {case.group for case in read_cases(f"covid-ctset-fold1:{ctset_root}") if case.split == "test"}
        if row["fold"] == "1":
            assert sum(float(row[part]) for part in parts) == len(held)

    timed = [row for row in rows_of(out / "tables" / "ctset-table-5.csv") if row["source"] == "measured here"]
    assert timed
    assert {row["slices"] for row in timed} == {"12"}
    assert all(float(row["seconds"]) > 0 for row in timed)
    for name in ("confusion-tiny-fold-1.png", "confusion-tiny-fold-2.png", "confusion-tiny-all-folds.png"):
        assert (out / "tables" / name).read_bytes().startswith(PNG)
    assert "test-selected" in answer.stdout
    shown = CliRunner().invoke(app, ["tables", "--beside", str(out)])
    assert shown.exit_code == 0
    assert "measured here" in shown.stdout
    assert (out / "tables" / "tables.md").read_text(encoding="utf-8")[:200] in shown.stdout


def test_patients_go_through_the_nodes_selection(
    ctset_root: Path, ctset_raw_root: Path, short_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = read_recipe(short_recipe("ctset-paper"))
    work = Work(out=tmp_path / "out", resume=True, report=quiet)
    cross_validate_folds(work, recipe, ctset_root, nets=["tiny"], folds=[1], patients=None)
    assert read_records(work.out).patients == ()
    cross_validate_folds(work, recipe, ctset_root, nets=["tiny"], folds=[1], patients=ctset_raw_root)
    judged = read_patients(tmp_path / "out" / "tiny" / "fold-1.patients.json").patients
    here = [one for one in judged if one.series]
    assert {one.slices for one in here} == {12}
    assert {one.selected for one in here} == {8}
    assert all(one.positive_slices <= 8 for one in here)
    for one in judged:
        if not one.series:
            assert set(one.outcomes.values()) == {"not-analysed"}
        elif one.positive_slices >= 3:
            assert one.outcomes["30 %"] == "positive"
        elif one.positive_slices == 0:
            assert set(one.outcomes.values()) == {"negative"}


def test_a_patient_without_a_slice_of_open_lungs_is_undetermined(
    ctset_root: Path, ctset_raw_root: Path, short_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    for file in ctset_raw_root.rglob("*.tif"):
        write_tiff(file, chest(0.0, positive=False, seed=1))
    recipe = read_recipe(short_recipe("ctset-paper"))
    work = Work(out=tmp_path / "out", report=quiet)
    cross_validate_folds(work, recipe, ctset_root, nets=["tiny"], folds=[1], patients=ctset_raw_root)
    judged = read_patients(tmp_path / "out" / "tiny" / "fold-1.patients.json").patients
    here = [one for one in judged if one.series]
    assert here
    for one in here:
        assert (one.slices, one.selected) == (12, 0)
        assert set(one.outcomes.values()) == {"undetermined"}


def test_raw_series_take_another_series_only_where_sr_2_is_missing(ctset_raw_root: Path) -> None:
    series = raw_series(ctset_raw_root)
    names = {patient: str(slices[0].series).rpartition("/")[2] for patient, slices in series.items()}
    assert names.pop("patient000003") == "SR_3"
    assert set(names.values()) == {"SR_2"}
    assert len(names) == 13


def test_chosen_slices_are_no_raw_series(ctset_root: Path) -> None:
    with pytest.raises(LayoutError, match="chosen slices"):
        raw_series(ctset_root)


def test_a_killed_crossval_goes_on_and_repeats_no_finished_fold(
    ctset_root: Path, short_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    recipe, out = read_recipe(short_recipe("ctset-paper")), tmp_path / "out"

    def run(folder: Path, *, resume: bool, report: Callable[[str], None] = quiet) -> None:
        work = Work(out=folder, resume=resume, report=report)
        cross_validate_folds(work, recipe, ctset_root, nets=["tiny"], folds=[1, 2], patients=None)

    def kill_in_fold_2(line: str) -> None:
        if "fold-2" in line and "epoch" in line:
            raise Killed

    run(tmp_path / "whole", resume=False)
    with pytest.raises(Killed):
        run(out, resume=False, report=kill_in_fold_2)
    assert read_images(out / "tiny" / "fold-1.images.json").number == 1
    assert not (out / "tiny" / "fold-2.images.json").exists()
    with pytest.raises(CheckpointError, match="--resume"):
        run(out, resume=False)

    said: list[str] = []
    run(out, resume=True, report=said.append)
    assert not any("fold-1" in line and "epoch" in line for line in said)
    assert read_records(out) == read_records(tmp_path / "whole")


def test_records_of_another_recipe_are_not_taken_for_ones_own(
    ctset_root: Path, short_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    work = Work(out=tmp_path / "out", resume=True, report=quiet)

    def run(**values: str) -> None:
        recipe = read_recipe(short_recipe("ctset-paper", **values))
        cross_validate_folds(work, recipe, ctset_root, nets=["tiny"], folds=[1], patients=None)

    run()
    with pytest.raises(CheckpointError, match="another recipe"):
        run(learning_rate="0.02")


def test_seeds_are_judged_on_their_own_set_and_on_others(
    covid_ct_root: Callable[[str], Path],
    ct_cov19_root: Path,
    short_recipe: Callable[..., Path],
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    command = ["crossval", "--data", f"ct-cov19:{ct_cov19_root}", "--out", str(out), "--threads", "1"]
    command += ["--recipe", str(short_recipe("deep-ct-net")), "--seed", "1", "--seed", "2"]
    command += ["--cross", f"covid-ct:{covid_ct_root('a')}"]
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == 0, answer.output + str(answer.exception)
    for number, scored in ((3, "test: 4 COVID-19, 8 others"), (4, "val: 6 COVID-19, 6 others")):
        rows = rows_of(out / "tables" / f"deep-ct-net-table-{number}.csv")
        own = [row for row in rows if row["source"] == "measured here"]
        assert [row["method"] for row in own] == ["tiny, seed 1", "tiny, seed 2", "tiny, mean of 2 seeds"]
        assert {row["scored"] for row in own} == {scored}
        mean = sum(float(row["auc"]) for row in own[:2]) / 2
        assert float(own[2]["auc"]) == pytest.approx(mean, abs=1e-3)
    assert (out / "tables" / "confusion-tiny-seed-1-on-covid-ct.png").read_bytes().startswith(PNG)
    assert "Measured on the part val, since this copy of the set has no part test." in answer.stdout


def test_a_set_of_no_table_has_a_table_of_its_own(
    covid_ct_root: Callable[[str], Path],
    ct_cov19_root: Path,
    short_recipe: Callable[..., Path],
    tmp_path: Path,
) -> None:
    recipe = read_recipe(short_recipe("deep-ct-net"))
    cross_validate_seeds(
        Work(out=tmp_path / "out", report=quiet),
        recipe,
        f"covid-ct:{covid_ct_root('a')}",
        nets=["tiny"],
        seeds=[3],
        cross=[f"ct-cov19:{ct_cov19_root}"],
        pneumonias=None,
    )
    shown = CliRunner().invoke(app, ["tables", "--beside", str(tmp_path / "out")])
    assert "Across sets" in shown.stdout
    assert "covid-ct to ct-cov19, test: 4 COVID-19, 8 others" in shown.stdout


def write_radiographs(root: Path) -> None:
    """Ten patients of ieee8023, one radiograph each, half of them with COVID-19."""
    (root / "images").mkdir(parents=True)
    lines = ["patientid,finding,view,modality,folder,filename"]
    for number in range(10):
        finding = "Pneumonia/Viral/COVID-19" if number % 2 else "Pneumonia"
        lines.append(f"{number},{finding},PA,X-ray,images,{number}.png")
        write_picture(root / "images" / f"{number}.png", number)
    (root / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_pneumonias(root: Path, tested: int) -> None:
    for part, label, count in (
        ("train", "NORMAL", 1),
        ("train", "PNEUMONIA", 1),
        ("test", "NORMAL", 1),
        ("test", "PNEUMONIA", tested),
    ):
        for number in range(count):
            name = (
                f"person{number}_virus_{number}.png" if label == "PNEUMONIA" else f"IM-{number:04d}-0001.png"
            )
            write_picture(root / part / label / name, number)


def test_a_hundred_pneumonias_join_the_radiographs_that_are_judged(tmp_path: Path) -> None:
    write_radiographs(tmp_path / "ieee")
    write_pneumonias(tmp_path / "kaggle", 103)
    shutil.copy(RECIPES / "deep-cxr-net-part1.toml", tmp_path)
    (tmp_path / "short.toml").write_text(
        'base = "deep-cxr-net-part1.toml"\nname = "short"\nnet = "tiny"\n'
        '[schedule]\nloss = "softmax"\nepochs = 1\nbatch = 2\nvalidation_share = 0.3\n'
        "[specification.input]\nsize = [32, 32]\n"
        '[specification.outputs]\nclasses = ["covid", "non-covid"]\npositive_class = "covid"\n',
        encoding="utf-8",
    )
    data, out = f"covid-chestxray:{tmp_path / 'ieee'}", tmp_path / "out"
    command = ["crossval", "--data", data, "--out", str(out), "--recipe", str(tmp_path / "short.toml")]
    answer = CliRunner().invoke(app, [*command, "--pneumonias", f"kaggle-pneumonia:{tmp_path / 'kaggle'}"])
    assert answer.exit_code == 0, answer.output + str(answer.exception)
    (own,) = read_records(out).images
    assert (own.part, own.added) == ("test", 100)
    assert (own.judged.covid_images, own.judged.other_images) == (2, 102)
    rows = rows_of(out / "tables" / "deep-ct-net-table-6.csv")
    assert rows[-1]["scored"] == "test: 2 COVID-19, 102 others, 100 of them added"
    assert "the source alone may tell them" in answer.stdout


def test_too_few_pneumonias_are_refused(tmp_path: Path) -> None:
    write_radiographs(tmp_path / "ieee")
    write_pneumonias(tmp_path / "kaggle", 99)
    command = ["crossval", "--data", f"covid-chestxray:{tmp_path / 'ieee'}", "--out", str(tmp_path / "out")]
    command += ["--recipe", "deep-cxr-net-part3", "--pneumonias", f"kaggle-pneumonia:{tmp_path / 'kaggle'}"]
    answer = CliRunner().invoke(app, command)
    assert isinstance(answer.exception, EmptyClass)
    assert "99 pneumonias" in str(answer.exception)


def test_a_net_that_cannot_be_built_is_refused_before_anything_is_fitted(
    ctset_root: Path, short_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = read_recipe(short_recipe("ctset-paper"))
    work = Work(out=tmp_path / "out", report=quiet)
    with pytest.raises(RecipeError):
        cross_validate_folds(
            work, recipe, ctset_root, nets=["tiny", "resnet50v2-fpn"], folds=[1], patients=None
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("sars-cov2-ct", [], "no protocol"),
        ("covid-ct", ["--fold", "1"], "--fold"),
        ("covid-ctset", ["--seed", "1", "--cross", "covid-ct:x"], "--seed, --cross"),
        ("covid-ct", ["--pneumonias", "kaggle-pneumonia:x"], "--pneumonias"),
        ("covid-ct", ["--init", "tiny"], "NET=FILE"),
        ("covid-ctset", ["--patients", "covid-ct:x"], "wanted is covid-ctset"),
    ],
)
def test_options_of_another_protocol_are_refused(
    kind: str, options: list[str], message: str, short_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = str(short_recipe("deep-ct-net"))
    command = ["crossval", "--data", f"{kind}:{tmp_path}", "--out", str(tmp_path / "out"), "--recipe", recipe]
    answer = CliRunner().invoke(app, [*command, *options])
    assert isinstance(answer.exception, DataError)
    assert message in str(answer.exception)


def test_a_training_part_alone_is_nothing_to_judge_by(covid_ct_root: Callable[[str], Path]) -> None:
    cases = read_cases(f"covid-ct:{covid_ct_root('a')}")
    part, held_out = held_out_part(cases)
    assert (part, len(held_out)) == ("val", 12)
    with pytest.raises(EmptyClass, match="nothing to judge by"):
        held_out_part([case for case in cases if case.split == "train"])
    with pytest.raises(EmptyClass, match="one class"):
        held_out_part([case for case in cases if case.positive])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "other/1"}, "is not"),
        ({"auc": 1.5}, "auc"),
        ({"run": "../fold-1"}, "run"),
        ({"surplus": 1}, "surplus"),
        ({"part": None}, "part"),
    ],
)
def test_an_altered_record_is_refused(
    change: dict[str, object],
    message: str,
    covid_ct_root: Callable[[str], Path],
    short_recipe: Callable[..., Path],
    tmp_path: Path,
) -> None:
    file = tmp_path / "fold-1.images.json"
    sizes = {"covid_groups": 1, "covid_images": 2, "other_groups": 3, "other_images": 4}
    counts = {"true_positive": 1, "false_negative": 1, "true_negative": 3, "false_positive": 1}
    record = {
        "schema": "groundglass.crossval.images/1",
        "made_with": "0",
        "net": "tiny",
        "run": "fold-1",
        "trained_on": "covid-ctset",
        "judged_on": "covid-ctset",
        "part": "test",
        "division": "made",
        "added": 0,
        "learnt": sizes,
        "judged": sizes,
        "counts": counts,
        "auc": 0.5,
        "auc_interval": [0.25, 0.75],
    }
    file.write_text(json.dumps(record), encoding="utf-8")
    assert read_images(file).number == 1
    file.write_text(json.dumps(record | change), encoding="utf-8")
    with pytest.raises(TableError, match=message):
        read_images(file)


def test_a_folder_without_records_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="holds no record"):
        read_records(tmp_path)
