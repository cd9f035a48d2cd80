"""What ``index`` prints of a data set: counts, and what would spoil a figure."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image

from trainer.cases.case import ABOUT, GROUPED_BY, Case, with_known_truth
from trainer.errors import PictureError

DICOM: Final = frozenset({"dicom", "dicom-labelled"})
"""Sources whose images were opened when they were read."""
NAMED: Final = 5
"""Examples in one warning."""
FEWEST_PATIENTS: Final = 5
"""Of each class; with fewer their numbers may part by chance."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One class of one split."""

    split: str
    positive: bool
    images: int
    groups: int


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A data set at a glance."""

    grouped_by: str
    about: str
    """What a positive case shows."""
    parts: tuple[Part, ...]
    warnings: tuple[str, ...]


def summarise(cases: Sequence[Case], notes: Sequence[str] = ()) -> Summary:
    """Count a data set and look for leaks. Images of unknown truth are looked through and not counted.

    Warned of: a class without images in one split; files that are no images; the same file twice, worse
    across splits or classes; groups that stand in several splits or classes; a class that its file format,
    the number of its patients, its kernel, thickness or vendor gives away.

    Parameters
    ----------
    cases : sequence of Case
        At least one.
    notes : sequence of str
        What the reader of this set has to say; stands first among the warnings.

    Raises
    ------
    PictureError
        A file vanished since the set was read, or may not be read.
    """
    told = with_known_truth(cases)
    keys = sorted({(case.split, case.positive) for case in told}, key=lambda key: (key[0], not key[1]))
    parts = []
    for split, positive in keys:
        chosen = [case for case in told if (case.split, case.positive) == (split, positive)]
        parts.append(
            Part(
                split=split, positive=positive, images=len(chosen), groups=len({one.group for one in chosen})
            )
        )
    looked_for = (_empty, _duplicates, _shared_groups, _formats, _identities, _acquisitions)
    source = cases[0].source
    return Summary(
        grouped_by=GROUPED_BY[source],
        about=ABOUT.get(source, "COVID-19"),
        parts=tuple(parts),
        warnings=(*notes, *(warning for look in looked_for for warning in look(cases))),
    )


def _empty(cases: Sequence[Case]) -> list[str]:
    """Warn of splits with one class only, where the other is somewhere else."""
    there = {(case.split, case.positive) for case in with_known_truth(cases)}
    about = ABOUT.get(cases[0].source, "COVID-19")
    return [
        f"split {split} holds no image {'with' if positive else 'without'} {about}: no figure of two classes "
        "comes out of it, and nothing can be fitted to it"
        for split in sorted({case.split for case in cases})
        for positive in sorted({case.positive for case in cases}, reverse=True)
        if (split, positive) not in there
    ]


def _fingerprint(case: Case) -> str:
    try:
        return hashlib.sha256(case.image.read_bytes()).hexdigest()
    except OSError as error:
        raise PictureError(
            f"{case.image} cannot be read ({error}); see that the whole set is there"
        ) from error


def _duplicates(cases: Sequence[Case]) -> list[str]:
    same: dict[str, list[Case]] = {}
    for case in cases:
        same.setdefault(_fingerprint(case), []).append(case)
    repeated = [group for group in same.values() if len(group) > 1]
    warnings = []
    if repeated:
        warnings.append(
            f"{len(repeated)} images are there more than once, byte for byte, for example "
            f"{repeated[0][0].image.name}"
        )
    for what, values in (
        ("splits", [{case.split for case in group} for group in repeated]),
        ("classes", [{case.positive for case in group} for group in repeated]),
    ):
        if across := sum(len(value) > 1 for value in values):
            warnings.append(f"{across} of them stand in several {what}: a figure on them is worth nothing")
    return warnings


def _shared_groups(cases: Sequence[Case]) -> list[str]:
    splits: dict[str, set[str]] = {}
    classes: dict[str, set[bool]] = {}
    for case in cases:
        splits.setdefault(case.group, set()).add(case.split)
        classes.setdefault(case.group, set()).add(case.positive)
    warnings = []
    if shared := sorted(group for group, where in splits.items() if len(where) > 1):
        named = "patients or groups" if any(case.patient for case in cases) else "groups"
        warnings.append(f"{len(shared)} {named} stand in several splits, the first {shared[0]}")
    if mixed := sorted(group for group, flags in classes.items() if len(flags) > 1):
        warnings.append(f"{len(mixed)} groups have images of both classes, the first {mixed[0]}")
    return warnings


def _formats(cases: Sequence[Case]) -> list[str]:
    why = "the format gives the class away"
    modes = {case.image: None if case.source in DICOM else _mode(case) for case in cases}
    none = [case.image.name for case in cases if case.source not in DICOM and modes[case.image] is None]
    named = ", ".join(none[:NAMED]) + (f" and {len(none) - NAMED} more" if len(none) > NAMED else "")
    return [
        *(
            [f"{len(none)} files cannot be opened as images, fitting will stop at them: {named}"]
            if none
            else []
        ),
        *_telling(cases, "files", why, lambda case: case.image.suffix.lower()),
        *_telling(cases, "image modes", why, lambda case: modes[case.image]),
    ]


def _mode(case: Case) -> str | None:
    """Return how an image's pixels are stored, None where it is no image."""
    try:
        with Image.open(case.image) as image:
            return image.mode
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def _acquisitions(cases: Sequence[Case]) -> list[str]:
    why = "the acquisition gives the class away; judge by strata"
    return [
        *_telling(cases, "kernels", why, lambda case: case.kernel),
        *_telling(
            cases,
            "slice thicknesses",
            why,
            lambda case: None if case.thickness is None else f"{case.thickness:g} mm",
        ),
        *_telling(cases, "vendors", why, lambda case: case.vendor),
    ]


def _telling(cases: Sequence[Case], what: str, why: str, value_of: Callable[[Case], str | None]) -> list[str]:
    """Warn of values that stand in one class only."""
    counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for case in with_known_truth(cases):
        if value := value_of(case):
            counts[case.positive][value] += 1
    own = sorted(counts[True].keys() ^ counts[False].keys())
    if not own or not counts[True] or not counts[False]:
        return []
    images = sum(counts[flag][value] for value in own for flag in counts)
    named = ", ".join(own[:NAMED]) + (f" and {len(own) - NAMED} more" if len(own) > NAMED else "")
    return [f"{what} {named} stand in one class only ({images} images): {why}"]


def _identities(cases: Sequence[Case]) -> list[str]:
    """Warn when the patients' numbers of the classes do not overlap: a name or an order is then the class."""
    numbers: dict[bool, list[int]] = {True: [], False: []}
    for patient, positive in {(one.patient, one.positive) for one in with_known_truth(cases)}:
        if found := re.fullmatch(r"[A-Za-z_ ]*(\d{1,9})", patient or ""):
            numbers[positive].append(int(found[1]))
    if min(len(numbers[flag]) for flag in numbers) < FEWEST_PATIENTS:
        return []
    low, high = sorted(numbers.values(), key=max)
    if max(low) >= min(high):
        return []
    remark = (
        f"patients up to number {max(low)} are all of one class and those from {min(high)} all of the other: "
        "names, paths and order give the class away"
    )
    return [remark]
