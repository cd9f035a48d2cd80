"""How the settings and the store become served models."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.app import RandomUids, SystemClock
from node.decide.routing import Shadow
from node.domain.errors import BundleError, HandshakeFailed, ModelNotServed, SettingsError
from node.domain.model import Acceptance, Precision
from node.domain.preparation_spec import InputModality
from node.infer.bundle import Bundle, load_bundle
from node.report.identity import device_uid_of
from node.serving import KnownModels, approval_of, routing_of
from node.settings.loading import load
from node.settings.settings import Settings
from node.store.store import Store, open_store
from tests.model_folder import phantom_slices, write_model_folder, write_version
from tests.radiograph_objects import radiograph_bundle

URL = "gpu.example:8001"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with two versions of a model for CT and one model for radiographs."""
    folder = write_model_folder(tmp_path / "models", phantom_slices())
    write_version(folder, phantom_slices(), 2)
    radiograph_bundle(tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "data", url=None, clock=SystemClock(), uids=RandomUids())
    yield opened
    opened.close()


def settings(models: Path, text: str) -> Settings:
    file = models.parent / "groundglass.toml"
    file.write_text(f'[infer]\nmodels_dir = "{models}"\n{text}')
    return load(file, {})


def names(models: Path) -> tuple[str, str]:
    (radiographs,) = [item.name for item in models.iterdir() if item.name != "tiny"]
    return "tiny", radiographs


def test_the_settings_become_rules(models: Path) -> None:
    ct, cxr = names(models)
    routing = routing_of(
        settings(
            models,
            f'model = "{ct}"\nradiograph_model = "{cxr}"\nshadow = ["{ct}:2", "{cxr}"]\n'
            f'[[infer.routes]]\nmodality = "CT"\nstation_name = "CT2"\nmodel = "{ct}"\n',
        )
    )
    assert routing.reporting == ((ct, InputModality.CT), (cxr, InputModality.CR))
    assert routing.shadows == (
        Shadow(model_name=ct, model_version=2, modality=InputModality.CT),
        Shadow(model_name=cxr, model_version=0, modality=InputModality.CR),
    )


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ('model = "{cxr}"', SettingsError, "reads CR, and CT is led to it"),
        ('model = "{ct}"\nradiograph_model = "{ct}"', SettingsError, "reads CT, and CR is led to it"),
        (
            'model = "{ct}"\n[[infer.routes]]\nmodality = "DX"\nmodel = "{ct}"',
            SettingsError,
            "reads CT, and CR is led to it",
        ),
        ('model = "absent"', BundleError, "no model folder .*absent"),
        ('model = "{ct}"\nshadow = ["absent"]', BundleError, "no model folder .*absent"),
        ('model = "{ct}"\nshadow = ["{ct}:7"]', ModelNotServed, "no version 7 .* installed: 1, 2"),
    ],
)
def test_a_rule_that_cannot_be_followed_is_refused(
    models: Path, text: str, error: type[Exception], message: str
) -> None:
    ct, cxr = names(models)
    with pytest.raises(error, match=message):
        routing_of(settings(models, text.format(ct=ct, cxr=cxr)))


def test_a_server_answers_only_with_what_was_accepted_there(models: Path, store: Store) -> None:
    given = f'model = "tiny"\nengine = "triton"\n[infer.triton]\nurl = "{URL}"\n'
    bundle = load_bundle(models / "tiny")
    identity = bundle.identity(
        engine="triton", engine_version="2.66.0", precision=Precision.F32, device="GPU"
    )
    approve = approval_of(settings(models, given), store)
    with pytest.raises(HandshakeFailed, match="models accept"):
        approve(bundle, identity)
    store.acceptances.record(accepted(bundle), "Ada", "new server")
    approve(bundle, identity)
    for other in (
        dataclasses.replace(identity, precision=Precision.BF16),
        dataclasses.replace(identity, weights_sha256="0" * 64),
        dataclasses.replace(identity, spec_sha256="0" * 64),
    ):
        with pytest.raises(HandshakeFailed, match="was not accepted"):
            approve(bundle, other)
    elsewhere = approval_of(settings(models, given.replace("8001", "8002")), store)
    with pytest.raises(HandshakeFailed, match="8002"):
        elsewhere(bundle, identity)
    approval_of(settings(models, f"{given.replace('8001', '8002')}require_acceptance = false\n"), store)(
        bundle, identity
    )


def test_the_engine_within_the_process_needs_no_acceptance(models: Path, store: Store) -> None:
    bundle = load_bundle(models / "tiny")
    identity = bundle.identity(engine="openvino", engine_version="1", precision=Precision.F32, device="CPU")
    approval_of(settings(models, 'model = "tiny"'), store)(bundle, identity)


def test_the_results_of_a_model_are_known_as_soon_as_it_is_opened(models: Path, store: Store) -> None:
    known = KnownModels(store.operations)
    first, second = (load_bundle(models / "tiny", version) for version in (1, 2))
    assert known.device_uids() == frozenset()
    first.register(known)
    known.note(first)
    known.note(dataclasses.replace(second, int8_sha256="8" * 64))
    assert known.device_uids() == {
        device_uid_of("tiny", 1, first.weights_sha256),
        device_uid_of("tiny", 2, second.weights_sha256),
        device_uid_of("tiny", 2, "8" * 64),
    }
    assert KnownModels(store.operations).device_uids() == {device_uid_of("tiny", 1, first.weights_sha256)}


def accepted(bundle: Bundle) -> Acceptance:
    return Acceptance(
        url=URL,
        server_version="2.66.0",
        model_name=bundle.name,
        model_version=bundle.version,
        spec_sha256=bundle.spec_sha256,
        weights_sha256=bundle.weights_sha256,
        precision="f32",
    )
