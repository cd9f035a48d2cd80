"""The papers' networks: sizes to the last parameter, shapes, and Grad-CAM in closed form against autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from trainer.errors import RecipeError
from trainer.export.graph import ServedNet, gradcam_by_autograd
from trainer.nets.attention_head import AttentionClassifier
from trainer.nets.catalogue import NETS, build_net
from trainer.nets.deep_cxr_net import DeepCxrNet, Likelihoods
from trainer.nets.densenet121 import densenet121_stages
from trainer.nets.heads import DenseClassifier
from trainer.nets.pyramid_attention import PyramidAttention
from trainer.nets.resnet50v2 import Block, Stem, resnet50v2_stages
from trainer.nets.resnet50v2_fpn import Pyramid, ResNet50V2Fpn


def weights(net: nn.Module) -> int:
    return sum(weight.numel() for weight in net.parameters())


def values(net: nn.Module) -> int:
    """Parameters as Keras counts them: with the batch norms' statistics."""
    return weights(net) + sum(value.numel() for name, value in net.named_buffers() if "running" in name)


def on_meta(name: str, channels: int = 1, classes: int = 2) -> nn.Module:
    with torch.device("meta"):
        return build_net(name, channels, classes, 0.5, None)


@pytest.mark.parametrize(
    ("name", "count"),
    [("resnet50v2-fpn", 34_058_656), ("resnet50v2", 24_607_106), ("xception", 21_909_482)],
)
def test_networks_of_the_first_paper_have_its_size_at_512(name: str, count: int) -> None:
    net = on_meta(name)
    assert values(net) == count
    assert net.eval()(torch.empty(3, 1, 512, 512, device="meta")).shape == (3, 2)


def test_the_statistics_of_the_pyramid_are_what_is_not_trained() -> None:
    net = on_meta("resnet50v2-fpn")
    assert weights(net) == 34_013_216
    assert values(net) - weights(net) == 45_440


@pytest.mark.parametrize(
    ("name", "shape"),
    [("resnet50v2", (2048, 16, 16)), ("xception", (2048, 16, 16)), ("deep-ct-net", (1024, 8, 8))],
)
def test_last_maps(name: str, shape: tuple[int, ...]) -> None:
    side = 256 if name == "deep-ct-net" else 512
    assert on_meta(name).eval().features(torch.empty(1, 1, side, side, device="meta")).shape[1:] == shape


def test_every_level_of_the_pyramid_has_the_shape_of_the_layer_table() -> None:
    net = on_meta("resnet50v2-fpn").eval()
    images = torch.empty(1, 1, 512, 512, device="meta")
    shapes = [(256, 64), (512, 32)]
    maps: Tensor = images
    for stage, shape in zip(net.stages[:3], [(64, 128), *shapes], strict=True):
        maps = stage(maps)
        assert maps.shape[1:] == (shape[0], shape[1], shape[1])
    c3, c4, c5 = net.features(images)
    assert (c3.shape[1:], c4.shape[1:], c5.shape[1:]) == ((512, 32, 32), (1024, 16, 16), (2048, 16, 16))
    assert [level.shape[1:] for level in net.pyramid(c3, c4, c5)] == [
        (256, side, side) for side in (30, 14, 16, 8, 4)
    ]
    assert [weights(head) for head in net.heads] == [460_802, 100_354, 131_074, 32_770, 8_194]
    assert weights(net.head) == 22


def test_the_stacks_of_the_backbone_have_the_sizes_of_the_layer_table() -> None:
    with torch.device("meta"):
        stages = resnet50v2_stages(1)
    assert [values(stage) for stage in stages] == [3_200, 217_856, 1_226_240, 7_119_872, 14_983_168, 8_192]


def test_the_stem_pools_over_zeros_and_a_strided_block_takes_every_second_pixel() -> None:
    stem = Stem(1)
    nn.init.zeros_(stem.conv.weight)
    nn.init.constant_(stem.conv.bias, -1.0)
    pooled = stem(torch.zeros(1, 1, 32, 32))
    assert (pooled[:, :, 0] == 0).all()  # the border of zeros wins over -1
    assert (pooled[:, :, 1:, 1:] == -1).all()
    block = Block(256, 64, 2, False).eval()
    nn.init.zeros_(block.conv3.weight)
    nn.init.zeros_(block.conv3.bias)
    images = torch.randn(1, 256, 8, 8)
    assert torch.equal(block(images), images[:, :, ::2, ::2])


def test_p6_is_padded_at_the_end_only() -> None:
    pyramid = Pyramid()
    nn.init.constant_(pyramid.p6.weight, 1.0)
    nn.init.zeros_(pyramid.p6.bias)
    c5 = torch.zeros(1, 2048, 4, 4)
    c5[0, 0, 0, 0] = 1
    p6 = pyramid(torch.zeros(1, 512, 8, 8), torch.zeros(1, 1024, 4, 4), c5)[3]
    assert p6[0, 0].tolist() == [[1, 0], [0, 0]]
    corner = torch.zeros(1, 2048, 4, 4)
    corner[0, 0, 2, 2] = 1
    p6 = pyramid(torch.zeros(1, 512, 8, 8), torch.zeros(1, 1024, 4, 4), corner)[3]
    assert p6[0, 0].tolist() == [[1, 1], [1, 1]]


