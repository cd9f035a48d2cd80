"""Plans on shapes alone: what is missing, left over, swapped or of another size is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import WeightsError
from trainer.imports.importing import _dense_of, _head_of
from trainer.imports.keras_file import StoredLayer, StoredTensor
from trainer.imports.mapping import Move, plan_moves
from trainer.imports.names import family_of, resnet50v2_place
from trainer.nets.resnet50v2 import ResNet50V2


def stored(name: str, **shapes: tuple[int, ...]) -> StoredLayer:
    tensors = [
        StoredTensor(layer=name, name=own, path=f"{name}/{own}:0", shape=shape)
        for own, shape in shapes.items()
    ]
    return StoredLayer(name=name, tensors=tuple(tensors))


@pytest.fixture(scope="module")
def layers(make_layers: dict[str, Callable[..., list]]) -> list[StoredLayer]:
    """A pooled ResNet50V2's file, by its shapes."""
    net = ResNet50V2(size=(96, 96), pooled=True).cpu()
    found = [
        stored(name, **{own: values.shape for own, values in arrays})
        for name, arrays in make_layers["resnet50v2"](net.stages)
        if arrays
    ]
    return [*found, stored("dense_1", kernel=(2048, 2), bias=(2,))]


@pytest.fixture(scope="module")
def shapes() -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        state = ResNet50V2(pooled=True).state_dict()
    return {name: tuple(value.shape) for name, value in state.items() if not name.endswith("tracked")}


def plan(layers: list[StoredLayer], shapes: dict[str, tuple[int, ...]]) -> list[Move]:
    return plan_moves(layers, shapes, resnet50v2_place, _dense_of("resnet50v2-pooled", 512))


def test_every_array_has_its_place(layers: list[StoredLayer], shapes: dict[str, tuple[int, ...]]) -> None:
    moves = plan(layers, shapes)
    assert len(layers) == 103
    assert len(moves) == 272
    assert {move.target for move in moves} == set(shapes)
    assert _head_of("resnet50v2", layers) == ("resnet50v2-pooled", None)


@given(data=st.data())
def test_a_layer_too_few_or_twice_or_cut_is_refused(layers, shapes, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(layers) - 1))
    layer = layers[index]
    wrong = data.draw(
        st.sampled_from(
            [
                [],
                [layer, replace(layer, name="stranger")],
                [replace(layer, tensors=layer.tensors[:-1])],
                [replace(layer, tensors=(*layer.tensors, layer.tensors[-1]))],
                [replace(layer, tensors=tuple(replace(one, shape=(*one.shape, 1)) for one in layer.tensors))],
            ]
        )
    )
    with pytest.raises(WeightsError):
        plan([*layers[:index], *[one for one in wrong if one.tensors], *layers[index + 1 :]], shapes)


def test_swapped_arrays_of_one_shape_are_refused(layers, shapes) -> None:
    norm = next(layer for layer in layers if layer.name == "post_bn")
    swapped = replace(norm, tensors=(norm.tensors[1], norm.tensors[0], *norm.tensors[2:]))
    changed = [swapped if layer is norm else layer for layer in layers]
    with pytest.raises(WeightsError, match="stands where 'gamma' is expected"):
        plan(changed, shapes)


def test_a_refusal_names_both_shapes(layers, shapes) -> None:
    changed = [
        stored("post_bn", gamma=(7,), beta=(7,), moving_mean=(7,), moving_variance=(7,))
        if layer.name == "post_bn"
        else layer
        for layer in layers
    ]
    with pytest.raises(WeightsError, match=r"shape \(7,\) would become \(7,\), but .* is \(2048,\)"):
        plan(changed, shapes)


def test_two_backbones_in_one_file_are_refused(layers) -> None:
    with pytest.raises(WeightsError, match="two backbones"):
        family_of([*layers, stored("block1_conv1", kernel=(3, 3, 1, 32))])
    with pytest.raises(WeightsError, match="no network known"):
        family_of([stored("conv1d", kernel=(3, 1, 32))])


@given(side=st.integers(3, 64).map(lambda cells: 32 * cells))
def test_the_dense_widths_tell_the_input_side(side: int) -> None:
    for net in ("resnet50v2-fpn", "resnet50v2", "xception"):
        layers = [
            stored(f"dense_{number}", kernel=(dense.width, 2), bias=(2,))
            for number, dense in enumerate(_dense_of(net, side))
        ]
        assert _head_of(net, layers) == (net, side)


def test_widths_at_512_are_the_published_ones() -> None:
    widths = [one.width for one in _dense_of("resnet50v2-fpn", 512)]
    assert widths == [230400, 50176, 65536, 16384, 4096, 10]
    assert _dense_of("resnet50v2", 512)[0].width == _dense_of("xception", 512)[0].width == 524288
    with pytest.raises(WeightsError, match="at 512 x 512 they are over 524288"):
        _head_of("resnet50v2", [stored("dense", kernel=(77, 2), bias=(2,))])


@given(rows=st.integers(1, 4), columns=st.integers(1, 4), channels=st.integers(1, 5), units=st.integers(1, 3))
def test_a_flattened_kernel_gives_the_same_sum_over_either_order(
    rows: int, columns: int, channels: int, units: int
) -> None:
    rng = np.random.default_rng([rows, columns, channels, units])
    maps = rng.integers(-9, 9, (rows, columns, channels)).astype(np.float32)
    kernel = rng.integers(-9, 9, (rows * columns * channels, units)).astype(np.float32)
    source = StoredTensor(layer="dense", name="kernel", path="kernel", shape=kernel.shape)
    move = Move(source=source, target="head.weight", order=(1, 0), grid=(rows, columns))
    moved = move.moved(kernel)
    assert tuple(moved.shape) == move.shape
    np.testing.assert_array_equal(moved.numpy() @ maps.transpose(2, 0, 1).ravel(), maps.ravel() @ kernel)
