"""The server's model repository, written from the installed model folders.

::

    <out>/
      .groundglass-models      says that this program wrote the folder
      <name>/
        config.pbtxt           in the variant of the target
        labels.txt             the classes, one a line
        <version>/
          model.onnx
          model.py             target cpu: what the python backend runs
          trtexec.args         target tensorrt: how the plan is made from model.onnx, on the site
          SHA256SUMS           target tensorrt: what model.onnx must be for that
          calibration.npy      target tensorrt at int8: what the ranges of values are taken from
"""

from __future__ import annotations

import hashlib
import importlib.resources
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from node.domain.errors import BundleError, HandshakeFailed, ModelNotServed
from node.domain.model import Precision
from node.infer.bundle import Bundle, load_bundle, versions_of
from node.infer.calibration import calibration_tensors, save_tensors
from node.infer.config import parse_config
from node.infer.repository_config import (
    LABELS,
    ONNX_FILE,
    PLAN_FILE,
    RepositoryOptions,
    Signature,
    Target,
    config_text,
    profile,
    shape_text,
)

MARK = ".groundglass-models"
CONFIG = "config.pbtxt"
BACKEND_FILE = "model.py"
TRTEXEC_ARGUMENTS = "trtexec.args"
CHECKSUMS = "SHA256SUMS"
CALIBRATION_TENSORS = "calibration.npy"
CALIBRATION_CACHE = "calibration.cache"
STAGE = ".groundglass-building"
"""Name, or end of the name, of the folder in which a network is written."""
FORMER = ".former"
"""End of the name of a network that another one replaces."""


def build_repository(
    models_dir: Path,
    names: Sequence[str],
    target: Target | str,
    out: Path,
    options: RepositoryOptions | None = None,
) -> list[Path]:
    """Write networks into a model repository, each with all of its installed versions.

    Parameters
    ----------
    models_dir : Path
        Holds the model folders.
    names : sequence of str
        Of the networks; empty takes every one that is installed.
    target : Target or str
        Who computes on the server.
    out : Path
        The repository: absent, empty, or written by this function before. Networks of other names in it stay
        as they are; one of the same name is replaced as a whole.
    options : RepositoryOptions, optional

    Returns
    -------
    list of Path
        The networks' folders.

    Raises
    ------
    ModelNotServed
        A name is not installed.
    BundleError
        A bundle is malformed, its versions cannot be served under one name, or the folder is another's or
        cannot be written.
    HandshakeFailed
        A bundle's files do not belong together.
    SettingsError
        The target has not, or a bundle does not allow, the precision.
    """
    chosen, options = Target(target), options or RepositoryOptions()
    networks = [_versions(models_dir / name) for name in installed_names(models_dir, names)]
    texts = [_checked(config_text(bundles, chosen, options)) for bundles in networks]
    try:
        _claim(out)
        return [
            _replace(out, bundles, text, chosen, options)
            for bundles, text in zip(networks, texts, strict=True)
        ]
    except OSError as error:
        raise BundleError(
            f"{out} could not be written ({error}); make room, or choose another folder"
        ) from error


def installed_names(models_dir: Path, names: Sequence[str]) -> list[str]:
    """Return the names asked for, or all; a name is never a path, because it must be one of those here.

    Raises
    ------
    ModelNotServed
        A name is not installed, or nothing is.
    """
    known = sorted(path.parent.name for path in models_dir.glob(f"*/{CONFIG}"))
    for name in names:
        if name not in known:
            raise ModelNotServed(f"no model {name!r} in {models_dir}; there are {', '.join(known) or 'none'}")
    if not known:
        raise ModelNotServed(f"no model folder lies in {models_dir}; name it as infer.models_dir")
    return sorted(set(names)) or known


def _versions(folder: Path) -> list[Bundle]:
    return [load_bundle(folder, version) for version in versions_of(folder)]


def _checked(text: str) -> str:
    """Return the text after reading it as the node reads configurations."""
    parse_config(text)
    return text


