from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from node.domain.identity import PatientKey
from node.domain.study import FrameGeometry, InstanceHeader
from node.store.header_codec import decode_header, encode_header

numbers = st.floats(allow_nan=False)
frames = st.builds(
    FrameGeometry,
    image_position=st.none() | st.tuples(*[numbers] * 3),
    image_orientation=st.none() | st.tuples(*[numbers] * 6),
    pixel_spacing=st.none() | st.tuples(*[numbers] * 2),
    slice_thickness=st.none() | numbers,
)
headers = st.builds(
    InstanceHeader,
    patient=st.builds(PatientKey, patient_id=st.text(), issuer=st.text()),
    image_type=st.lists(st.text(), max_size=4).map(tuple),
    device_uids=st.lists(st.text(), max_size=3).map(tuple),
    frames=st.lists(frames, max_size=3).map(tuple),
    patient_age_years=st.none() | numbers,
    gantry_tilt=st.none() | numbers,
)


@given(headers)
def test_a_header_comes_back_as_it_went_in(header):
    encoded = encode_header(header)
    assert encoded.isascii()
    assert decode_header(encoded) == header


def test_lone_surrogates_survive(make_header):
    header = replace(make_header(), patient_name="\udcff^\x00")
    assert decode_header(encode_header(header)) == header
