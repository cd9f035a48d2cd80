from __future__ import annotations

import dataclasses
import hashlib
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest

from node.domain.errors import (
    BundleError,
    EngineUnavailable,
    HandshakeFailed,
    ScoresInvalid,
    SettingsError,
)
from node.domain.model import Precision
from node.infer.bundle import Bundle, load_bundle
from node.infer.golden import replay
from node.infer.openvino import EmbeddedScorer
from tests.model_folder import TinyNet, tiny_spec, write_model_folder


@pytest.fixture
def scorer(bundle: Bundle) -> EmbeddedScorer:
    return EmbeddedScorer(bundle, precision=Precision.F32, threads=1)


def batch(count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(7).normal(size=(count, 1, 64, 64)).astype(np.float32)


def test_identity_names_weights_engine_and_precision(scorer: EmbeddedScorer, bundle: Bundle) -> None:
    identity = scorer.identity
    assert (identity.name, identity.weights_sha256) == ("tiny", bundle.weights_sha256)
    assert (identity.engine, identity.precision, identity.device) == ("openvino", Precision.F32, "CPU")
    assert identity.engine_version == openvino.get_version()


@pytest.mark.parametrize("count", [1, 3, 16])
def test_answers_as_the_network_in_numpy(scorer: EmbeddedScorer, count: int) -> None:
    slices = batch(count)
    probabilities, cam = scorer.score(slices)
    expected = TinyNet()(slices)
    np.testing.assert_allclose(probabilities, expected[0], atol=1e-6)
    np.testing.assert_allclose(cam, expected[1], atol=1e-6)


def test_answers_are_copies(scorer: EmbeddedScorer) -> None:
    first, first_cam = scorer.score(batch(2))
    kept = first.copy(), first_cam.copy()
    scorer.score(-batch(2))
    np.testing.assert_array_equal(first, kept[0])
    np.testing.assert_array_equal(first_cam, kept[1])


def test_threads_get_their_own_answers(scorer: EmbeddedScorer) -> None:
    slices = batch(12)
    expected = TinyNet()(slices)[0]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda index: scorer.score(slices[index : index + 1])[0][0], range(12)))
    np.testing.assert_allclose(np.stack(answers), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("streams", "threads", "expected"), [(1, 2, 2), (3, 4, 4), (0, 1, 2), (0, 2, 3), (0, 8, 5)]
)
def test_one_batch_waits_beside_those_that_are_computed(
    bundle: Bundle, streams: int, threads: int, expected: int
) -> None:
    scorer = EmbeddedScorer(bundle, precision=Precision.F32, threads=threads, streams=streams)
    assert scorer.in_flight == expected
    one = batch(1)
    answers = [pending.result() for pending in [scorer.submit(one) for _ in range(2 * expected)]]
    assert all(np.array_equal(answer[0], answers[0][0]) for answer in answers)


def test_batches_are_taken_ahead_and_answered_in_any_order(scorer: EmbeddedScorer) -> None:
    batches = [batch(count) for count in (3, 1, 2)]
    asked = [scorer.submit(one) for one in batches]
    for one, pending in reversed(list(zip(batches, asked, strict=True))):
        np.testing.assert_allclose(pending.result()[0], TinyNet()(one)[0], atol=1e-6)
    first, again = asked[0].result(), asked[0].result()
    assert first[0] is again[0]


def test_answers_that_nobody_asks_for_take_no_place_and_no_memory(scorer: EmbeddedScorer) -> None:
    seen = []
    for _ in range(5 * scorer.in_flight):
        one = batch(2)
        seen.append(weakref.ref(one))
        scorer.submit(one)
        del one
        assert sum(item() is not None for item in seen) <= scorer.in_flight
    assert scorer.score(batch(1))[0].shape == (1, 2)
    scorer.close()
    assert not any(item() is not None for item in seen)


def test_many_threads_submit_and_ask(scorer: EmbeddedScorer) -> None:
    batches = [batch(1) + number for number in range(24)]

    def ask(number: int) -> float:
        pending = scorer.submit(batches[number])
        return float(pending.result()[0][0, 0])

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, range(24)))
    expected = [float(TinyNet()(one)[0][0, 0]) for one in batches]
    np.testing.assert_allclose(answers, expected, atol=1e-5)


