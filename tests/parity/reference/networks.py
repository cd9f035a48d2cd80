"""Networks built in Keras and saved in the legacy layout, and what they answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow import keras
from tensorflow.keras import layers

from tests.parity.numbers import SIDE, images, weights_for


def backbone(name: str, channels: int = 1) -> Any:
    build = getattr(keras.applications, name)
    return build(weights=None, include_top=False, input_shape=(SIDE, SIDE, channels))


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
}
NO_TOP = {"resnet50v2": "ResNet50V2", "xception": "Xception", "densenet121": "DenseNet121"}
"""Families as Keras Applications publishes them for initial weights: three channels, weights alone."""


def write_networks(folder: Path, used: dict[str, str]) -> None:
    """Write ``NAME.h5`` a network into ``folder``, and ``networks.json`` with all answers."""
    answers: dict[str, Any] = {"made with": used}
    for name, build in NETS.items():
        model = weighted(build())
        model.save(folder / f"{name}.h5")
        model.layers[-1].activation = keras.activations.linear
        answers[name] = model(images(), training=False).numpy().tolist()
        say(name, model)
    for family, title in NO_TOP.items():
        model = weighted(backbone(title, channels=3))
        model.save_weights(folder / f"{family}-notop.h5")
        for name, batch in (("notop", images(3)), ("notop-grey", np.repeat(images(), 3, axis=3))):
            maps = model(batch, training=False).numpy()
            answers[f"{family}-{name}"] = maps.mean(axis=(1, 2))[:, :8].tolist()
        say(f"{family}-notop", model)
    (folder / "networks.json").write_text(json.dumps(answers, indent=1) + "\n")


def weighted(model: Any) -> Any:
    """Give a model the weights that its layers' names and shapes call for."""
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(weights_for(layer.name, [tuple(one.shape) for one in layer.weights]))
    return model


def say(name: str, model: Any) -> None:
    """Name what was built, with its size."""
    sys.stdout.write(f"built in Keras: {name}, {model.count_params()} values\n")
    sys.stdout.flush()
