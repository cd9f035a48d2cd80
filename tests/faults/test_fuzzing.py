"""Any bytes at all: the parsers end with an answer or with an error of the node, and never with another one.

The generated seeds and the corpus, which holds what once went wrong, are replayed and then spoiled. The same
targets run for as long as wanted under a fuzzer that is led by coverage: ``python -m tests.faults``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.targets import TARGETS, seeds_of

CORPUS = Path(__file__).with_name("corpus")
SPLICES = (  # what a parser decides by: item heads and delimiters (PS3.5 7.5), lengths, value representations
    b"\xfe\xff\x00\xe0",
    b"\xfe\xff\x0d\xe0",
    b"\xfe\xff\xdd\xe0",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x00",
    b"SQ\x00\x00",
    b"UN\x00\x00",
    b"ZZ\x00\x00",
    b"\xe0\x7f\x10\x00",
    b"\r\n--",
)
EXAMPLES = {"header": 40, "object": 25, "walks": 40, "pdus": 50, "messages": 50, "multipart": 50}
MANY = dict.fromkeys(TARGETS, 6_000) | {"object": 2_000}
pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries warn of what they read; the node refuses it


@functools.cache
def sound(target: str) -> tuple[bytes, ...]:
    """Return the seeds and the corpus of a target."""
    made = seeds_of(target)
    kept = sorted((CORPUS / target).glob("*"))
    return (*made.values(), *(path.read_bytes() for path in kept))


@st.composite
def spoiled(draw: st.DrawFn, target: str) -> bytes:
    """Return a seed with a few changes: bytes replaced, put in, taken out, parts of another seed put in."""
    found = bytearray(draw(st.sampled_from(sound(target))))
    for _ in range(draw(st.integers(1, 5))):
        begin = draw(st.integers(0, len(found)))
        end = min(begin + draw(st.integers(0, 12)), len(found))
        found[begin:end] = draw(st.sampled_from(SPLICES) | st.binary(max_size=12) | part_of(target))
    return bytes(found)


@st.composite
def part_of(draw: st.DrawFn, target: str) -> bytes:
    """Return some bytes of a seed."""
    seed = draw(st.sampled_from(sound(target)))
    begin = draw(st.integers(0, len(seed)))
    return seed[begin : begin + draw(st.integers(0, 200))]


@pytest.mark.parametrize("target", TARGETS)
def test_what_the_corpus_keeps_does_no_harm(target: str) -> None:
    served = [TARGETS[target](data) for data in sound(target)]
    assert any(served), "else nothing but refusals is tried"
    assert not all(served)


@pytest.mark.parametrize("target", TARGETS)
def test_spoiled_bytes_do_no_harm(target: str) -> None:
    _spoil(target, EXAMPLES[target])


@pytest.mark.faults
@pytest.mark.parametrize("target", TARGETS)
def test_many_spoiled_bytes_do_no_harm(target: str, figure: Callable[[str, object], None]) -> None:
    _spoil(target, MANY[target])
    figure(f"spoiled inputs of the target {target}", MANY[target])


def _spoil(target: str, examples: int) -> None:
    @settings(max_examples=examples, database=None)
    @given(data=spoiled(target))
    def run(data: bytes) -> None:
        TARGETS[target](data)

    run()
