"""Images a second of every engine, whole studies beside the first paper's table, and all work but inference.

Run: ``python -m benchmarks.inference [--nets resnet50v2-fpn ...] [--quick] [--json OUT] [--bundles FOLDER]``.

All ways of one network are opened first and then take turns, so that whatever else the machine does falls on
all of them alike; figures are medians of the turns. Weights are random, which does not change the speed;
``--bundles`` keeps the networks between runs. ONNX Runtime and OpenVINO get every core. Triton runs OpenVINO
in its python backend on the same cores as its client: "1 client" keeps batches under way as the node does,
"16 clients" send one slice at a time each, which the server joins to batches. The share is that of the
machine's own matrix peak in the same precision: the quickest large product of numpy, torch and OpenVINO.

Predicted from trial runs on a busy machine, before the figures were taken, for two cores with AVX-512, bf16
and 8-bit dot products but no AMX, whose peaks in bf16 and int8 are 2 and 4 times that in f32:

- OpenVINO f32 equals ONNX Runtime f32 within a fifth for the ResNets, and wins by 1.4 in Deep-CT-Net and
  EfficientNet-Lite0, whose small layers cost memory and fork-joins instead of arithmetic.
- bf16 gives twice f32, int8 3 times. The aim of 5 times ONNX Runtime for ResNet50V2-FPN in bf16 is one for
  AMX: out of reach here.
- Share of the peak: 0.8 in f32 and 0.7 in bf16 for the ResNets, half of it for Deep-CT-Net, least for
  EfficientNet-Lite0, whose depthwise layers multiply little.
- Triton with one client costs a twentieth for the large networks, a fifth for EfficientNet-Lite0 in f32 and
  a half in bf16, where a batch takes 25 ms and its way 10; shared memory wins back half of that.
- A study never takes longer than the paper's table in bf16; with every slice scored it does for 355 slices.
- 1 second beside inference for 133 slices, most of it decoding, preparing and report writing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import onnxruntime
import openvino

from benchmarks.inference_tables import print_aims, print_machine, print_rates, print_studies
from benchmarks.peaks import peaks
from benchmarks.random_bundles import NETS, Net, operations, write_bundle
from benchmarks.rates import REFERENCE, Rate, embedded, measured, reference
from benchmarks.served import server_of, triton
from benchmarks.studies import AT_ONCE, BESIDE, PAPER, Study, every_slice, scorer_for, screened, series, wide
from node.domain.model import Precision
from node.infer.bundle import Bundle, load_bundle

BATCH: Final = 8
"""Slices in one request of every engine, so that they can be compared."""
NODES_BATCH: Final = 4
"""Slices in one request of a study, as the node has it by default."""
PICTURES: Final = 8
"""From which an int8 network takes its ranges: enough for speed, too few for use."""
PAPERS_NET: Final = "resnet50v2-fpn"
IMAGES: Final = 32
Peaks = dict[str, dict[str, float]]
"""Operations a second by precision and library."""
QUICK_SIDES: Final = {"ctset-paper": 96, "default": 96}
"""Rows and columns of a quick run, by recipe; the other networks are built for 256."""


def main() -> None:
    """Measure, print Markdown tables and keep every figure."""
    arguments = _arguments()
    cv2.setNumThreads(1)
    began = time.perf_counter()
    with ExitStack() as opened:
        folder = arguments.bundles or Path(opened.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        figures: dict[str, Any] = {"machine": machine()}
        print_machine(figures["machine"])
        side = 1024 if arguments.quick else 4096
        figures["peaks"] = peaks(arguments.repeat, side)
        nets = [net for net in NETS if not arguments.nets or net.name in arguments.nets]
        bundles = {net.name: bundle_of(net, folder, arguments) for net in nets}
        rates = []
        for net in nets:
            rates += rates_of(bundles[net.name], arguments)
            tell(f"{net.name} measured", began)
        figures["peaks"] = higher(figures["peaks"], peaks(arguments.repeat, side))
        work = {net.name: operations(net, bundles[net.name].spec) for net in nets}
        print_rates(rates, work, figures["peaks"])
        studies = studies_of(bundles, folder, arguments) if arguments.studies else []
        print_studies(studies)
        if not arguments.quick:
            print_aims(rates, studies)
    figures |= {"operations": work, "rates": _records(rates), "studies": _records(studies)}
    figures["minutes"] = (time.perf_counter() - began) / 60
    print(f"\n{figures['minutes']:.1f} minutes")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nets", nargs="+", choices=[net.name for net in NETS])
    parser.add_argument("--repeat", type=int, default=5, help="turns of each way, after one that warms up")
    parser.add_argument(
        "--quick", action="store_true", help="small images, two turns: only shows that it runs"
    )
    parser.add_argument("--json", type=Path, help="file for every figure")
    parser.add_argument("--bundles", type=Path, help="folder that keeps networks and series between runs")
    parser.add_argument("--no-int8", dest="int8", action="store_false")
    parser.add_argument("--no-triton", dest="triton", action="store_false")
    parser.add_argument("--no-studies", dest="studies", action="store_false")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.repeat = min(arguments.repeat, 2)
    return arguments


def machine() -> dict[str, str]:
    """Return what the figures depend on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = set(said.get("flags", "").split())
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
    return {
        "processor": said.get("model name", platform.machine()),
        "cores": str(os.cpu_count()),
        "instructions": ", ".join(f"{name} {'yes' if name in flags else 'no'}" for name in wanted),
        "load at the start": f"{os.getloadavg()[0]:.1f}",
        "versions": f"OpenVINO {openvino.__version__}, ONNX Runtime {onnxruntime.__version__}",
    }