def test_a_slice_is_answered_the_same_whatever_lies_beside_it(scorer: EmbeddedScorer) -> None:
    slices = batch(5)
    together = scorer.score(slices)
    for index in range(5):
        for one, all_of_them in zip(scorer.score(slices[index : index + 1]), together, strict=True):
            np.testing.assert_array_equal(one[0], all_of_them[index])


def test_a_refused_batch_keeps_no_place(scorer: EmbeddedScorer) -> None:
    for _ in range(2 * scorer.in_flight):
        with pytest.raises(EngineUnavailable, match="does not take"):
            scorer.submit(np.zeros((1, 3, 64, 64), dtype=np.float32))
    assert scorer.score(batch(2))[0].shape == (2, 2)


def test_an_invalid_answer_belongs_to_its_own_batch(scorer: EmbeddedScorer) -> None:
    broken = scorer.submit(np.full((1, 1, 64, 64), np.nan, dtype=np.float32))
    sound = scorer.submit(batch(1))
    sound.result()
    for _ in range(2):
        with pytest.raises(ScoresInvalid, match="finite"):
            broken.result()


def test_what_was_submitted_before_the_close_is_answered(scorer: EmbeddedScorer) -> None:
    one = batch(2)
    pending = scorer.submit(one)
    scorer.close()
    np.testing.assert_allclose(pending.result()[0], TinyNet()(one)[0], atol=1e-6)
    with pytest.raises(EngineUnavailable, match="closed"):
        scorer.submit(one)


def test_a_batch_that_may_not_be_written_or_lies_apart_is_copied(scorer: EmbeddedScorer) -> None:
    one = batch(4)
    expected = TinyNet()(one)[0]
    one.flags.writeable = False
    np.testing.assert_allclose(scorer.score(one)[0], expected, atol=1e-6)
    np.testing.assert_allclose(scorer.score(one[::2])[0], expected[::2], atol=1e-6)


def test_wrong_shape_is_an_engine_error(scorer: EmbeddedScorer) -> None:
    with pytest.raises(EngineUnavailable):
        scorer.score(np.zeros((1, 3, 64, 64), dtype=np.float32))


def test_values_that_are_not_finite_are_refused(scorer: EmbeddedScorer) -> None:
    with pytest.raises(ScoresInvalid, match="finite"):
        scorer.score(np.full((1, 1, 64, 64), np.nan, dtype=np.float32))


def test_closed_engine_does_not_answer(scorer: EmbeddedScorer) -> None:
    scorer.close()
    with pytest.raises(EngineUnavailable, match="closed"):
        scorer.score(batch(1))


