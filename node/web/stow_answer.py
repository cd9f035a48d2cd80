"""What a request to store is answered with (PS3.18 section 10.5.3 and annex I.2)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from xml.etree import ElementTree

from node.web.storing import Outcome, Stored

JSON: Final = "application/dicom+json"
PLAIN_JSON: Final = "application/json"
XML: Final = "application/dicom+xml"
PLAIN_XML: Final = "application/xml"
ANSWER_TYPES: Final = (JSON, XML, PLAIN_JSON, PLAIN_XML)
"""In the order of preference; the plain ones for clients that know no others."""
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))
XML_NAMESPACE: Final = "http://dicom.nema.org/PS3.19/models/NativeDICOM"


@dataclass(frozen=True, kw_only=True)
class _Attribute:
    """One attribute of the answer: a text, a number or a sequence."""

    tag: str
    vr: str
    keyword: str
    value: str | int | Sequence[_Item]


_Item = Sequence[_Attribute]


def status_of(stored: Stored) -> HTTPStatus:
    """Return the status that tells what became of a request (PS3.18 table 10.5.3-1)."""
    if stored.refusal is not None:
        return stored.refusal.status
    failed = sum(item.failure is not None for item in stored.outcomes)
    if failed == 0:
        return HTTPStatus.OK
    return HTTPStatus.CONFLICT if failed == len(stored.outcomes) else HTTPStatus.ACCEPTED


def response_module(stored: Stored, base: str) -> _Item:
    """Return the attributes of the answer: the Store Instances Response Module.

    Parameters
    ----------
    stored : Stored
    base : str
        URL of the service.
    """
    taken = [item for item in stored.outcomes if item.failure is None]
    failed = [item for item in stored.outcomes if item.failure is not None and item.sop_instance_uid]
    others = [item for item in stored.outcomes if item.failure is not None and not item.sop_instance_uid]
    studies = {_study_url(item, base) for item in taken}
    module = [_retrieve_url(studies.pop() if len(studies) == 1 else "")]
    if failed:
        items = [(*_reference(item), _reason(item)) for item in failed]
        module.append(_sequence("00081198", "FailedSOPSequence", items))
    if taken:
        items = [(*_reference(item), _retrieve_url(_instance_url(item, base))) for item in taken]
        module.append(_sequence("00081199", "ReferencedSOPSequence", items))
    if others:
        module.append(_sequence("0008119A", "OtherFailuresSequence", [(_reason(item),) for item in others]))
    return module


def rendering(media_type: str) -> Callable[[_Item], bytes]:
    """Return what writes an answer in one of `ANSWER_TYPES`."""
    return _xml if media_type in {XML, PLAIN_XML} else _json


def _json(module: _Item) -> bytes:
    """Write the DICOM JSON Model Object (PS3.18 annex F)."""
    return _ENCODER.encode(_json_object(module)).encode("ascii")


def _json_object(item: _Item) -> dict[str, object]:
    return {attribute.tag: {"vr": attribute.vr, **_json_value(attribute)} for attribute in item}


def _json_value(attribute: _Attribute) -> dict[str, object]:
    if isinstance(attribute.value, str | int):
        return {"Value": [attribute.value]} if attribute.value != "" else {}
    return {"Value": [_json_object(item) for item in attribute.value]}


def _xml(module: _Item) -> bytes:
    """Write the Native DICOM Model (PS3.19 section A.1)."""
    root = ElementTree.Element("NativeDicomModel", {"xmlns": XML_NAMESPACE})
    _add_attributes(root, module)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _add_attributes(parent: ElementTree.Element, item: _Item) -> None:
    for attribute in item:
        element = ElementTree.SubElement(
            parent,
            "DicomAttribute",
            {"tag": attribute.tag, "vr": attribute.vr, "keyword": attribute.keyword},
        )
        if isinstance(attribute.value, str | int):
            if attribute.value != "":
                ElementTree.SubElement(element, "Value", {"number": "1"}).text = str(attribute.value)
            continue
        for number, inner in enumerate(attribute.value, start=1):
            _add_attributes(ElementTree.SubElement(element, "Item", {"number": str(number)}), inner)


def _sequence(tag: str, keyword: str, items: Sequence[_Item]) -> _Attribute:
    return _Attribute(tag=tag, vr="SQ", keyword=keyword, value=items)


def _reference(item: Outcome) -> _Item:
    return (
        _Attribute(tag="00081150", vr="UI", keyword="ReferencedSOPClassUID", value=item.sop_class_uid),
        _Attribute(tag="00081155", vr="UI", keyword="ReferencedSOPInstanceUID", value=item.sop_instance_uid),
    )


def _reason(item: Outcome) -> _Attribute:
    return _Attribute(tag="00081197", vr="US", keyword="FailureReason", value=item.failure or 0)


def _retrieve_url(url: str) -> _Attribute:
    return _Attribute(tag="00081190", vr="UR", keyword="RetrieveURL", value=url)


def _study_url(item: Outcome, base: str) -> str:
    return f"{base}/studies/{item.place.study_instance_uid}" if item.place is not None else ""


def _instance_url(item: Outcome, base: str) -> str:
    if item.place is None:
        return ""
    series = f"{_study_url(item, base)}/series/{item.place.series_instance_uid}"
    return f"{series}/instances/{item.sop_instance_uid}"