def test_parts_of_the_second_papers_networks_have_their_published_sizes() -> None:
    with torch.device("meta"):
        assert weights(nn.Sequential(*densenet121_stages(3))) == 6_953_856
        assert values(nn.Sequential(*densenet121_stages(3))) == 7_037_504
        assert weights(PyramidAttention(1024, 1024)) == 2_153_607
        assert weights(PyramidAttention(1024, 512)) == 1_101_959
        assert weights(PyramidAttention(1024, 256)) == 576_135


def test_deep_ct_net_gives_one_log_odds_for_two_classes_and_three_scores_for_three() -> None:
    binary, three = on_meta("deep-ct-net", 3), on_meta("deep-ct-net", 3, 3)
    assert (binary.head.out_features, three.head.out_features) == (1, 3)
    assert binary.hidden[0].in_features == 65_536
    images = torch.empty(2, 3, 256, 256, device="meta")
    assert (binary.eval()(images).shape, three.eval()(images).shape) == ((2, 2), (2, 3))


def test_deep_cxr_net_keeps_two_parts_frozen() -> None:
    net = on_meta("deep-cxr-net", 3)
    assert isinstance(net, DeepCxrNet)
    net.train()
    assert net.training
    assert net.stages[1].training
    assert not any(layer.training for layer in net.likelihoods.modules())
    assert not any(weight.requires_grad for weight in net.likelihoods.parameters())
    assert all(weight.requires_grad for weight in net.stages[1:].parameters())
    assert [layer.in_features for layer in (*net.hidden, net.head)] == [65_536, 136, 64]
    likelihoods, maps = net.eval().features(torch.empty(2, 3, 256, 256, device="meta"))
    assert (likelihoods.shape, maps.shape) == ((2, 8), (2, 1024, 8, 8))


def test_likelihoods_are_probabilities_of_parts_one_and_two() -> None:
    with torch.device("meta"):
        parts = Likelihoods(1, (256, 256))
    parts.part1, parts.part2 = nn.Identity(), nn.Identity()
    likelihoods, images = parts(torch.tensor([[0.0, 2.0]]))
    torch.testing.assert_close(likelihoods[0, :2], torch.sigmoid(torch.tensor([0.0, 2.0])))
    torch.testing.assert_close(likelihoods[0, 2:].sum(), torch.tensor(1.0))
    assert images.tolist() == [[0.0, 2.0]]


@pytest.mark.parametrize("name", [name for name, kind in NETS.items() if kind.sized])
def test_sizes_that_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(RecipeError, match="multiples of"):
        build_net(name, 1, 2, 0.0, None, size=(16, 16))


def shaken(net: nn.Module) -> nn.Module:
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
            nn.init.normal_(layer.running_mean, std=0.3)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.2)
            nn.init.normal_(layer.bias, std=0.2)
    return net.eval()


def check_closed_form(net: nn.Module, images: Tensor) -> None:
    strong = 0
    for positive in range(2):
        served = ServedNet([net], positive)
        probabilities, cam = served(images)
        torch.testing.assert_close(probabilities, torch.softmax(net(images), dim=1))
        wanted = gradcam_by_autograd(served, images)
        peak = wanted.amax(dim=(1, 2), keepdim=True)
        strong += int((peak > 0).sum())
        scaled = cam / peak.clamp(min=1e-20), wanted / peak.clamp(min=1e-20)
        torch.testing.assert_close(*scaled, rtol=0, atol=1e-4)
    assert strong > 0


def test_grad_cam_through_all_five_heads_of_the_pyramid() -> None:
    torch.manual_seed(2)
    net = shaken(ResNet50V2Fpn(size=(96, 128)))
    with torch.no_grad():
        net.head.weight[0].abs_()
        images = torch.randn(2, 1, 96, 128)
        gates = net.units(net.pyramid(*net.features(images))) > 0
    assert gates.any()
    assert not gates.all()
    check_closed_form(net, images)
    assert net.dead_heads(images) == [
        f"P{level + 3}" for level in range(5) if not gates[:, 2 * level : 2 * level + 2].any()
    ]
    nn.init.zeros_(net.heads[2].weight)
    nn.init.constant_(net.heads[2].bias, -1.0)
    assert "P5" in net.dead_heads(images)


@pytest.mark.parametrize("grid", [None, (5, 7)])
def test_grad_cam_of_a_dense_layer_behind_pooled_or_flattened_maps(grid: tuple[int, int] | None) -> None:
    torch.manual_seed(3)
    net = shaken(DenseClassifier(nn.Sequential(nn.Conv2d(1, 6, 1)), 6, 2, 0.5, grid=grid))
    check_closed_form(net, torch.randn(4, 1, 5, 7))


class _WithLikelihoods(nn.Module):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return torch.sigmoid(images.mean(dim=(2, 3))[:, :3]), images


@pytest.mark.parametrize(
    ("likelihoods", "hidden", "one_logit"), [(0, (16,), True), (0, (16,), False), (3, (12, 9), True)]
)
def test_grad_cam_through_dense_layers_behind_attention(
    likelihoods: int, hidden: tuple[int, ...], one_logit: bool
) -> None:
    torch.manual_seed(4)
    stage = _WithLikelihoods() if likelihoods else nn.Identity()
    net = AttentionClassifier(
        nn.Sequential(stage),
        maps=6,
        grid=(8, 8),
        hidden=hidden,
        likelihoods=likelihoods,
        classes=2,
        dropout=0.5,
        one_logit=one_logit,
    )
    check_closed_form(shaken(net), torch.randn(5, 6, 8, 8))
