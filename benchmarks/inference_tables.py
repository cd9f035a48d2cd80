"""The inference benchmark's figures as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.rates import EMBEDDED, ONE_CLIENT, REFERENCE, Rate
from benchmarks.studies import AT_ONCE, BESIDE, PAPER, Study

AIMED_AT = "resnet50v2-fpn"
TIMES = 5.0
"""How many times ONNX Runtime f32 the embedded engine in bf16 shall answer."""
COST = 0.10
"""What a server may cost over the embedded engine."""
BESIDE_SECONDS = 3.0


def print_machine(machine: Mapping[str, str]) -> None:
    """Print what the figures depend on."""
    print("; ".join(f"{name}: {value}" for name, value in machine.items()) + "\n", flush=True)


def print_rates(
    rates: Sequence[Rate], work: Mapping[str, int], peaks: Mapping[str, Mapping[str, float]]
) -> None:
    """Print the peaks and one line for each engine and network."""
    best = {precision: max(libraries.values()) for precision, libraries in peaks.items()}
    print("| precision | library | matrix products, GFLOP/s |\n|---|---|--:|")
    for precision, libraries in peaks.items():
        for library, value in libraries.items():
            print(f"| {precision} | {library} | {value / 1e9:.0f} |")
    print(
        "\n| network | GFLOP an image | engine | batch | images/s | x ONNX Runtime | of the peak | spread |"
    )
    print("|---|--:|---|--:|--:|--:|--:|--:|")
    base = {rate.net: rate.images_per_second for rate in rates if rate.way == REFERENCE}
    for rate in rates:
        share = rate.images_per_second * work[rate.net] / best[rate.precision]
        print(
            f"| {rate.net} | {work[rate.net] / 1e9:.1f} | {rate.way} | {rate.batch} "
            f"| {rate.images_per_second:.1f} | {rate.images_per_second / base[rate.net]:.2f} "
            f"| {share:.0%} | {rate.spread:.0%} |"
        )


def print_studies(studies: Sequence[Study]) -> None:
    """Print whole studies beside the paper's, then the work beside inference."""
    if not studies:
        return
    print("\n| network | precision | slices | scored | seconds | CPU s | paper, Tesla P100 | paper / this |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for study in studies:
        if study.way != AT_ONCE:
            paper = PAPER[study.slices]
            print(
                f"| {study.net} | {study.way} | {study.slices} | {study.scored} | {study.seconds:.2f} "
                f"| {study.cpu_seconds:.2f} | {paper:.2f} | {paper / study.seconds:.2f} |"
            )
    beside = [study for study in studies if study.way == AT_ONCE]
    stages = list(dict.fromkeys(name for study in beside for name in study.stages))
    print(f"\n| without an engine: network | slices | scored | seconds | CPU s | {' | '.join(stages)} |")
    print("|---|--:|--:|--:|--:|" + "--:|" * len(stages))
    for study in beside:
        values = " | ".join(f"{study.stages.get(name, 0.0):.2f}" for name in stages)
        print(
            f"| {study.net} | {study.slices} | {study.scored} | {study.seconds:.2f} "
            f"| {study.cpu_seconds:.2f} | {values} |"
        )


def print_aims(rates: Sequence[Rate], studies: Sequence[Study]) -> None:
    """Print what was aimed at and what was reached."""
    found = {(rate.net, rate.way): rate.images_per_second for rate in rates}
    lines = []
    fast, slow = (found.get((AIMED_AT, way)) for way in (EMBEDDED.format("bf16"), REFERENCE))
    if fast and slow:
        lines.append(
            (
                f"{AIMED_AT}: bf16 over ONNX Runtime f32",
                f">= {TIMES}",
                f"{fast / slow:.2f}",
                fast / slow >= TIMES,
            )
        )
    for net in dict.fromkeys(rate.net for rate in rates):
        for precision in ("f32", "bf16"):
            own = found.get((net, EMBEDDED.format(precision)))
            served = found.get((net, ONE_CLIENT.format(precision)))
            if own and served:
                cost = own / served - 1
                lines.append(
                    (f"{net}: Triton's cost, {precision}", f"<= {COST:.0%}", f"{cost:.0%}", cost <= COST)
                )
    for study in studies:
        if study.way == "bf16":
            paper = PAPER[study.slices]
            words = f"study of {study.slices}, {study.scored} scored, bf16"
            lines.append((words, f"<= {paper:.2f} s", f"{study.seconds:.2f} s", study.seconds <= paper))
        if study.way == AT_ONCE:
            words = f"{study.net}: beside inference, {study.slices} slices (aim for {BESIDE})"
            reached = study.seconds <= BESIDE_SECONDS
            lines.append((words, f"<= {BESIDE_SECONDS} s", f"{study.seconds:.2f} s", reached))
    print("\n| aim | asked | found | reached |\n|---|--:|--:|---|")
    for words, asked, value, reached in lines:
        print(f"| {words} | {asked} | {value} | {'yes' if reached else 'no'} |")
