"""Which media type and transfer syntax a client is given (PS3.18 section 8.7)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.dicom.transcode import possible
from node.dicom.transfer_syntaxes import DECODERS, EXPLICIT_LITTLE_ENDIAN, NATIVE, TARGETS
from node.web.bulkdata import place_of
from node.web.errors import BadRequest
from node.web.frames import MOST_FRAMES, frame_numbers
from node.web.media import DEFAULT_SYNTAXES, FRAME_TYPES, dicom_form, frame_form
from node.web.negotiation import media_ranges
from node.web.rendered import JPEG, rendering_of

IMPLICIT, JPEG_LOSSY, JLS, J2K, MPEG = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.103",
)
PARTS = 'multipart/related; type="application/dicom"'


@pytest.mark.parametrize(
    ("accept", "stored", "single", "expected"),
    [
        (PARTS, JLS, False, (True, EXPLICIT_LITTLE_ENDIAN)),
        (PARTS + "; transfer-syntax=*", JLS, False, (True, JLS)),
        (PARTS + f"; transfer-syntax={JLS}", IMPLICIT, False, (True, JLS)),
        (PARTS + f"; transfer-syntax={JLS}", JPEG_LOSSY, False, None),
        (PARTS + f"; transfer-syntax={JPEG_LOSSY}", IMPLICIT, False, None),
        (f"{PARTS}; transfer-syntax={JLS}, {PARTS}", JPEG_LOSSY, False, (True, EXPLICIT_LITTLE_ENDIAN)),
        (f"{PARTS}; q=0.5, application/dicom; transfer-syntax=*", J2K, True, (False, J2K)),
        (f"{PARTS}; q=0.5, application/dicom; transfer-syntax=*", J2K, False, (True, EXPLICIT_LITTLE_ENDIAN)),
        ("*/*", MPEG, False, None),
        ("*/*; transfer-syntax=*", MPEG, False, (True, MPEG)),
        ("multipart/related", IMPLICIT, False, (True, EXPLICIT_LITTLE_ENDIAN)),
        ("multipart/*", IMPLICIT, False, (True, EXPLICIT_LITTLE_ENDIAN)),
        ("application/*", IMPLICIT, True, (False, EXPLICIT_LITTLE_ENDIAN)),
        ("application/dicom+json", IMPLICIT, True, None),
        ("application/dicom; q=0", IMPLICIT, True, None),
    ],
)
def test_objects(accept: str, stored: str, single: bool, expected: tuple[bool, str] | None) -> None:
    ranges = sorted(media_ranges(accept), key=lambda item: -item.quality)
    form = dicom_form(ranges, stored, possible, single=single)
    assert (form and (form.multipart, form.transfer_syntax_uid)) == expected


texts = st.sampled_from(
    ["*/*", "image/*", "multipart/related", *FRAME_TYPES.values(), "application/octet-stream", "text/plain"]
)
syntaxes = st.sampled_from(["", "*", MPEG, "1.2.3", *TARGETS, *DECODERS])


@given(
    wanted=st.lists(st.tuples(st.booleans(), texts, syntaxes), min_size=1, max_size=4),
    stored=st.sampled_from([MPEG, *NATIVE, *DECODERS]),
    single=st.booleans(),
)
def test_frames_are_only_given_as_they_are_accepted_and_can_be(
    wanted: list[tuple[bool, str, str]], stored: str, single: bool
) -> None:
    texts = []
    for parts, kind, syntax in wanted:
        named = f'multipart/related; type="{kind}"' if parts else kind
        texts.append(named + (f'; transfer-syntax="{syntax}"' if syntax else ""))
    form = frame_form(media_ranges(", ".join(texts)), stored, possible, single=single)
    if form is None:
        return
    syntax = form.transfer_syntax_uid
    assert possible(stored, syntax) or (stored in NATIVE and syntax == EXPLICIT_LITTLE_ENDIAN)
    assert form.multipart or single
    assert form.media_type in {FRAME_TYPES.get(syntax), "application/octet-stream"}
    accepting = [
        item
        for parts, kind, item in wanted
        if kind in {"*/*", "multipart/related", form.media_type}
        or (kind == "image/*" and form.media_type.startswith("image/"))
    ]
    defaults = {EXPLICIT_LITTLE_ENDIAN, stored, DEFAULT_SYNTAXES.get(form.media_type)}
    meant = [EXPLICIT_LITTLE_ENDIAN if item in NATIVE else item for item in accepting]
    assert any(syntax == item or (item in {"", "*"} and syntax in defaults) for item in meant)


@given(st.text("0123456789abcdefABCDEF/.%-", max_size=40))
def test_places_are_read_or_are_none(text: str) -> None:
    place = place_of(text)
    if place is not None:
        steps = [f"{step:08X}" if at % 2 == 0 else str(step) for at, step in enumerate(place)]
        assert "/".join(steps) == text.upper()


@given(st.text("0123456789,-+ e", max_size=30))
def test_frame_lists_are_numbers_from_1_or_are_refused(text: str) -> None:
    try:
        numbers = frame_numbers(text)
    except BadRequest:
        return
    assert [int(item) for item in text.split(",")] == list(numbers)
    assert min(numbers) > 0


def test_endless_frame_lists_are_refused() -> None:
    with pytest.raises(BadRequest):
        frame_numbers(",".join(["1"] * (MOST_FRAMES + 1)))


@given(
    st.dictionaries(
        st.sampled_from(["window", "viewport", "quality", "iccprofile"]),
        st.text("0123456789.,-+eE linearsgmod_", max_size=24) | st.just("100,200,1,1,10,10"),
    )
)
def test_parameters_of_pictures_are_understood_or_refused(parameters: dict[str, str]) -> None:
    try:
        how = rendering_of(parameters, JPEG, thumbnail=False)
    except BadRequest:
        return
    assert 1 <= how.quality <= 100
    assert how.viewport is None or 1 <= min(how.viewport.width, how.viewport.height) <= 8192
    assert (how.window is None) == ("window" not in parameters)


def test_a_picture_is_no_larger_than_displays_are() -> None:
    how = rendering_of({"viewport": "7680,4320"}, JPEG, thumbnail=False)
    assert how.viewport is not None
    with pytest.raises(BadRequest, match="pixels"):
        rendering_of({"viewport": "8192,8192"}, JPEG, thumbnail=False)
