"""``models build``: the model repository of an inference server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.options import ConfigOption, JsonOption, settings_of
from node.cli.output import show, show_json, table
from node.domain.model import Precision
from node.infer.repository import build_repository
from node.infer.repository_config import RepositoryOptions, Target

NEXT = {
    Target.CPU: "Start the server on it, then run `groundglass models accept`.",
    Target.ONNX: "Start the server on it, then run `groundglass models accept`.",
    Target.TENSORRT: "Make the plans with deploy/tensorrt/build_engine.sh on the server's own GPU, start the "
    "server, then run `groundglass models accept`.",
}


def register(group: typer.Typer) -> None:
    """Add the command to the group ``models``."""
    group.command("build")(build)


TargetOption = Annotated[
    Target,
    typer.Option(help="Who computes: OpenVINO on processors, ONNX Runtime or a TensorRT plan on a GPU."),
]
OutOption = Annotated[
    Path, typer.Option(metavar="DIR", help="The repository: absent, empty, or made by this command.")
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="A network, may be given again; by default every installed one."),
]
PrecisionOption = Annotated[
    Precision, typer.Option(help="Arithmetic; another than f32 only where the export judged it.")
]
InstancesOption = Annotated[int, typer.Option(help="Copies of the network on each device.")]
ThreadsOption = Annotated[
    int, typer.Option(help="Target cpu: threads of one copy; 0 leaves the number to OpenVINO.")
]
DelayOption = Annotated[
    int, typer.Option(help="Microseconds a request waits for others; each lone request pays them.")
]
CacheOption = Annotated[
    bool,
    typer.Option(
        "--response-cache", help="Target cpu: answer repeated requests from memory. Slices never repeat."
    ),
]
AcceleratorOption = Annotated[bool, typer.Option(help="Target onnx: compute by TensorRT where it can.")]
EngineCacheOption = Annotated[
    str, typer.Option(metavar="DIR", help="Target onnx: the server's folder for TensorRT's engines.")
]


def build(
    *,
    target: TargetOption,
    out: OutOption,
    model: ModelOption = None,
    precision: PrecisionOption = Precision.F32,
    instances: InstancesOption = 1,
    threads: ThreadsOption = 0,
    queue_delay_us: DelayOption = 0,
    response_cache: CacheOption = False,
    accelerator: AcceleratorOption = True,
    engine_cache: EngineCacheOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the repository of an inference server from the installed models.

    Each network gets a folder with all of its installed versions; one that is there is replaced as a whole.
    """
    options = RepositoryOptions(
        precision=precision,
        instances=instances,
        threads=threads,
        queue_delay_us=queue_delay_us,
        response_cache=response_cache,
        accelerator=accelerator,
        engine_cache=engine_cache,
    )
    folders = build_repository(settings_of(config).infer.models_dir, model or [], target, out, options)
    written = [
        {
            "model": folder.name,
            "versions": sorted(int(item.name) for item in folder.iterdir() if item.is_dir()),
            "target": target.value,
            "precision": precision.value,
            "folder": str(folder),
        }
        for folder in folders
    ]
    if as_json:
        show_json(written)
        return
    rows = [(item["model"], ", ".join(map(str, item["versions"])), target, precision) for item in written]
    show(table(f"Written to {out}", ("model", "versions", "target", "precision"), rows), NEXT[target])
