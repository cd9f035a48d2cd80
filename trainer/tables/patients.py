"""Whole patients of COVID-CTset, from their raw series to an answer, with the seconds that it takes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch

from node.domain.input_spec import InputSpec
from node.domain.result import Outcome
from trainer.cases import covid_ctset
from trainer.cases.case import Case
from trainer.errors import LayoutError
from trainer.fit.finished import FinishedRun
from trainer.fit.scoring import score_run
from trainer.judge.patients import decide_series
from trainer.judge.series import look_at_series
from trainer.tables.points import POINTS, SLICE_THRESHOLD
from trainer.tables.records import PatientJudged

PREFERRED: Final = ("SR_2", "SR_3", "SR_4")
"""The authors' code judges SR_2; another series only where a patient has none."""


def raw_series(root: Path) -> dict[str, list[Case]]:
    """Read the raw folders: patient -> the slices of one series.

    Raises
    ------
    LayoutError
        There are no raw folders, only chosen slices.
    """
    cases = covid_ctset.read(root)
    if not all(case.whole_series for case in cases):
        raise LayoutError(f"{root} holds chosen slices; patients are judged on the raw folders patientN/SR_k")
    by_patient: dict[str, dict[str, list[Case]]] = {}
    for case in cases:
        by_patient.setdefault(case.group, {}).setdefault(_folder(case), []).append(case)
    return {
        patient: next(series[name] for name in PREFERRED if name in series)
        for patient, series in by_patient.items()
    }


def _folder(case: Case) -> str:
    return str(case.series).rpartition("/")[2]


def judged_patients(
    run: FinishedRun,
    spec: InputSpec,
    series: Mapping[str, Sequence[Case]],
    held_out: Mapping[str, bool],
    device: torch.device,
) -> Iterator[PatientJudged]:
    """Judge patients, each on one series through the node's own selection and the run's networks.

    Parameters
    ----------
    run : FinishedRun
    spec : InputSpec
        Of the run.
    series : mapping
        Of `raw_series`.
    held_out : mapping
        Patient -> whether they have COVID-19.
    device : torch.device

    Yields
    ------
    PatientJudged
        In order of patients; those without raw series too, as not analysed.

    Raises
    ------
    PictureError
        A slice cannot be read.
    """
    for patient, positive in sorted(held_out.items()):
        slices = series.get(patient)
        if slices is None:
            yield PatientJudged(
                patient=patient,
                positive=positive,
                series="",
                slices=0,
                selected=0,
                positive_slices=0,
                outcomes={point.name: Outcome.NOT_ANALYSED for point in POINTS},
                seconds=0.0,
            )
        else:
            judged = _judged(run, spec, slices, device)
            yield replace(judged, patient=patient, positive=positive)


def _judged(run: FinishedRun, spec: InputSpec, slices: Sequence[Case], device: torch.device) -> PatientJudged:
    began = time.perf_counter()
    (look,) = look_at_series(slices, spec)
    scores = score_run(run, spec, look.selected, device)[:, spec.outputs.positive_index]
    seconds = time.perf_counter() - began
    return PatientJudged(
        patient=look.patient,
        positive=look.positive,
        series=_folder(slices[0]),
        slices=len(slices),
        selected=len(look.selected),
        positive_slices=int((scores >= SLICE_THRESHOLD).sum()),
        outcomes={point.name: decide_series(look, scores, spec, point).outcome for point in POINTS},
        seconds=seconds,
    )
