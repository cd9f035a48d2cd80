"""Padding, the quick depwise backward pass, and the networks' shapes and parameter counts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import RecipeError, WeightsError
from trainer.nets.catalogue import build_net, pooled
from trainer.nets.depthwise import depthwise_convolution
from trainer.nets.efficientnet_lite0 import EfficientNetLite0
from trainer.nets.same_padding import SameConv2d, same_padding
from trainer.nets.xception import Xception


@given(size=st.integers(1, 64), kernel=st.integers(1, 7), stride=st.integers(1, 3))
def test_same_padding_gives_ceil_of_size_over_stride_with_the_smaller_half_in_front(
    size: int, kernel: int, stride: int
) -> None:
    before, after = same_padding(size, kernel, stride)
    assert 0 <= after - before <= 1
    padded = size + before + after
    if padded >= kernel:
        cells = (padded - kernel) // stride + 1
        assert cells == math.ceil(size / stride) or before == after == 0


def test_even_sides_at_stride_two_are_padded_at_the_end_only() -> None:
    assert same_padding(224, 3, 2) == (0, 1)
    assert same_padding(225, 3, 2) == (1, 1)
    assert same_padding(14, 5, 2) == (1, 2)


@pytest.mark.parametrize(
    ("kernel", "stride", "side", "border"),
    [
        (3, 1, 7, 0),
        (3, 2, 8, 0),
        (5, 2, 9, 0),
        (5, 2, 10, 0),
        (3, 1, 7, 1),
        (5, 1, 6, 2),
        (5, 1, 6, 1),
        (3, 2, 8, 1),
    ],
)
def test_depthwise_gradients_are_those_of_autograd(kernel: int, stride: int, side: int, border: int) -> None:
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(2, 4, side, side, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 1, kernel, kernel, generator=generator, dtype=torch.float64, requires_grad=True)
    reference = torch.nn.functional.conv2d(images, weight, None, stride, border, 1, 4)
    direction = torch.randn(reference.shape, generator=generator, dtype=torch.float64)
    wanted = torch.autograd.grad((reference * direction).sum(), (images, weight))
    own = depthwise_convolution(images, weight, stride, border)
    found = torch.autograd.grad((own * direction).sum(), (images, weight))
    assert torch.equal(own, reference)
    torch.testing.assert_close(found[0], wanted[0])
    torch.testing.assert_close(found[1], wanted[1], rtol=1e-5, atol=1e-5)


def test_one_input_channel_makes_no_depthwise_convolution() -> None:
    layer = SameConv2d(1, 4, 3).train()
    assert layer(torch.ones(2, 1, 5, 5)).shape == (2, 4, 5, 5)


def test_a_same_convolution_trains_and_evaluates_alike() -> None:
    layer = SameConv2d(6, 6, 5, 2, groups=6)
    images = torch.randn(2, 6, 11, 12)
    torch.testing.assert_close(layer.train()(images), layer.eval()(images))


def test_efficientnet_lite0_has_the_published_size() -> None:
    net = EfficientNetLite0(classes=1000)
    assert sum(weight.numel() for weight in net.parameters()) == 4_652_008
    assert len(net.stages) == 18


def test_xception_has_the_published_size() -> None:
    net = Xception(channels=1, pooled=True)
    statistics = sum(value.numel() for name, value in net.named_buffers() if "running" in name)
    head = sum(weight.numel() for weight in net.head.parameters())
    assert sum(weight.numel() for weight in net.parameters()) + statistics - head == 20_860_904


@pytest.mark.parametrize(
    ("name", "grid"), [("efficientnet-lite0", (2, 3)), ("xception-pooled", (2, 3)), ("tiny", (8, 12))]
)
def test_networks_map_pictures_to_a_grid_and_two_scores(name: str, grid: tuple[int, int]) -> None:
    net = build_net(name, 3, 2, 0.2, None).eval()
    images = torch.zeros(2, 3, 64, 96)
    assert pooled(net).features(images).shape[2:] == grid
    assert net(images).shape == (2, 2)


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(RecipeError, match="known are"):
        build_net("resnet", 3, 2, 0.0, None)


@pytest.mark.parametrize("name", ["efficientnet-lite0", "xception-pooled", "resnet50v2-fpn"])
def test_a_file_that_holds_no_weights_is_refused(name: str, tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"<html>not found</html>")
    with pytest.raises(WeightsError):
        build_net(name, 3, 2, 0.0, file)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save({"conv1.weight": torch.zeros(3)}, file)
    with pytest.raises(WeightsError, match="belongs to no layer"):
        build_net("efficientnet-lite0", 3, 2, 0.0, file)


def test_an_image_and_its_mirror_image_get_the_same_score() -> None:
    torch.manual_seed(2)
    net = build_net("xception-middle", 3, 2, 0.0, None).eval()
    images = 100 * torch.rand(2, 3, 96, 96)  # untrained maps of paler images do not reach the level
    with torch.no_grad():
        torch.testing.assert_close(net(images), net(images.flip(3)), atol=1e-5, rtol=1e-4)
        maps = pooled(net).features(images)
        assert isinstance(maps, torch.Tensor)
        assert maps.shape[:2] == (2, 728)
        torch.testing.assert_close(maps, pooled(net).features(images.flip(3)).flip(3), atol=1e-5, rtol=1e-4)
        assert not torch.equal(net(images)[0], net(images)[1])
