"""The few ports of the node. What is cheap and real (SQLite) has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO, Generic, Protocol, TypeVar

from node.domain.delivery import OutgoingObject, ProofReply, SendReply
from node.domain.model import ModelIdentity

Tensor = TypeVar("Tensor")
Tensor_co = TypeVar("Tensor_co", covariant=True)


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """Return the time of day, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start, never going back; for durations."""
        ...


class UidSource(Protocol):
    """Where identifiers that must be new come from. Result objects never use it: theirs are derived."""

    def uid(self) -> str:
        """Return a new DICOM UID under the 2.25 root (PS3.5 B.2)."""
        ...

    def token(self) -> str:
        """Return a new short random name (hexadecimal), for temporary files and worker names."""
        ...


class Pending(Protocol, Generic[Tensor_co]):
    """A batch that the engine works on."""

    def result(self) -> tuple[Tensor_co, Tensor_co]:
        """Wait for the answer and return it, as ``Scorer.score`` does.

        Raises
        ------
        EngineUnavailable, ScoresInvalid
        """
        ...


class Scorer(Protocol, Generic[Tensor]):
    """An inference engine with one loaded model.

    ``Tensor`` is the engine's array type (numpy arrays in this node); the domain does not name it.
    """

    @property
    def identity(self) -> ModelIdentity:
        """Return which model, weights, engine and precision answer."""
        ...

    @property
    def in_flight(self) -> int:
        """Return how many batches it works on at once; a further ``submit`` waits."""
        ...

    def submit(self, batch: Tensor) -> Pending[Tensor]:
        """Hand a batch to the engine and go on; its answer is asked for later.

        Parameters
        ----------
        batch : float32 array, shape (slices, channels, rows, columns)
            Not changed by the caller before the answer is there.

        Raises
        ------
        EngineUnavailable
        """
        ...

    def score(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Score a batch and wait for its answer.

        Parameters
        ----------
        batch : float32 array, shape (slices, channels, rows, columns)

        Returns
        -------
        probabilities : float32 array, shape (slices, classes)
            In the class order of the input specification.
        cam : float32 array, shape (slices, grid rows, grid columns)
            Grad-CAM of the positive class, not negative, not normalised.

        Raises
        ------
        EngineUnavailable
        """
        ...

    def rest(self) -> None:
        """Let go of memory that only a batch needs, for none comes soon; the engine stays ready."""
        ...

    def close(self) -> None:
        """Release the engine."""
        ...


class Sender(Protocol):
    """One destination that takes result objects."""

    @property
    def name(self) -> str:
        """Return the destination's name in the settings."""
        ...

    def send(
        self, objects: Sequence[OutgoingObject], *, may_leave: Callable[[OutgoingObject], bool]
    ) -> list[SendReply]:
        """Send objects; one reply, in order, for each that was sent or tried.

        A reply whose ``proof`` is not empty ends the delivery; after any other success the destination is
        asked by ``prove``.

        Parameters
        ----------
        objects : sequence of OutgoingObject
        may_leave : callable
            Asked right before each object: a stop or a hold may have come. What may not leave is left out.

        Raises
        ------
        DestinationUnavailable
            Before any object was sent.
        """
        ...

    def prove(
        self, objects: Sequence[OutgoingObject], *, transaction_uid: str, asked: int
    ) -> list[ProofReply]:
        """Ask whether the destination has what it accepted; one reply, in order, for each object.

        Parameters
        ----------
        objects : sequence of OutgoingObject
        transaction_uid : str
            New, and stored before this call: a destination may answer under it at any later time.
        asked : int
            How often these were asked about before without an answer. Who knows several ways may take the
            next one.

        Raises
        ------
        DestinationUnavailable
            Nothing could be asked.
        """
        ...

    def echo(self) -> None:
        """Verify that the destination answers (C-ECHO, or what its transport has instead).

        Raises
        ------
        DeliveryError
        """
        ...


class ObjectPlaces(Protocol):
    """Knows the files of objects."""

    def path(self, key: str, size: int | None = None) -> Path:
        """Return the file of an object (PS3.10 file).

        Parameters
        ----------
        key : str
        size : int, optional
            Bytes that it must have.

        Raises
        ------
        ObjectMissing, ObjectDamaged
        """
        ...


class ObjectFiles(ObjectPlaces, Protocol):
    """Where the bytes of objects lie: a local disk, later an object store."""

    def spool(self) -> AbstractContextManager[Spooled]:
        """Open a new temporary object; leaving the context without ``commit`` removes it."""
        ...

    def scratch(self) -> AbstractContextManager[RawIOBase]:
        """Lend a file without a name, which is gone when the context is left.

        Raises
        ------
        StoreError
        """
        ...

    def delete(self, key: str) -> None:
        """Remove an object that no row names any more."""
        ...


class Spooled(Protocol):
    """An object on its way into the store."""

    @property
    def stream(self) -> BinaryIO:
        """Return the file to write to."""
        ...

    def written(self) -> AbstractContextManager[BinaryIO]:
        """Return a stream of what was written; nothing more can be written then."""
        ...

    def commit(self) -> StoredFile:
        """Make the bytes durable under their final name: file synced, renamed, directory synced.

        Raises
        ------
        OutOfSpace, StoreError
        """
        ...


class StoredFile(Protocol):
    """What a committed object became."""

    @property
    def key(self) -> str:
        """Return the name in the store, made of the content's digest."""
        ...

    @property
    def sha256(self) -> str:
        """Return the digest of the bytes, hexadecimal."""
        ...

    @property
    def size(self) -> int:
        """Return the number of bytes."""
        ...
