"""Kernels by the names that the manufacturers give them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from node.decide.kernels import KernelKind, kernel_kind
from node.domain.study import InstanceHeader


@pytest.mark.parametrize(
    ("manufacturer", "kernel", "kind"),
    [
        ("SIEMENS", "B70f", KernelKind.LUNG),
        ("SIEMENS", "B30s", KernelKind.SOFT),
        ("Siemens Healthineers", "Bl57d\\3", KernelKind.LUNG),
        ("SIEMENS", "I50f\\2", KernelKind.LUNG),
        ("SIEMENS", "Br40d", KernelKind.SOFT),
        ("GE MEDICAL SYSTEMS", "LUNG", KernelKind.LUNG),
        ("GE MEDICAL SYSTEMS", "BONEPLUS", KernelKind.SHARP),
        ("GE MEDICAL SYSTEMS", "STANDARD", KernelKind.SOFT),
        ("Philips", "L", KernelKind.LUNG),
        ("Philips", "YB", KernelKind.LUNG),
        ("Philips", "B", KernelKind.SOFT),
        ("TOSHIBA", "FC51", KernelKind.LUNG),
        ("Canon Medical Systems", "FC86", KernelKind.LUNG),
        ("TOSHIBA", "FC30", KernelKind.SHARP),
        ("TOSHIBA", "FC08", KernelKind.SOFT),
        ("UIH", "B_SHARP_C", KernelKind.SHARP),
        ("UIH", "B_SOFT_B", KernelKind.SOFT),
        ("Somebody", "XYZ", KernelKind.UNKNOWN),
    ],
)
def test_kernels(
    make_header: Callable[..., InstanceHeader], manufacturer: str, kernel: str, kind: KernelKind
) -> None:
    header = make_header(manufacturer=manufacturer, convolution_kernel=kernel, series_description="")
    assert kernel_kind(header) is kind


def test_without_kernel_the_description_counts(make_header: Callable[..., InstanceHeader]) -> None:
    header = make_header(convolution_kernel="", series_description="Thorax Lung 1.0")
    assert kernel_kind(header) is KernelKind.LUNG
