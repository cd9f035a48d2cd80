"""The tables of the DICOM conformance statement, from the code that negotiates, answers and encodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydicom.sr.coding import Code
from pydicom.uid import UID

from node.cli.dicom_announced import announced_services, announced_tables
from node.cli.dicom_objects import object_tables
from node.cli.dicom_query import query_services, query_tables
from node.cli.dicom_web import web_tables
from node.decide.radiographs import RADIOGRAPH_SOP_CLASSES
from node.decide.series_facts import CT_SOP_CLASSES
from node.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.dicom.text import G1_OF_TERM, STAND_ALONE
from node.dicom.transfer_syntaxes import DECODERS, DEEPEST, ENCODERS, NATIVE, UNCOMPRESSED
from node.dimse.admission import Rejection
from node.dimse.commitment import (
    FAILURE_TEXTS,
    CommitmentStatus,
    FailureReason,
)
from node.dimse.contexts import PRIVATE_STORAGE, STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES
from node.dimse.entity import Timeouts, application_entity
from node.dimse.status import MEANINGS, Status
from node.domain.result import ResultKind
from node.report import codes
from node.report.identity import MAX_HEATMAPS, SERIES_NUMBERS, SOP_CLASSES
from node.report.inherited import INHERITED, REQUEST_ITEM, SCANNER

VERIFICATION = "1.2.840.10008.1.1"  # PS3.4 A.4
LEGEND = """\
In the tables of attributes, `>` stands before those of an item. Attributes that are taken over from the
source images as they are have a table of their own. Presence: ALWAYS with a value; VNAP, the value not
always present; ANAP, the attribute not always present; EMPTY, never a value. Source: COPY from the source
images; CONFIG, of the settings; AUTO, made by the node."""
INTRODUCTION = """\
These tables belong to the [conformance statement](../conformance.md). They are written from the tables by
which the node negotiates, answers and encodes, so they cannot differ from it."""
ANSWERS = {
    Status.SUCCESS: "Success: bytes and index row are durable.",
    Status.OUT_OF_RESOURCES: "Out of resources: disk or index refused, or the object is over the size limit.",
    Status.MISMATCH: "Data set does not match SOP class: request, context and data set do not agree.",
    Status.CANNOT_UNDERSTAND: "Cannot understand: not DICOM, truncated, or an identifying UID is missing.",
}
REJECTIONS = {
    Rejection.CALLING_AE_TITLE: "The calling AE title is not a listed peer, or not at this address.",
    Rejection.CALLED_AE_TITLE: "The called AE title is not the node's.",
    Rejection.CONGESTION: "The association cannot be recorded in the index.",
    Rejection.LIMIT: "`max_associations` are open.",
}
REPORT_ANSWERS = {
    CommitmentStatus.SUCCESS: "The report is recorded.",
    CommitmentStatus.PROCESSING_FAILURE: "It cannot be recorded now.",
    CommitmentStatus.NO_SUCH_INSTANCE: "Not the well-known SOP instance.",
    CommitmentStatus.NO_SUCH_EVENT_TYPE: "No event type of storage commitment.",
    CommitmentStatus.INVALID_ARGUMENT: "Malformed, or this peer was asked for no such transaction.",
    CommitmentStatus.NO_SUCH_SOP_CLASS: "Not the SOP class of the presentation context.",
    CommitmentStatus.RESOURCE_LIMITATION: "The list is too long.",
}
"""Statuses of N-EVENT-REPORT responses (PS3.7 10.1.1.1.8)."""
NEWER_NAMES = {  # PS3.6 table A-1, of editions after the one in the UID dictionary of pydicom 3.0
    "1.2.840.10008.5.1.4.1.1.9.100.1": "Waveform Presentation State Storage",
    "1.2.840.10008.5.1.4.1.1.9.100.2": "Waveform Acquisition Presentation State Storage",
    "1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.66.8": "Height Map Segmentation Storage",
}
INSTANCE_NUMBERS = {
    ResultKind.HEATMAP: f"version x {MAX_HEATMAPS + 1} + rank",
    ResultKind.REJECTION: "the version that is withdrawn",
}


def dicom_reference() -> str:
    """Return the tables, Markdown without the line that marks it as written."""
    return "\n".join(
        [
            "# DICOM tables",
            "",
            INTRODUCTION,
            "",
            LEGEND,
            *_services(),
            *_identification(),
            *_sop_classes(),
            *_transfer_syntaxes(),
            *_statuses(),
            *(
                line
                for title, columns, rows in (*announced_tables(), *query_tables(), *web_tables())
                for line in _table(title, columns, rows)
            ),
            *_character_sets(),
            *_results(),
            *_private_codes(),
            *(line for title, columns, rows in object_tables() for line in _table(title, columns, rows)),
        ]
    )


def _table(title: str, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Iterator[str]:
    yield from ("", f"## {title}", "")
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |"


def _services() -> Iterator[str]:
    results = {UID(uid).name for uid in SOP_CLASSES.values()}
    by_the_node = f"results: {', '.join(sorted(results))}; any by `groundglass send`"
    yield from _table(
        "Services",
        ("service", "SOP class UID", "SCU", "SCP"),
        (
            ("Verification", f"`{VERIFICATION}`", "yes", "yes"),
            ("Storage", "below", by_the_node, f"{len(STORAGE_SOP_CLASSES)} SOP classes"),
            *announced_services(),
            *query_services(),
        ),
    )


def _identification() -> Iterator[str]:
    entity = application_entity("ANY", timeouts=Timeouts())
    yield from _table(
        "Implementation identification",
        ("where", "Implementation Class UID", "Implementation Version Name"),
        (
            (
                "in association negotiation (PS3.7 D.3.3.2)",
                f"`{entity.implementation_class_uid}`",
                f"`{entity.implementation_version_name}`",
            ),
            (
                "in File Meta Information (PS3.10 7.1)",
                f"`{IMPLEMENTATION_CLASS_UID}`",
                f"`{IMPLEMENTATION_VERSION_NAME}`",
            ),
        ),
    )


def _sop_classes() -> Iterator[str]:
    private = {uid: keyword for keyword, uid in PRIVATE_STORAGE.items()}

    def row(uid: str) -> tuple[str, str, str]:
        notes = [
            *(["screened"] if uid in CT_SOP_CLASSES else []),
            *(["screened where a model for it is installed"] if uid in RADIOGRAPH_SOP_CLASSES else []),
            *(["made and sent"] if uid in SOP_CLASSES.values() else []),
            *(["of a manufacturer"] if uid in private else []),
            *(["retired"] if UID(uid).is_retired else []),
        ]
        return private.get(uid) or NEWER_NAMES.get(uid) or UID(uid).name, f"`{uid}`", ", ".join(notes)

    yield from _table(
        f"Storage SOP classes accepted ({len(STORAGE_SOP_CLASSES)})",
        ("SOP class", "UID", ""),
        (row(uid) for uid in sorted(STORAGE_SOP_CLASSES, key=_numbers)),
    )


def _transfer_syntaxes() -> Iterator[str]:
    def row(uid: str) -> tuple[str, str, str, str]:
        decoded = "yes" if uid in NATIVE or uid in DECODERS else "no, kept as received"
        if uid in DEEPEST:
            decoded = f"yes, samples of {DEEPEST[uid]} bits"
        given = "from every other one that is decoded" if uid in UNCOMPRESSED else "as stored"
        if uid in ENCODERS:
            given = "from every other one that is decoded and without loss"
        return UID(uid).name, f"`{uid}`", decoded, given

    yield from _table(
        f"Transfer syntaxes accepted, in the order of preference ({len(TRANSFER_SYNTAXES)})",
        ("transfer syntax", "UID", "pixels decoded", "given on retrieval"),
        (row(uid) for uid in TRANSFER_SYNTAXES),
    )


def _statuses() -> Iterator[str]:
    yield from _table(
        "C-STORE statuses that the node answers with",
        ("status", "meaning"),
        ((f"{status:04X}H", ANSWERS[status]) for status in Status),
    )
    yield from _table(
        "C-STORE statuses of a destination, and what the node does",
        ("status", "meaning", "delivery"),
        (
            (_range(item.value, item.mask), item.text, _consequence(item.delivered, item.retryable))
            for item in MEANINGS
        ),
    )
    yield from _table(
        "N-EVENT-REPORT statuses that the node answers with",
        ("status", "meaning"),
        ((f"{status:04X}H", meaning) for status, meaning in REPORT_ANSWERS.items()),
    )
    yield from _table(
        "Failure reasons of a storage commitment, and what the node does",
        ("reason", "meaning", "delivery"),
        (
            (
                f"{reason:04X}H",
                FAILURE_TEXTS[reason],
                "sent again" if reason is FailureReason.NO_SUCH_INSTANCE else "asked about again later",
            )
            for reason in FailureReason
        ),
    )
    yield from _table(
        "Associations rejected (PS3.8 table 9-21)",
        ("result, source, reason", "when"),
        ((", ".join(map(str, rejection.value)), REJECTIONS[rejection]) for rejection in Rejection),
    )


def _range(value: int, mask: int) -> str:
    """Return status codes as the standard writes them, with x for a digit that is free."""
    if mask == 0:
        return "any other"
    digits = zip(f"{value:04X}", f"{mask:04X}", strict=True)
    return "".join(digit if fixed == "F" else "x" for digit, fixed in digits) + "H"


def _consequence(delivered: bool, retryable: bool) -> str:
    if delivered:
        return "sent; its proof is asked for"
    return "tried again" if retryable else "refused; waits for an operator"


def _character_sets() -> Iterator[str]:
    terms = [*STAND_ALONE, *G1_OF_TERM]
    yield from _table(
        "Character sets read (PS3.3 C.12.1.1.2)",
        ("defined term", "also with code extensions"),
        ((f"`{term}`", "no" if term in STAND_ALONE else "yes") for term in sorted(terms)),
    )


def _results() -> Iterator[str]:
    yield from _table(
        "Result objects",
        ("object", "SOP class", "SeriesNumber", "InstanceNumber"),
        (
            (
                kind.value,
                UID(SOP_CLASSES[kind]).name,
                number,
                INSTANCE_NUMBERS.get(kind, "version, from 1"),
            )
            for kind, number in SERIES_NUMBERS.items()
        ),
    )
    yield from _table(
        "Attributes taken over from the source images, where they have a valid value",
        ("attributes", "keywords"),
        (
            ("patient and study", ", ".join(INHERITED)),
            ("items of ReferencedRequestSequence", ", ".join(REQUEST_ITEM)),
            ("contributing equipment: the scanner", ", ".join(SCANNER)),
        ),
    )


def _private_codes() -> Iterator[str]:
    found = [*vars(codes).values()]
    for value in [item for item in found if isinstance(item, dict)]:
        found += value.values()
    private = {
        item.value: item.meaning
        for item in found
        if isinstance(item, Code) and item.scheme_designator == codes.PRIVATE_SCHEME
    }
    yield from _table(
        f"Private codes, scheme {codes.PRIVATE_SCHEME} version {codes.PRIVATE_SCHEME_VERSION}",
        ("code value", "meaning"),
        ((f"`{value}`", private[value]) for value in sorted(private)),
    )


def _numbers(uid: str) -> tuple[int, ...]:
    """Return a UID as numbers, so that 1.10 comes after 1.9."""
    return tuple(map(int, uid.split(".")))
