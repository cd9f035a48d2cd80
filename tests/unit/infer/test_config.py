from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.errors import BundleError
from node.infer.config import MAX_CHARACTERS, parse_config

HEAD = 'name: "m"\nmax_batch_size: 8\n'


def test_reads_name_batch_and_parameters() -> None:
    config = parse_config(
        HEAD
        + """
        # a comment with { braces and "quotes
        backend: 'x'
        """.replace("'", '"')
        + """
        input [ { name: "slices" data_type: TYPE_FP32, dims: [ 3, 224, 224 ] } ]
        instance_group { kind: KIND_CPU; count: 1 }
        dynamic_batching { }
        parameters { key: "status" value { string_value: "demonstration" } }
        parameters: { key: "note" value: { string_value: "a \\"b\\" \\\\ c" } }
        """
    )
    assert (config.name, config.max_batch_size) == ("m", 8)
    assert config.input == "slices"
    assert dict(config.parameters) == {"status": "demonstration", "note": 'a "b" \\ c'}


def test_parameters_as_a_list() -> None:
    text = 'parameters [ { key: "a" value { string_value: "1" } }, { key: "b" value { string_value: "2" } } ]'
    assert dict(parse_config(HEAD + text).parameters) == {"a": "1", "b": "2"}


def test_missing_parameter_names_its_key() -> None:
    with pytest.raises(BundleError, match="'status'"):
        parse_config(HEAD).parameter("status")


@pytest.mark.parametrize("inputs", ["", 'input [ { name: "a" }, { name: "b" } ]'])
def test_one_input_is_asked_for(inputs: str) -> None:
    config = parse_config(HEAD + inputs)
    with pytest.raises(BundleError, match="one is expected"):
        _ = config.input


@pytest.mark.parametrize(
    "text",
    [
        HEAD + 'input: "slices"',
        HEAD + "input { data_type: TYPE_FP32 }",
        "",
        'name: "m"',
        "max_batch_size: 8",
        HEAD + 'name: "again"',
        'name: "m" max_batch_size: 0',
        'name: "m" max_batch_size: 2.5',
        "name: { a: 1 } max_batch_size: 2",
        HEAD + "parameters { key: 'single' }",
        HEAD + 'parameters { key: "a" }',
        HEAD + 'parameters { key: "a" value { string_value: "1" string_value: "2" } }',
        HEAD + 'parameters { key: "a" value { string_value: "1" } value { string_value: "2" } }',
        HEAD + 'parameters { key: "a" value { string_value: "1" } }' * 2,
        HEAD + 'parameters: "a"',
        HEAD + "open {",
        HEAD + "}",
        HEAD + "list [ 1 2 ]",
        HEAD + "list [ 1,",
        HEAD + "bare value",
        HEAD + 'text: "not closed',
        HEAD + "number: 12ab",
        HEAD + "a { " * 20 + "}" * 20,
        HEAD + "#" * MAX_CHARACTERS,
    ],
)
def test_refuses(text: str) -> None:
    with pytest.raises(BundleError):
        parse_config(text)


@given(st.text(alphabet='abc{}[]:,;"\\# \n019.-', max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        config = parse_config(HEAD + text)
    except BundleError:
        return
    assert config.name == "m"


@given(st.dictionaries(st.text(alphabet="abcxyz_", min_size=1), st.text(alphabet='ab "\\\n{}:'), max_size=5))
def test_parameters_survive_writing_and_reading(parameters: dict[str, str]) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'

    entries = (
        f"parameters {{ key: {quoted(key)} value {{ string_value: {quoted(value)} }} }}"
        for key, value in parameters.items()
    )
    assert dict(parse_config(HEAD + "\n".join(entries)).parameters) == parameters
