"""What the development server runs from: a Python environment of its own, or a server installed here."""

from __future__ import annotations

import hashlib
import importlib.resources
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from node.domain.errors import SettingsError

PINS = "triton-constraints.txt"
STAMP = "installed-pins.sha256"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
STUB = "triton_python_backend_stub"
TAIL_CHARACTERS = 2000


class Installation(Protocol):
    """Where a server's parts lie."""

    @property
    def server(self) -> Path:
        """Folder of the server; its program is ``bin/tritonserver``."""
        ...

    def install(self) -> None:
        """Make sure that it is there.

        Raises
        ------
        SettingsError
        """
        ...

    def write_backends(self, folder: Path) -> None:
        """Write the folder of backends: links to those that it has."""
        ...

    def variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the environment variables that the server runs with."""
        ...


@dataclass(frozen=True, kw_only=True)
class InstalledServer:
    """A server that somebody installed on this machine, as in the vendor's container.

    Implements ``Installation``.

    Parameters
    ----------
    server : Path
        Its folder, for example ``/opt/tritonserver``.
    """

    server: Path

    def install(self) -> None:
        """Make sure that it is there.

        Raises
        ------
        SettingsError
        """
        if not (self.server / "bin" / "tritonserver").is_file():
            raise SettingsError(f"{self.server}: holds no bin/tritonserver; name the folder of the server")

    def write_backends(self, folder: Path) -> None:
        """Write the folder of backends: a link to each that it has."""
        folder.mkdir(parents=True, exist_ok=True)
        for source in (self.server / "backends").iterdir():
            link = folder / source.name
            link.unlink(missing_ok=True)
            link.symlink_to(source.resolve())

    def variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return this program's own variables but for Python's, which the server's stubs must not follow."""
        return {key: value for key, value in environ.items() if not key.startswith("PYTHON")}


@dataclass(frozen=True, kw_only=True)
class ServerEnvironment:
    """A virtual environment of the server's own: its python backend needs another numpy than the node.

    Implements ``Installation``.
    """

    folder: Path

    @property
    def binaries(self) -> Path:
        """Folder of its programs."""
        return self.folder / "bin"

    @property
    def packages(self) -> Path:
        """Folder of its Python packages."""
        return self.folder / "lib" / f"python{PYTHON}" / "site-packages"

    @property
    def server(self) -> Path:
        """Folder of the server."""
        return self.packages / "pytriton" / "tritonserver"

    @property
    def is_complete(self) -> bool:
        """Whether it holds what this version of the program pins."""
        stamp = self.folder / STAMP
        return stamp.is_file() and stamp.read_text(encoding="ascii").strip() == _pins_digest()

    def install(self) -> None:
        """Make the environment, or bring it to the pins, unless it is complete.

        Raises
        ------
        SettingsError
            The packages cannot be had, or there is no server for this Python or machine.
        """
        if self.is_complete:
            return
        (self.folder / STAMP).unlink(missing_ok=True)
        venv.create(self.folder, with_pip=True, symlinks=True)
        with importlib.resources.as_file(_pins()) as pins:
            self._pip("install", "--no-deps", "--requirement", str(pins))
        if not (self.server / "bin" / "tritonserver").is_file() or not self._stub.is_file():
            raise SettingsError(f"{self.folder}: holds no server for Python {PYTHON}; use another Python")
        (self.folder / STAMP).write_text(_pins_digest() + "\n", encoding="ascii")

    def write_backends(self, folder: Path) -> None:
        """Write the folder of backends: links to the python backend and to the stub of this Python."""
        target = folder / "python"
        target.mkdir(parents=True, exist_ok=True)
        sources = [*(self.server / "backends" / "python").glob("*triton*"), self._stub]
        for source in sources:
            link = target / source.name
            link.unlink(missing_ok=True)
            link.symlink_to(source.resolve())

    def variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the environment variables that the server runs with."""
        libraries = [str(self.packages / "nvidia_pytriton.libs"), str(sysconfig.get_config_var("LIBDIR"))]
        path = os.pathsep.join([str(self.binaries.resolve()), environ.get("PATH", os.defpath)])
        kept = {key: value for key, value in environ.items() if not key.startswith("PYTHON")}
        return {**kept, "PATH": path, "LD_LIBRARY_PATH": os.pathsep.join(libraries)}

    @property
    def _stub(self) -> Path:
        return self.server / "python_backend_stubs" / PYTHON / STUB

    def _pip(self, *arguments: str) -> None:
        program = [str(self.binaries / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*program, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SettingsError(
                f"{self.folder}: the server's packages cannot be installed: {done.stderr[-TAIL_CHARACTERS:]}"
            )


def _pins() -> importlib.resources.abc.Traversable:
    return importlib.resources.files("node.infer") / PINS


def _pins_digest() -> str:
    return hashlib.sha256(_pins().read_bytes()).hexdigest()
