"""Build the networks in Keras, save them in the legacy layout, and write down what they answer.

Run in an environment of its own, from the repository's root::

    python -m venv keras-environment
    keras-environment/bin/pip install -r tests/parity/requirements.txt
    KERAS_BACKEND=torch keras-environment/bin/python -m tests.parity.reference FOLDER
    python -m tests.parity.compare FOLDER

It writes ``answers.json`` beside this file; the unit tests hold the import against these numbers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import keras
from keras import layers

from tests.parity.numbers import SIDE, images, weights_for

ANSWERS = Path(__file__).parent / "answers.json"


def backbone(name: str) -> Any:
    return getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(SIDE, SIDE, 1))


def with_head(model: Any, pooled: bool) -> Any:
    values = (layers.GlobalAveragePooling2D() if pooled else layers.Flatten())(model.output)
    scores = layers.Dense(2, activation="softmax")(layers.Dropout(0.5)(values))
    return keras.Model(model.input, scores)


def with_pyramid(model: Any) -> Any:
    """The layers of the code published with Rahimzadeh et al. 2021."""
    c3, c4, c5 = (
        model.get_layer(name).output
        for name in ("conv4_block1_preact_relu", "conv5_block1_preact_relu", "post_relu")
    )
    fifth = layers.Conv2D(256, 1, name="C5_reduced")(c5)
    p5 = layers.Conv2D(256, 3, padding="same", name="P5")(fifth)
    fourth = layers.Concatenate()([fifth, layers.Conv2D(256, 1, name="C4_reduced")(c4)])
    up = layers.UpSampling2D(2, interpolation="nearest")(fourth)
    p4 = layers.Conv2D(256, 3, name="P4")(fourth)
    p3 = layers.Conv2D(256, 3, name="P3")(
        layers.Concatenate()([up, layers.Conv2D(256, 1, name="C3_reduced")(c3)])
    )
    p6 = layers.Conv2D(256, 3, strides=2, padding="same", name="P6")(c5)
    p7 = layers.Conv2D(256, 3, strides=2, padding="same", name="P7")(layers.Activation("relu")(p6))
    heads = [
        layers.Dense(2, activation="relu")(layers.Dropout(0.5)(layers.Flatten()(maps)))
        for maps in (p3, p4, p5, p6, p7)
    ]
    return keras.Model(model.input, layers.Dense(2, activation="softmax")(layers.Concatenate()(heads)))


NETS = {
    "resnet50v2-fpn": lambda: with_pyramid(backbone("ResNet50V2")),
    "resnet50v2": lambda: with_head(backbone("ResNet50V2"), pooled=False),
    "resnet50v2-pooled": lambda: with_head(backbone("ResNet50V2"), pooled=True),
    "xception": lambda: with_head(backbone("Xception"), pooled=False),
    "xception-pooled": lambda: with_head(backbone("Xception"), pooled=True),
    "densenet121": lambda: backbone("DenseNet121"),
}


def main(folder: Path) -> None:
    """Write ``NAME.h5`` a network into ``folder``, and all answers."""
    keras.config.set_floatx("float32")
    folder.mkdir(parents=True, exist_ok=True)
    answers = {"keras": keras.__version__, "backend": keras.backend.backend()}
    for name, build in NETS.items():
        model = build()
        for layer in model.layers:
            if layer.weights:
                layer.set_weights(weights_for(layer.name, [tuple(one.shape) for one in layer.weights]))
        model.save(folder / f"{name}.h5")
        answers[name] = answer_of(model)
        sys.stdout.write(f"{name}: {model.count_params()} values, {answers[name]}\n")
    ANSWERS.write_text(json.dumps(answers, indent=1) + "\n")


def answer_of(model: Any) -> list[list[float]]:
    """Return scores before the softmax, or where there is no head the means of the first eight maps."""
    last = model.layers[-1]
    if isinstance(last, layers.Dense):
        last.activation = keras.activations.linear
    answer = keras.ops.convert_to_numpy(model(images(), training=False))
    return (answer if answer.ndim == 2 else answer.mean(axis=(1, 2))[:, :8]).tolist()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
