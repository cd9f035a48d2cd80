"""Every printed cell that can be recomputed is; what does not agree is known and said."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.judge.metrics import Counts
from trainer.tables.checks import (
    f_remarks,
    image_remarks,
    part_remarks,
    patient_remarks,
    rounds_to,
    size_remarks,
    unreachable_remarks,
)
from trainer.tables.ctset_sheets import ctset_sheets
from trainer.tables.deep_ct_sheets import deep_ct_sheets
from trainer.tables.formulas import image_row, mean_image_row, mean_patient_row
from trainer.tables.paper_rows import (
    PLACE,
    FoldSizes,
    ImageRow,
    MethodRow,
    PartRow,
    PatientRow,
    SecondsRow,
    paper_rows,
    rows_from,
)
from trainer.tables.records import Records

SIZES = paper_rows(FoldSizes, "ctset_table2")
PATIENTS = paper_rows(PatientRow, "ctset_table4")
PATIENT_MEANS = paper_rows(PatientRow, "ctset_table4_average")
IMAGES = paper_rows(ImageRow, "ctset_table6")
IMAGE_MEANS = paper_rows(ImageRow, "ctset_table6_average")
COVID_CT = (98, 105)


def test_table_2_tiles_the_patients_with_covid_and_fold_5_lacks_70_images() -> None:
    assert sum(row.validation_covid_patients for row in SIZES) == 95
    assert sum(row.validation_covid_images for row in SIZES) == 2282
    for row in SIZES:
        assert row.train_covid_patients + row.validation_covid_patients == 95
        assert row.train_covid_images + row.validation_covid_images == 2282
        assert row.train_normal_patients + row.validation_normal_patients == 282
    (remark,) = size_remarks(SIZES)
    assert (remark.row, remark.column) == (4, "validation_normal_images")
    assert "70 fewer than the 9776" in remark.text


def test_every_row_of_table_4_adds_up_to_itself_to_table_2_and_to_its_mean() -> None:
    assert len(PATIENTS) == 15
    assert len(PATIENT_MEANS) == 3
    assert patient_remarks(PATIENTS + PATIENT_MEANS, SIZES) == []


def test_the_readme_differs_from_table_4_in_false_positives_alone() -> None:
    readme = paper_rows(PatientRow, "ctset_table4_readme")
    for row, mean in zip(readme, PATIENT_MEANS, strict=True):
        assert (row.net, row.covid_correct) == (mean.net, mean.covid_correct)
        assert row.covid_called_normal == mean.covid_called_normal
        assert row.normal_called_covid > mean.normal_called_covid
        assert row.correct == pytest.approx(row.covid_correct + row.normal_correct)
        assert row.wrong == pytest.approx(row.normal_called_covid + row.covid_called_normal)


def test_every_cell_of_table_6_follows_from_four_counts() -> None:
    assert len(IMAGES) == 15
    assert image_remarks(IMAGES + IMAGE_MEANS) == []
    sizes = {row.fold: row for row in SIZES}
    for row in IMAGES:
        held = sizes[row.fold or 0]
        assert row.covid_tp + row.covid_fn == held.validation_covid_images
        assert row.normal_tp + row.normal_fn == held.validation_normal_images


def test_the_means_of_table_6_are_of_values_that_were_not_rounded() -> None:
    own = [row for row in IMAGES if row.net == "resnet50v2-fpn"]
    printed = next(row for row in IMAGE_MEANS if row.net == "resnet50v2-fpn")
    of_rounded = mean_image_row(own).accuracy
    of_counts = mean_image_row(
        [
            image_row(
                row.net,
                row.fold,
                Counts(
                    true_positive=int(row.covid_tp),
                    false_negative=int(row.covid_fn),
                    true_negative=int(row.normal_tp),
                    false_positive=int(row.covid_fp),
                ),
            )
            for row in own
        ]
    ).accuracy
    assert f"{of_rounded:.4f}" == "0.9850"
    assert f"{of_counts:.4f}" == f"{printed.accuracy:.4f}" == "0.9849"


@pytest.mark.parametrize(
    "column", ["covid_precision", "normal_sensitivity", "accuracy", "normal_fn", "wrong"]
)
def test_a_wrong_cell_of_table_6_is_remarked_upon(column: str) -> None:
    wrong = replace(IMAGES[3], **{column: 0.5})
    assert [remark.column for remark in image_remarks([wrong])] == [column]


def test_a_wrong_count_of_table_6_shows_in_all_that_rests_on_it() -> None:
    wrong = replace(IMAGES[3], covid_fn=23)
    assert {"wrong", "normal_fp", "covid_sensitivity", "normal_specificity"} <= {
        remark.column for remark in image_remarks([wrong])
    }


def test_a_wrong_cell_of_table_4_is_remarked_upon() -> None:
    wrong = replace(PATIENTS[0], covid_called_normal=1)
    assert {remark.column for remark in patient_remarks([wrong], SIZES)} == {"wrong", "covid_correct"}


def test_table_5_is_in_order_of_slices() -> None:
    rows = paper_rows(SecondsRow, "ctset_table5")
    assert [row.slices for row in rows] == [35, 52, 56, 65, 130, 198, 355, 406]


def test_the_sums_of_table_ii_close() -> None:
    rows = paper_rows(PartRow, "deep_ct_net_table2")
    assert part_remarks(rows) == []
    assert {remark.column for remark in part_remarks([*rows[:2], replace(rows[2], covid=1), rows[3]])} == {
        "covid",
        "total",
    }


def test_one_f_measure_recomputes_otherwise() -> None:
    found = {}
    for number in (3, 4, 5, 6):
        rows = paper_rows(MethodRow, f"deep_ct_net_table{number}")
        found |= {(number, rows[one.row].method): one.text for one in f_remarks(rows)}
    assert found == {(6, "CAAD [45]"): "recomputes to 0.929."}


def test_rates_that_no_decisions_on_the_official_test_part_give() -> None:
    remarks = unreachable_remarks(paper_rows(MethodRow, "deep_ct_net_table4"), *COVID_CT)
    own = next(one for one in remarks if one.row == 2)
    assert "f_measure 0.805, accuracy 0.842" in own.text
    fifth = paper_rows(MethodRow, "deep_ct_net_table5")
    remarks = [one for one in unreachable_remarks(fifth, *COVID_CT) if one.row == 3]
    assert {one.column for one in remarks} == {"f_measure", "recall"}
    assert any("95 of the 105 others" in one.text for one in remarks)


@given(
    st.integers(1, 40).flatmap(
        lambda covid: st.integers(1, 40).flatmap(
            lambda others: st.tuples(
                st.just(covid), st.just(others), st.integers(0, covid), st.integers(0, others)
            )
        )
    )
)
def test_rates_of_real_decisions_are_never_called_unreachable(numbers: tuple[int, int, int, int]) -> None:
    covid, others, tp, fp = numbers
    precision = tp / (tp + fp) if tp + fp else None
    recall = tp / covid
    f_measure = 2 * tp / (tp + fp + covid)
    row = MethodRow(
        method="constructed",
        precision=None if precision is None else round(precision, 3),
        recall=round(recall, 3),
        f_measure=round(f_measure, 3) if tp else None,
        auc=None,
        accuracy=round((tp + others - fp) / (covid + others), 3),
    )
    assert unreachable_remarks([row], covid, others) == []
    assert f_remarks([row]) == []


def test_a_half_rounds_either_way() -> None:
    assert rounds_to(0.12345, 0.1234, 4)
    assert rounds_to(0.12345, 0.1235, 4)
    assert not rounds_to(0.12356, 0.1235, 4)
    assert rounds_to(None, None, 4)
    assert not rounds_to(None, 0.0, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slices,second\n1,2\n", "columns"),
        ("slices,seconds,slices\n1,2,3\n", "columns"),
        ("slices,seconds\n1\n", "line 2 has 1 cells"),
        ("slices,seconds\n1.5,2\n", "out of place"),
        ("slices,seconds\n1,nan\n", "out of place"),
        ("slices,seconds\n1,-2\n", "out of place"),
        ("slices,seconds\n1,\n", "could not convert"),
        ("slices,seconds\n1,two\n", "two"),
        ("", "columns"),
        ("seconds\n1\n", "columns"),
    ],
)
def test_an_altered_table_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rows_from(SecondsRow, text)


def test_every_file_of_the_package_is_shown() -> None:
    names = {file.name for file in PLACE.iterdir()}
    assert len(names) == 12
    assert all(name.startswith(("ctset_table", "deep_ct_net_table")) for name in names)


def test_the_sheets_carry_what_is_wrong_with_the_papers() -> None:
    sheets = (*ctset_sheets(Records()), *deep_ct_sheets(Records()))
    assert [sheet.name for sheet in sheets] == [
        "ctset-table-2",
        "ctset-table-4",
        "ctset-table-5",
        "ctset-table-6",
        *(f"deep-ct-net-table-{number}" for number in (2, 3, 4, 5, 6)),
    ]
    beside = {(sheet.name, remark.column): remark.text for sheet in sheets for remark in sheet.remarks}
    assert "70 fewer" in beside["ctset-table-2", "validation_normal_images"]
    assert beside["deep-ct-net-table-6", "f_measure"] == "recomputes to 0.929."
    assert "0.984" in beside["deep-ct-net-table-6", "auc"]
    assert "specificity 0.43, accuracy 0.70" in beside["deep-ct-net-table-3", "precision"]
    for sheet in sheets:
        rates = sheet.name not in ("ctset-table-2", "ctset-table-5", "deep-ct-net-table-2")
        assert rates == any("test-selected" in note for note in sheet.notes)


def test_the_mean_of_patients_is_the_printed_one() -> None:
    own = [row for row in PATIENTS if row.net == "xception"]
    printed = next(row for row in PATIENT_MEANS if row.net == "xception")
    assert mean_patient_row(own) == printed