def compiled(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.blob"))


def test_compiled_models_are_kept_where_told_and_taken_again(bundle: Bundle, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = EmbeddedScorer(bundle, precision=Precision.F32, threads=1, cache_dir=cache)
    [kept] = compiled(cache)
    assert bundle.weights_sha256 in kept.parts
    before = kept.stat().st_mtime_ns
    again = EmbeddedScorer(bundle, precision=Precision.F32, threads=1, cache_dir=cache)
    assert compiled(cache) == [kept]
    assert kept.stat().st_mtime_ns == before
    np.testing.assert_array_equal(first.score(batch(3))[0], again.score(batch(3))[0])


def test_other_weights_under_the_same_name_are_compiled_anew(
    bundle: Bundle, tmp_path: Path, golden_slices: list[Any]
) -> None:
    other = load_bundle(write_model_folder(tmp_path / "other", golden_slices, net=TinyNet(gain=20.0)))
    assert (other.name, other.version) == (bundle.name, bundle.version)
    cache = tmp_path / "cache"
    for one, net in ((bundle, TinyNet()), (other, TinyNet(gain=20.0)), (bundle, TinyNet())):
        scorer = EmbeddedScorer(one, precision=Precision.F32, threads=1, cache_dir=cache)
        np.testing.assert_allclose(scorer.score(batch(2))[0], net(batch(2))[0], atol=1e-6)
        replay(one, scorer)


def test_a_damaged_compiled_model_is_compiled_anew(bundle: Bundle, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    EmbeddedScorer(bundle, precision=Precision.F32, threads=1, cache_dir=cache)
    [kept] = compiled(cache)
    kept.write_bytes(b"damaged")
    scorer = EmbeddedScorer(bundle, precision=Precision.F32, threads=1, cache_dir=cache)
    replay(bundle, scorer)


def test_a_precision_that_was_not_judged_is_refused(tmp_path: Path, golden_slices: list[Any]) -> None:
    bundle = load_bundle(write_model_folder(tmp_path, golden_slices, parameters={"precisions": "f32"}))
    with pytest.raises(SettingsError, match=r"infer\.precision"):
        EmbeddedScorer(bundle, precision=Precision.BF16, threads=1)


def int8_beside(folder: Path, tmp_path: Path) -> dict[str, str]:
    """Write a network in OpenVINO's own format and return the parameters that name it."""
    model = openvino.Core().read_model(folder / "1" / "model.onnx")
    openvino.save_model(model, tmp_path / "int8.xml", compress_to_fp16=False)
    both = [(tmp_path / name).read_bytes() for name in ("int8.xml", "int8.bin")]
    return {"precisions": "f32 int8", "int8_sha256": hashlib.sha256(both[0] + both[1]).hexdigest()}


def test_a_quantised_network_is_run_where_the_export_kept_one(
    folder: Path, tmp_path: Path, golden_slices: list[Any]
) -> None:
    parameters = int8_beside(folder, tmp_path)
    other = write_model_folder(tmp_path / "with", golden_slices, parameters=parameters)
    for name in ("int8.xml", "int8.bin"):
        (tmp_path / name).rename(other / "1" / name)
    arrays = dict(np.load(other / "1" / "golden.npz")) | {"tolerance_int8": np.float64(1e-4)}
    np.savez(other / "1" / "golden.npz", allow_pickle=False, **arrays)
    bundle = load_bundle(other)
    scorer = EmbeddedScorer(bundle, precision=Precision.INT8, threads=1)
    assert scorer.identity.weights_sha256 == parameters["int8_sha256"] != bundle.weights_sha256
    replay(bundle, scorer)
    (other / "1" / "int8.bin").write_bytes(b"other weights")
    with pytest.raises(HandshakeFailed, match="int8_sha256"):
        load_bundle(other)


def test_int8_without_a_network_of_its_own_is_refused(tmp_path: Path, golden_slices: list[Any]) -> None:
    folder = write_model_folder(tmp_path, golden_slices, parameters={"precisions": "f32 int8"})
    with pytest.raises(BundleError, match="int8_sha256"):
        load_bundle(folder)


def test_weights_that_are_no_network_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"<html>")
    with pytest.raises(BundleError, match="cannot be read"):
        EmbeddedScorer(dataclasses.replace(bundle, onnx=broken), precision=Precision.F32, threads=1)


def test_a_network_of_another_input_size_is_refused(bundle: Bundle) -> None:
    spec = tiny_spec(input=dataclasses.replace(bundle.spec.input, size=(32, 32)))
    with pytest.raises(BundleError, match="inputs"):
        EmbeddedScorer(dataclasses.replace(bundle, spec=spec), precision=Precision.F32, threads=1)


def test_a_network_without_the_named_output_is_refused(bundle: Bundle) -> None:
    spec = tiny_spec(outputs=dataclasses.replace(bundle.spec.outputs, cam="map"))
    with pytest.raises(BundleError, match="'map'"):
        EmbeddedScorer(dataclasses.replace(bundle, spec=spec), precision=Precision.F32, threads=1)


def test_bf16_runs_within_its_own_tolerance_where_the_processor_has_it(bundle: Bundle) -> None:
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(SettingsError, match="no bf16"):
            EmbeddedScorer(bundle, precision=Precision.BF16, threads=1)
        return
    scorer = EmbeddedScorer(bundle, precision=Precision.BF16, threads=1)
    assert scorer.identity.precision is Precision.BF16
    replay(bundle, scorer)


def test_an_engine_that_rested_answers_the_same(scorer: EmbeddedScorer) -> None:
    one = batch(5)
    before = scorer.score(one)
    pending = scorer.submit(one)
    scorer.rest()
    for answer in (pending.result(), scorer.score(one)):
        np.testing.assert_array_equal(answer[0], before[0])
        np.testing.assert_array_equal(answer[1], before[1])


def test_a_resting_engine_holds_no_batch_and_rests_again_even_closed(scorer: EmbeddedScorer) -> None:
    one = batch(2)
    held = weakref.ref(one)
    scorer.submit(one)
    del one
    scorer.rest()
    assert held() is None
    scorer.rest()
    scorer.close()
    scorer.rest()
