"""Write the references of all tables into a folder; run by ``tests.parity`` where TensorFlow is."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import tensorflow

from tests.parity.reference.augmentation import write_augmentation
from tests.parity.reference.networks import write_networks
from tests.parity.reference.optimisers import write_optimisers


def main(folder: Path) -> None:
    """Write ``networks.json``, ``augmentation.*``, ``optimisers.json`` and the networks' files."""
    folder.mkdir(parents=True, exist_ok=True)
    packages = ("tensorflow-cpu", "keras", "keras-preprocessing", "scipy", "numpy", "h5py")
    used = {name: version(name) for name in packages}
    tensorflow.get_logger().setLevel("ERROR")  # it warns of the old layout, which is wanted here
    write_augmentation(folder, used)
    write_optimisers(folder, used)
    write_networks(folder, used)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