def bundle_of(net: Net, folder: Path, arguments: argparse.Namespace) -> Bundle:
    """Return a network's bundle with random weights; small for a quick run."""
    side = QUICK_SIDES.get(net.recipe) if arguments.quick else None
    kind = f"{'quick' if arguments.quick else 'whole'}-{'int8' if arguments.int8 else 'plain'}"
    pictures = PICTURES if arguments.int8 else 0
    return load_bundle(write_bundle(folder / kind, net, side=side, calibrate=pictures))


def rates_of(bundle: Bundle, arguments: argparse.Namespace) -> list[Rate]:
    """Measure one network by every engine."""
    golden = bundle.golden.prepared
    images = np.ascontiguousarray(np.resize(golden, (IMAGES, *golden.shape[1:])))
    with ExitStack() as opened:
        ways = {REFERENCE: reference(bundle, BATCH)} | embedded(bundle, opened, BATCH)
        for precision in precisions() if arguments.triton else ():
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
            running = opened.enter_context(server_of(bundle, precision, folder))
            ways |= triton(bundle, precision, running, opened, BATCH)
        return measured(bundle.name, ways, images, BATCH, arguments.repeat)


def precisions() -> list[Precision]:
    """Return those that server and node share on this processor."""
    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [Precision.F32, Precision.BF16] if "BF16" in able else [Precision.F32]


def studies_of(bundles: dict[str, Bundle], folder: Path, arguments: argparse.Namespace) -> list[Study]:
    """Time the paper's studies with its network, and the work beside inference for every bundle."""
    counts = [35] if arguments.quick else list(PAPER)
    beside = 35 if arguments.quick else BESIDE
    found = []
    if PAPERS_NET in bundles:
        usual = wide(bundles[PAPERS_NET])
        for precision in precisions():
            for bundle in (usual, every_slice(usual)):
                found += timed(bundle, precision.value, counts, folder, arguments.repeat)
    for bundle in bundles.values():
        if bundle.spec.ct_selection is not None:
            found += timed(wide(bundle), AT_ONCE, [beside], folder, arguments.repeat)
    return found


def timed(bundle: Bundle, way: str, counts: Sequence[int], folder: Path, repeat: int) -> list[Study]:
    """Screen series of several lengths; of each the study of median time is kept."""
    scorer = scorer_for(bundle, way)
    found = []
    for count in counts:
        files = series(folder, count)
        runs = [screened(bundle, scorer, files, way, NODES_BATCH) for _ in range(max(1, repeat - 2))]
        found.append(sorted(runs, key=lambda study: study.seconds)[len(runs) // 2])
        tell(f"{bundle.name}, {way}: {found[-1].scored} of {count} slices in {found[-1].seconds:.2f} s")
    scorer.close()
    return found


def higher(one: Peaks, other: Peaks) -> Peaks:
    """Return the higher of two measurements of each peak: before the networks, and after them."""
    return {
        precision: {library: max(value, other[precision][library]) for library, value in libraries.items()}
        for precision, libraries in one.items()
    }


def tell(words: str, began: float | None = None) -> None:
    """Say on standard error how far it is: the tables come at the end."""
    after = "" if began is None else f" after {(time.perf_counter() - began) / 60:.1f} minutes"
    print(f"{words}{after}", file=sys.stderr, flush=True)


def _records(items: Sequence[Any]) -> list[dict[str, Any]]:
    return [asdict(item) for item in items]


if __name__ == "__main__":
    main()
