"""Round trips through files in Keras' layout, the command, and initial weights without top."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from trainer.cli.app import app
from trainer.errors import CheckpointError, WeightsError
from trainer.imports.imagenet import load_no_top
from trainer.imports.importing import import_keras, load_imported
from trainer.nets.catalogue import build_net
from trainer.nets.densenet121 import densenet121_stages
from trainer.nets.resnet50v2_fpn import ResNet50V2Fpn
from trainer.nets.xception import Xception

Writer = Callable[..., Path]


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    names = [name for name in mine if not name.endswith("num_batches_tracked")]
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in names)


def test_the_pyramid_survives_the_way_through_a_keras_file(
    fpn: ResNet50V2Fpn, fpn_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "fpn.pt"
    answer = CliRunner().invoke(
        app, ["import-keras", str(fpn_file), "--net", "resnet50v2-fpn", "--out", str(out)]
    )
    assert answer.exit_code == 0, answer.output
    assert "128 x 128 pixels, 298 arrays" in " ".join(answer.output.split())
    net, imported = load_imported(out)
    assert (imported.net, imported.side, imported.source) == ("resnet50v2-fpn", 128, "FPN.hdf5")
    assert same(net, fpn)
    images = torch.rand(1, 1, 128, 128) * 4095
    assert torch.equal(net(images), fpn(images))


def test_xception_survives_with_its_shortcuts_named_automatically(
    write: Writer, make_layers, shake, tmp_path: Path
) -> None:
    net = shake(Xception(size=(96, 96)))
    file = write(tmp_path / "x.h5", make_layers["xception"](net), whole=False)
    imported = import_keras(file, "xception", tmp_path / "x.pt")
    assert (imported.net, imported.side, imported.tensors) == ("xception", 96, 236)
    assert same(load_imported(tmp_path / "x.pt")[0], net)
    with pytest.raises(WeightsError, match="holds xception, not resnet50v2"):
        import_keras(file, "resnet50v2", tmp_path / "y.pt")
    with pytest.raises(WeightsError, match="96 pixels, not 512"):
        import_keras(file, "xception", tmp_path / "y.pt", 512)
    assert not (tmp_path / "y.pt").exists()


def test_initial_weights_for_colours_are_summed_for_grey(
    write: Writer, make_layers, shake, tmp_path: Path
) -> None:
    published = shake(torch.nn.Sequential(*densenet121_stages(3)))
    file = write(tmp_path / "notop.h5", make_layers["densenet121"](list(published)), whole=False)
    net = torch.nn.Module()
    net.stages = torch.nn.Sequential(*densenet121_stages(1))
    load_no_top(net, file, "densenet121", densely=9)
    image = torch.rand(1, 1, 64, 64)
    torch.testing.assert_close(net.stages.eval()(image), published(image.expand(1, 3, 64, 64)))
    with pytest.raises(WeightsError, match="holds densenet121, not xception"):
        load_no_top(net, file, "xception")


def test_half_of_xception_takes_its_trunk_from_a_file_of_the_whole(
    write: Writer, make_layers, shake, tmp_path: Path
) -> None:
    published = shake(Xception(3, size=(96, 96)))
    file = write(tmp_path / "notop.h5", make_layers["xception"](published)[:-1], whole=False)
    net = build_net("xception-middle", 3, 2, 0.0, file).eval()
    images = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        behind = published.stages[:9]
        maps = torch.relu(behind(images) - 1) + torch.relu(behind(images.flip(3)) - 1).flip(3)
    assert maps.any()
    torch.testing.assert_close(net.stages(images), maps / 2)


def test_the_first_kernel_stays_random_where_a_recipe_says_so(
    write: Writer, make_layers, shake, tmp_path: Path
) -> None:
    published = shake(torch.nn.Sequential(*densenet121_stages(3)))
    file = write(tmp_path / "notop.h5", make_layers["densenet121"](list(published)), whole=False)
    kernels = {}
    for stem in ("summed", "random"):
        torch.manual_seed(3)
        net = build_net("deep-ct-net", 1, 2, 0.0, file, size=(256, 256), stem=stem)
        torch.manual_seed(3)
        fresh = build_net("deep-ct-net", 1, 2, 0.0, None, size=(256, 256))
        kernels[stem] = (net.stages[0].conv.weight, fresh.stages[0].conv.weight)
        norm = next(layer for layer in net.modules() if isinstance(layer, torch.nn.BatchNorm2d))
        first = next(layer for layer in published.modules() if isinstance(layer, torch.nn.BatchNorm2d))
        torch.testing.assert_close(norm.weight, first.weight)
    assert torch.equal(*kernels["random"])
    assert not torch.equal(*kernels["summed"])


def test_a_network_that_is_not_the_papers_is_not_imported(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="--net is one of"):
        import_keras(tmp_path / "x.h5", "tiny", tmp_path / "x.pt")


def test_a_file_that_import_keras_did_not_write_is_refused(tmp_path: Path) -> None:
    torch.save({"format": "other"}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="not written by import-keras"):
        load_imported(tmp_path / "a.pt")
    facts = {"net": "resnet50v2-fpn", "side": 128, "tensors": 1, "parameters": 1, "source": "", "sha256": ""}
    torch.save({"format": "groundglass-imported-1", "imported": facts, "state": {}}, tmp_path / "b.pt")
    with pytest.raises(CheckpointError, match="damaged"):
        load_imported(tmp_path / "b.pt")
