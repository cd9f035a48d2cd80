"""What the slices themselves say of a series: no gap, no duplicate, and lungs that close at both ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from node.assemble.completeness import Evidence
from node.decide.series_facts import CT_SOP_CLASSES
from node.dicom.codecs import Codecs
from node.dicom.slices import SliceSource, slice_sources
from node.domain.errors import DicomError, GeometryError, StoreError
from node.domain.input_spec import SelectionSpec
from node.domain.study import Instance
from node.domain.unread import unread
from node.domain.wording import reason_of
from node.imaging.geometry import Stack, stack
from node.imaging.selection import dark_count, lungs_close_at_both_ends, select

log = logging.getLogger(__name__)


def geometric_evidence(
    instances: Sequence[Instance],
    path_of: Callable[[str], Path],
    codecs: Codecs,
    spec: SelectionSpec,
) -> Evidence:
    """Judge whether the slices of a series are a whole chest.

    A prefix of a series sent in order has no gap either: only the lungs, open in the middle and closed at the
    first and the last slice, tell a whole from a part.

    Parameters
    ----------
    instances : sequence of Instance
        All instances of the series.
    path_of : callable
        Object key to PS3.10 file.
    codecs : Codecs
        Who decodes.
    spec : SelectionSpec
        By which open-lung slices are found.
    """
    if any(instance.header.sop_class_uid not in CT_SOP_CLASSES for instance in instances):
        return Evidence(holds=False, reason="not a series of CT images")
    try:
        return _of_slices(slice_sources(instances, path_of, codecs), spec)
    except GeometryError as error:
        return Evidence(holds=False, reason=f"the slices do not form a volume ({reason_of(error)})")
    except (DicomError, StoreError, OSError) as error:
        log.warning("a slice cannot be read, so that its series is judged without its geometry: %s", error)
        return Evidence(holds=False, reason=f"a slice cannot be read ({unread(error)})")


def _of_slices(sources: Sequence[SliceSource], spec: SelectionSpec) -> Evidence:
    volume = stack([source.plane for source in sources])
    count = len(sources)
    broken = _broken(volume, count, spec)
    if broken is not None:
        return Evidence(holds=False, reason=broken)
    selection = select([dark_count(source.v(), spec).count for source in sources], spec)
    every = f"{count} slices, one every {volume.step or 0:.4g} mm without gap or duplicate"
    if not selection.kept:
        return Evidence(holds=False, reason=f"{every}, but no lungs are seen")
    if not lungs_close_at_both_ends(selection, count):
        return Evidence(holds=False, reason=f"{every}, but the lungs do not close at both ends")
    first, last = selection.kept[0] + 1, selection.kept[-1] + 1
    return Evidence(
        holds=True,
        reason=f"{every}; lungs open from slice {first} to {last} and closed at both ends",
    )


def _broken(volume: Stack, count: int, spec: SelectionSpec) -> str | None:
    if volume.gaps:
        return f"{len(volume.gaps)} gaps between {count} slices"
    if not volume.uniform:
        return f"the {count} slices do not lie at equal distances"
    if not volume.axial:
        return "the slices are not axial"
    if count < spec.minimum_slices:
        return f"{count} slices are too few to see the lungs close"
    return None