def _claim(out: Path) -> None:
    """Make the folder this program's, unless it is somebody else's."""
    if (out / MARK).is_file():
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BundleError(
            f"{out} is not empty and was not written by `groundglass models build`; choose another folder"
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).write_text("Written by `groundglass models build`.\n", encoding="utf-8")


def _stage(out: Path) -> Path:
    """Return where networks are written: on the same file system, and beside the repository where one can.

    A server that loads everything takes each folder of its repository for a network, a hidden one too.
    """
    real = out.resolve()
    if real.parent.stat().st_dev == real.stat().st_dev and os.access(real.parent, os.W_OK):
        return real.parent / f".{real.name}{STAGE}"
    return real / STAGE


def _mend(out: Path, stage: Path) -> None:
    """Put back what a build that was killed had taken away, and remove what it left."""
    for left in {stage, out / STAGE}:
        for former in left.glob(f"*{FORMER}"):
            place = out / former.name.removesuffix(FORMER)
            if not place.exists():
                former.rename(place)
        shutil.rmtree(left, ignore_errors=True)


def _replace(
    out: Path, bundles: Sequence[Bundle], text: str, target: Target, options: RepositoryOptions
) -> Path:
    """Write one network aside, then put it into its place in one step; a failure leaves what was there."""
    folder, stage = out / bundles[0].name, _stage(out)
    _mend(out, stage)
    made, former = stage / folder.name, stage / f"{folder.name}{FORMER}"
    made.mkdir(parents=True)
    try:
        (made / CONFIG).write_text(text, encoding="utf-8")
        classes = bundles[0].spec.outputs.classes
        (made / LABELS).write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")
        for bundle in bundles:
            version = made / str(bundle.version)
            version.mkdir()
            _write_version(version, bundle, target, options)
        if folder.exists():
            folder.rename(former)
        made.rename(folder)
    finally:
        _mend(out, stage)
    return folder


def _write_version(folder: Path, bundle: Bundle, target: Target, options: RepositoryOptions) -> None:
    _copy_verified(bundle, folder / ONNX_FILE)
    if target is Target.CPU:
        source = importlib.resources.files("node.infer.backend").joinpath(BACKEND_FILE)
        (folder / BACKEND_FILE).write_bytes(source.read_bytes())
    elif target is Target.TENSORRT:
        lines = trtexec_arguments(Signature.of(bundle), options.precision)
        (folder / TRTEXEC_ARGUMENTS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        (folder / CHECKSUMS).write_text(f"{bundle.weights_sha256}  {ONNX_FILE}\n", encoding="utf-8")
        if options.precision is Precision.INT8:
            save_tensors(folder / CALIBRATION_TENSORS, calibration_tensors(bundle))


def _copy_verified(bundle: Bundle, place: Path) -> None:
    """Copy the network's file: a link would let a change here reach into the model folder."""
    shutil.copyfile(bundle.onnx, place)
    with place.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != bundle.weights_sha256:
            raise HandshakeFailed(f"{bundle.onnx} changed while it was copied; build again")


def trtexec_arguments(signature: Signature, precision: Precision) -> list[str]:
    """Return how ``trtexec`` makes a plan from the network's file, one argument a line.

    Parameters
    ----------
    signature : Signature
    precision : Precision
        f32 without TF32, f16, or int8 with f16 where a layer has no range.
    """
    shapes = zip(("min", "opt", "max"), profile(signature), strict=True)
    arithmetic = {
        Precision.F32: ["--noTF32"],
        Precision.F16: ["--fp16"],
        Precision.INT8: ["--fp16", "--int8", f"--calib={CALIBRATION_CACHE}"],
    }
    return [
        f"--onnx={ONNX_FILE}",
        f"--saveEngine={PLAN_FILE}.part",
        *(f"--{which}Shapes={shape_text(signature, size)}" for which, size in shapes),
        *arithmetic[precision],
        "--skipInference",
    ]
