"""Which SOP classes and transfer syntaxes are negotiated, as acceptor and as requestor."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache

from pydicom._uid_dict import UID_dictionary
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import

from node.dicom.transcode import possible
from node.dimse.commitment import STORAGE_COMMITMENT
from node.dimse.procedure_steps import INSTANCE_AVAILABILITY, PERFORMED_PROCEDURE_STEP
from node.domain.network import Right

VERIFICATION = str(Verification)
PATIENT_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
"""Patient Root Query/Retrieve Information Model - FIND (PS3.4 section C.6.1.3)."""
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
"""Study Root Query/Retrieve Information Model - FIND (PS3.4 section C.6.2.3)."""
FIND_SOP_CLASSES = frozenset({PATIENT_ROOT_FIND, STUDY_ROOT_FIND})
PATIENT_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.1.2"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
PATIENT_ROOT_GET = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
MOVE_SOP_CLASSES = frozenset({PATIENT_ROOT_MOVE, STUDY_ROOT_MOVE})
GET_SOP_CLASSES = frozenset({PATIENT_ROOT_GET, STUDY_ROOT_GET})

REMEMBERED_CONTEXTS = 1024
"""Contexts that are kept once built; an association has 128 at most, and no peer says how large one is."""
MAX_CONTEXTS = 128
"""Presentation context IDs are odd and fit one byte (PS3.8 table 9-13)."""
KINDS_PER_ASSOCIATION = MAX_CONTEXTS // 2
"""A pair of SOP class and transfer syntax takes up to two contexts, see `proposed_contexts`."""

PRIVATE_STORAGE = {
    "SiemensCSANonImageStorage": "1.3.12.2.1107.5.9.1",
}
"""Storage SOP classes of manufacturers that come along with CT studies."""

WITHOUT_OBJECT = frozenset(
    {
        "1.2.840.10008.1.2.4.94",  # JPIP Referenced: the pixels stay with the sender
        "1.2.840.10008.1.2.4.95",
        "1.2.840.10008.1.2.4.204",
        "1.2.840.10008.1.2.4.205",
        "1.2.840.10008.1.2.7.1",  # SMPTE ST 2110: real-time video, not stored objects
        "1.2.840.10008.1.2.7.2",
        "1.2.840.10008.1.2.7.3",
    }
)
"""Transfer syntaxes that do not carry a whole object; never accepted."""

PREFERRED = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEG2000Lossless,
    RLELossless,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
)
"""Taken first when one context proposes several: lossless ones, and explicit VR because it
keeps the VR of private attributes."""

TRANSFER_SYNTAXES = tuple(
    dict.fromkeys(
        (*map(str, PREFERRED), *(str(uid) for uid in ALL_TRANSFER_SYNTAXES if uid not in WITHOUT_OBJECT))
    )
)
"""Every transfer syntax that is accepted, in the order of preference."""

CONVERTIBLE = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
"""The syntaxes without a codec that every object is offered in, too, when it is sent."""


def retired_storage() -> dict[str, str]:
    """Return keyword to UID of the retired storage SOP classes (PS3.6 table A-1); old archives hold them."""
    return {
        keyword: uid
        for uid, (name, kind, _info, retired, keyword) in UID_dictionary.items()
        if kind == "SOP Class"
        and retired
        and uid.startswith("1.2.840.10008.5.1.4.1.1.")
        and "Storage" in name
        and keyword.isidentifier()
    }


STORAGE_SOP_CLASSES = frozenset(
    {
        *(str(context.abstract_syntax) for context in AllStoragePresentationContexts),
        *retired_storage().values(),
        *PRIVATE_STORAGE.values(),
    }
)
"""Every storage SOP class that is accepted."""


def supported_contexts(
    proposed: Iterable[PresentationContext],
    rights: Collection[Right],
    *,
    commitment: PresentationContext | None = None,
    queries: bool = False,
    retrievals: bool = False,
    announcements: bool = False,
    storing: Collection[str] = (),
) -> list[PresentationContext]:
    """Return the contexts to support on one association.

    Only what the peer proposed is built: the library checks every UID of a context anew, and an acceptor's
    full table has some two hundred SOP classes with forty transfer syntaxes each.

    Parameters
    ----------
    proposed : iterable of PresentationContext
        The peer's presentation context definition list.
    rights : collection of Right
        What the peer may do here; the rest is answered "abstract syntax not supported" (PS3.8 table 9-18).
    commitment : PresentationContext, optional
        That of storage commitment, where it takes place; see `commitment_context`.
    queries : bool
        Whether queries are answered here.
    retrievals : bool
        Whether stored objects are sent from here.
    announcements : bool
        Whether procedure steps and notifications of availability are taken here.
    storing : collection of str
        SOP classes for which the peer proposes that it takes objects on this association, as C-GET needs it
        (PS3.7 D.3.3.4, PS3.4 C.4.3).
    """
    retrieves = retrievals and Right.RETRIEVE in rights
    plain = {
        *([VERIFICATION] if Right.ECHO in rights else []),
        *(FIND_SOP_CLASSES if queries and Right.QUERY in rights else []),
        *(GET_SOP_CLASSES | MOVE_SOP_CLASSES if retrieves else []),
        *([PERFORMED_PROCEDURE_STEP] if announcements and Right.PROCEDURE_STEPS in rights else []),
        *([INSTANCE_AVAILABILITY] if announcements and Right.AVAILABILITY in rights else []),
    }
    supported: dict[str, PresentationContext] = {}
    syntaxes: dict[str, set[str]] = {}
    for context in proposed:
        syntaxes.setdefault(str(context.abstract_syntax), set()).update(map(str, context.transfer_syntax))
    stores, takes = Right.STORE in rights, frozenset(storing if retrieves else ())
    for uid, offered in syntaxes.items():
        if uid in plain:
            supported[uid] = _context(uid, frozenset(CONVERTIBLE))
        elif uid in STORAGE_SOP_CLASSES and (stores or uid in takes):
            known = frozenset(offered).intersection(TRANSFER_SYNTAXES)
            supported[uid] = _context(uid, known, (stores, True) if uid in takes else None)
        elif uid == STORAGE_COMMITMENT and commitment is not None:
            supported[uid] = commitment
    return list(supported.values())


@lru_cache(REMEMBERED_CONTEXTS)
def _context(
    uid: str, offered: frozenset[str], roles: tuple[bool, bool] | None = None
) -> PresentationContext:
    """Return a context to support, which nobody may change: peers propose the same ones again and again.

    Parameters
    ----------
    uid : str
        SOP class.
    offered : frozenset of str
        Transfer syntaxes; those that are known here are supported, in the order of preference.
    roles : tuple of (bool, bool), optional
        Whether the requestor may be SCU, and SCP.
    """
    context = build_context(uid, [known for known in TRANSFER_SYNTAXES if known in offered])
    if roles is not None:
        context.scu_role, context.scp_role = roles
    return context


def commitment_context(
    rights: Collection[Right], *, provides: bool, takes_reports: bool, reports: bool
) -> PresentationContext | None:
    """Return the presentation context of storage commitment for one association, or None.

    A peer that is to report on an association of its own must be the SCP there, and says so by role selection
    (PS3.7 D.3.3.4): without it a requestor is the SCU.

    Parameters
    ----------
    rights : collection of Right
        What the peer may do here.
    provides : bool
        Whether this side commits itself to keep objects.
    takes_reports : bool
        Whether this side has asked peers for commitment.
    reports : bool
        Whether the peer proposes the SCP role for itself.
    """
    if Right.COMMITMENT not in rights:
        return None
    takes = takes_reports and reports
    if not takes and not provides:
        return None
    context = build_context(STORAGE_COMMITMENT, list(CONVERTIBLE))
    if takes:
        context.scu_role, context.scp_role = provides, True  # roles of the requestor
    return context


@dataclass(frozen=True, kw_only=True, order=True)
class Syntaxes:
    """What one object needs negotiated."""

    sop_class_uid: str
    transfer_syntax_uid: str


def proposed_contexts(needed: Iterable[Syntaxes], *, as_stored: bool = True) -> list[PresentationContext]:
    """Return the contexts to propose for objects to be sent.

    One context for each pair of SOP class and transfer syntax, so that every object can go as it lies, and
    one for its SOP class without compression, where the peer has the choice between explicit and implicit VR:
    Implicit VR Little Endian is the default transfer syntax, which every peer must take (PS3.5 section 10.1).

    Parameters
    ----------
    needed : iterable of Syntaxes
    as_stored : bool
        Whether an uncompressed object has a context of its own, too. Move destinations get but the choice:
        some of them (gdcmscu) take two contexts without compression for one.

    Raises
    ------
    ValueError
        When more than 128 contexts would be needed; split the objects with `batches`.
    """
    unique: dict[tuple[str, ...], PresentationContext] = {}
    for item in sorted(set(needed)):
        stored = item.transfer_syntax_uid
        choices = [[stored]] if as_stored or stored not in CONVERTIBLE else []
        if possible(stored, CONVERTIBLE[0]):
            choices.append(sorted(CONVERTIBLE, key=lambda uid: uid != stored))
        for syntaxes in choices:
            unique.setdefault(
                (item.sop_class_uid, *syntaxes), build_context(item.sop_class_uid, list(syntaxes))
            )
    if len(unique) > MAX_CONTEXTS:
        raise ValueError(
            f"{len(unique)} presentation contexts are needed, {MAX_CONTEXTS} are possible: send fewer kinds"
        )
    return list(unique.values())
