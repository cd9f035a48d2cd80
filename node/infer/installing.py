"""Installing an exported model folder as one more version: verified first, there as a whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from node.domain.errors import BundleError
from node.infer.bundle import CARD, CONFIG, SPEC, Bundle, files_of, load_bundle, versions_of

LICENSE = "LICENSE"


def install(folder: Path, models_dir: Path, token: str) -> Bundle:
    """Copy the version that a model folder describes beside the installed ones.

    The copy is verified before it gets its place by one renaming, so that a node that runs never sees half of
    it. The version becomes active only by a promotion, or when it is the first of its name.

    Parameters
    ----------
    folder : Path
        As exported: named by its model, with ``config.pbtxt`` and one version folder.
    models_dir : Path
    token : str
        Names the folder in which the copy is made.

    Returns
    -------
    Bundle
        The installed version.

    Raises
    ------
    ModelError
        The folder is not whole, the version is installed already, or reads other images than the others.
    """
    source = load_bundle(folder)
    target = models_dir / source.name
    if target.is_dir():
        _refuse_strangers(source, target)
    making = models_dir / f".{token}"
    try:
        made = making / source.name
        _copy(source, made)
        load_bundle(made)
        if target.is_dir():
            version = str(source.version)
            for name in (CONFIG, SPEC, CARD, LICENSE):
                if (made / name).is_file():
                    (made / name).rename(made / version / name)
            (made / version).rename(target / version)
            _sync(target)
        else:
            made.rename(target)
        _sync(models_dir)
    except OSError as error:
        raise BundleError(f"{folder} cannot be installed into {models_dir}: {error}") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return load_bundle(target, source.version)


def _refuse_strangers(source: Bundle, target: Path) -> None:
    """Refuse a version that is there, or that is no version of what is there."""
    if source.version in versions_of(target) or (target / str(source.version)).exists():
        raise BundleError(
            f"{source.name} version {source.version} is installed already; a change of weights needs a new "
            "version, a change of input a new name"
        )
    own = load_bundle(target)
    if own.spec.modality is not source.spec.modality or own.spec.input != source.spec.input:
        raise BundleError(
            f"{source.name} version {source.version} takes another input than version {own.version}; "
            "a change of input needs a new name"
        )


def _copy(source: Bundle, made: Path) -> None:
    """Copy one version's files, durable."""
    weights = made / str(source.version)
    weights.mkdir(parents=True)
    texts = [source.card, source.folder / LICENSE]
    for path in (*files_of(source), *(item for item in texts if item.is_file())):
        copy = (weights if path.parent == source.onnx.parent else made) / path.name
        shutil.copyfile(path, copy)
        _sync(copy)
    _sync(weights)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
