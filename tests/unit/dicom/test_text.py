"""Character sets of PS3.5 Annex H to K and of the field; names in the form in which they are compared."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.charset import convert_encodings
from pydicom.valuerep import PersonName

from node.dicom.text import CharacterSet, normalised_name

KATAKANA_KANJI = (
    b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J"
)


@pytest.mark.parametrize(
    ("declared", "value", "expected"),
    [
        (b"", b"Doe^Jane ", "Doe^Jane"),
        (b"ISO_IR 100", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
        (b"ISO_IR 101", b"Wa\xb3\xeasa", "Wałęsa"),
        (b"ISO_IR 144", b"\xbb\xee\xda", "Люк"),
        (b"ISO_IR 126", b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος"),
        (b"ISO_IR 127", b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1", "قباني^لنزار"),
        (b"ISO_IR 138", b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה"),
        (b"ISO_IR 192", "Wang^XiaoDong=王^小东".encode(), "Wang^XiaoDong=王^小东"),
        (b"GB18030", "Wang^XiaoDong=王^小东".encode("gb18030"), "Wang^XiaoDong=王^小东"),
        (b"GBK", "王^小东".encode("gbk"), "王^小东"),
        (
            b"\\ISO 2022 IR 87",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
        ),
        (b"ISO 2022 IR 13\\ISO 2022 IR 87", KATAKANA_KANJI, "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
        (
            b"\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
            "Hong^Gildong=洪^吉洞",
        ),
        (b"ISO 2022 IR 100\\ISO 2022 IR 144", b"\xe9\x1b-L\xd0", "éа"),
        (b"\\ISO 2022 IR 58", b"Wang=\x1b$)A\xcd\xf5", "Wang=王"),
        (b"ISO_IR 13", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
        (b"\\ISO 2022 IR 159", b"\x1b$(D\x30\x21\x1b(B", "丂"),
        (b"ISO 2022 IR 149", b"\xb1\xe8\xc8\xf1\xc1\xdf", "김희중"),
    ],
)
def test_declared_character_sets(declared: bytes, value: bytes, expected: str) -> None:
    assert CharacterSet.parse(declared).decode(value) == expected


@pytest.mark.parametrize(
    ("declared", "value", "expected"),
    [
        (b"NO SUCH SET", "Müller".encode(), "Müller"),
        (b"", "Müller".encode(), "Müller"),
        (b"", b"M\xfcller", "Müller"),
        (b"ISO_IR 192", b"M\xfcller", "Müller"),
        (b"\\ISO 2022 IR 58", b"Wang=\xcd\xf5^\xd0\xa1", "Wang=王^小"),
        (b"\\ISO 2022 IR 100\\ISO 2022 IR 149", b"M\xfcller", "Müller"),
        (b"ISO 2022 IR 87", b"\x1b$B\xff\xff", "\x1b$Bÿÿ"),
    ],
)
def test_what_the_declaration_cannot_explain_is_kept(declared: bytes, value: bytes, expected: str) -> None:
    assert CharacterSet.parse(declared).decode(value) == expected


@pytest.mark.parametrize(
    "declared",
    [b"ISO-IR 138", b"ISO_IR138", b"ISO IR 138 ", b"iso_ir_138", b"ISO 2022 IR 138"],
)
def test_a_term_with_other_separators_is_understood(declared: bytes) -> None:
    assert CharacterSet.parse(declared).decode(b"\xf9\xf8\xe5\xef") == "שרון"


def test_a_designation_that_is_not_repeated_stays_where_there_is_no_other() -> None:
    """Of PN each component ought to designate it anew; of LO a caret is no delimiter at all."""
    korean = CharacterSet.parse(b"\\ISO 2022 IR 149")
    assert korean.decode(b"\x1b$)C\xfb\xf3^\xd1\xce") == "洪^吉"


def test_a_designation_ends_at_a_delimiter() -> None:
    character_set = CharacterSet.parse(b"ISO 2022 IR 100\\ISO 2022 IR 144")
    assert character_set.decode(b"\x1b-L\xd0^\xe9") == "а^é"


@given(
    st.binary(max_size=64), st.sampled_from([b"", b"ISO_IR 100", b"\\ISO 2022 IR 87", b"GB18030", b"x\\y"])
)
def test_decoding_never_fails(value: bytes, declared: bytes) -> None:
    assert isinstance(CharacterSet.parse(declared).decode(value), str)


ALPHABETS = {
    # PS3.3 C.12.1.1.2: terms as a sender writes them, and letters that they encode. Of those apart by a space
    # one kind stands in a component, for between some of them pydicom forgets to go back to ASCII.
    ("ISO_IR 192",): "aé王山太郎ש김Яω",
    ("ISO_IR 100",): "aéüñÅ",
    ("ISO_IR 101",): "ałęžč",
    ("ISO_IR 144",): "aЯюд",
    ("ISO_IR 126",): "aωΔλ",
    ("ISO_IR 127",): "aقباني",
    ("ISO_IR 138",): "aשרון",
    ("ISO_IR 148",): "aığş",
    ("ISO_IR 166",): "aนามส",
    ("GB18030",): "a王小东㐀é",
    ("GBK",): "a王小东",
    ("", "ISO 2022 IR 87"): "a山田太郎やまだ",
    ("ISO 2022 IR 13", "ISO 2022 IR 87"): "aﾔﾏﾀ 山田太",
    ("", "ISO 2022 IR 149"): "a김희중",
    ("", "ISO 2022 IR 58"): "a王小东",
}


@settings(deadline=None, max_examples=25)
@given(data=st.data())
@pytest.mark.parametrize("terms", ALPHABETS, ids="+".join)
def test_names_as_another_writer_encodes_them_arrive(terms: tuple[str, ...], data: st.DataObject) -> None:
    kinds = st.sampled_from(ALPHABETS[terms].split())
    letters = kinds.flatmap(lambda kind: st.text(kind, min_size=1, max_size=6))
    components = st.lists(letters, min_size=1, max_size=3).map("^".join)
    name = data.draw(st.lists(components, min_size=1, max_size=3).map("=".join))
    encoded = PersonName(name, convert_encodings(list(terms))).encode(convert_encodings(list(terms)))
    assert CharacterSet.parse("\\".join(terms).encode()).decode(encoded) == name


@given(st.text(st.characters(codec="ascii", exclude_characters="\0 \x1b"), min_size=1))
def test_ascii_is_itself_in_every_set(text: str) -> None:
    for declared in (b"", b"ISO_IR 100", b"ISO_IR 192", b"GB18030", b"ISO 2022 IR 13", b"\\ISO 2022 IR 149"):
        assert CharacterSet.parse(declared).decode(text.encode("ascii")) == text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("DOE^JANE", "doe^jane^^^"),
        ("Doe^Jane  Mary", " Doe ^ Jane Mary"),
        ("Doe^Jane=", "Doe^Jane"),
        ("Ｄｏｅ^Jane", "Doe^Jane"),
    ],
)
def test_names_that_are_the_same(one: str, other: str) -> None:
    assert normalised_name(one) == normalised_name(other)


@pytest.mark.parametrize(
    ("one", "other"), [("Doe^Jane", "Doe^Jan"), ("Doe^Jane", "Jane^Doe"), ("A^^B", "A^B")]
)
def test_names_that_differ(one: str, other: str) -> None:
    assert normalised_name(one) != normalised_name(other)


@given(st.text(max_size=40))
def test_normalising_twice_changes_nothing(name: str) -> None:
    assert normalised_name(normalised_name(name)) == normalised_name(name)
