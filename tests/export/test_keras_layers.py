"""Every Keras layer that is read: files that Keras itself wrote, and the values it computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from archonsim.errors import WorkloadError
from archonsim.export.keras_graph import keras_program
from archonsim.export.keras_layers import MAKERS
from archonsim.export.program import ProgramRunner

IMAGE = np.random.default_rng(4).standard_normal((1, 3, 10, 9)).astype(np.float32)

Layers = Any
Build = Callable[[Layers, Any], Any]


@pytest.fixture(scope="module")
def keras() -> Any:
    """Keras, computing by PyTorch."""
    patch = pytest.MonkeyPatch()
    patch.setenv("KERAS_BACKEND", "torch")
    yield pytest.importorskip("keras", reason="keras is not installed (extra 'dev')")
    patch.undo()


#: By layer: what is done to an image of 10x9 pixels and 3 channels.
CASES: dict[str, Build] = {
    "Conv2D": lambda k, x: k.Conv2D(5, (3, 2), strides=2, padding="same", activation="elu")(x),
    "Conv2D of a kernel that grows": lambda k, x: k.Conv2D(4, 3, dilation_rate=2)(x),
    "Conv2D in groups": lambda k, x: k.Conv2D(6, 3, groups=3, use_bias=False)(x),
    "Conv2DTranspose": lambda k, x: k.Conv2DTranspose(5, (4, 2), strides=2, padding="same")(x),
    "Conv2DTranspose of few taps": lambda k, x: k.Conv2DTranspose(5, (1, 3), strides=(2, 3))(x),
    "Conv2DTranspose beyond the map": lambda k, x: k.Conv2DTranspose(4, 5, 2, use_bias=False)(x),
    "DepthwiseConv2D": lambda k, x: k.DepthwiseConv2D(3, depth_multiplier=2)(x),
    "SeparableConv2D": lambda k, x: k.SeparableConv2D(5, 3, activation="relu")(x),
    "Dense": lambda k, x: k.Dense(7, activation="tanh")(k.Flatten()(x)),
    "Dense of one pixel": lambda k, x: k.Dense(7)(k.GlobalAveragePooling2D(keepdims=True)(x)),
    "BatchNormalization": lambda k, x: k.BatchNormalization(epsilon=0.01)(x),
    "BatchNormalization without a gain": lambda k, x: k.BatchNormalization(scale=False)(x),
    "BatchNormalization without an offset": lambda k, x: k.BatchNormalization(center=False)(x),
    "Activation": lambda k, x: k.Activation("hard_silu")(x),
    "Activation linear": lambda k, x: k.Activation("linear")(x),
    "Softmax": lambda k, x: k.Softmax()(x),
    "ReLU": lambda k, x: k.ReLU()(x),
    "ReLU up to 6": lambda k, x: k.ReLU(max_value=6)(x),
    "LeakyReLU": lambda k, x: k.LeakyReLU(negative_slope=0.2)(x),
    "ZeroPadding2D": lambda k, x: k.ZeroPadding2D(((1, 2), (0, 3)))(x),
    "MaxPooling2D": lambda k, x: k.MaxPooling2D((3, 2), strides=2, padding="same")(x),
    # With padding, Keras on PyTorch repeats pixels of the edge and TensorFlow leaves them out, as
    # .tflite files do (test_tflite_operators.py).
    "AveragePooling2D": lambda k, x: k.AveragePooling2D(3, strides=2)(x),
    "GlobalAveragePooling2D": lambda k, x: k.GlobalAveragePooling2D()(x),
    "GlobalMaxPooling2D": lambda k, x: k.GlobalMaxPooling2D(keepdims=True)(x),
    "Flatten": lambda k, x: k.Flatten()(x),
    "Reshape": lambda k, x: k.Reshape((5, 18, -1))(x),
    "Add": lambda k, x: k.Add()([x, k.ReLU()(x), x]),
    "Multiply": lambda k, x: k.Multiply()([x, k.GlobalAveragePooling2D(keepdims=True)(x)]),
    "Subtract": lambda k, x: k.Subtract()([x, k.ReLU()(x)]),
    "Concatenate": lambda k, x: k.Concatenate()([x, k.ReLU()(x)]),
    "Concatenate rows": lambda k, x: k.Concatenate(axis=1)([x, k.ReLU()(x)]),
    "UpSampling2D": lambda k, x: k.UpSampling2D((2, 3))(x),
    "UpSampling2D between pixels": lambda k, x: k.UpSampling2D(2, interpolation="bilinear")(x),
    "Rescaling": lambda k, x: k.Rescaling(0.5, offset=[0.1, 0.2, -0.3])(x),
    "Normalization": lambda k, x: k.Normalization(mean=[0.1, 0.2, 0.3], variance=[1, 2, 3])(x),
    "Dropout": lambda k, x: k.Dropout(0.5)(x),
    "SpatialDropout2D": lambda k, x: k.SpatialDropout2D(0.5)(x),
    "GaussianNoise": lambda k, x: k.GaussianNoise(0.5)(x),
    "GaussianDropout": lambda k, x: k.GaussianDropout(0.5)(x),
    "AlphaDropout": lambda k, x: k.AlphaDropout(0.5)(x),
    "ActivityRegularization": lambda k, x: k.ActivityRegularization(l2=0.1)(x),
}


def made(keras: Any, build: Build) -> Any:
    """Return a network with random weights; a layer before, as the first reads the image alone."""
    keras.utils.set_random_seed(9)
    x = keras.Input((10, 9, 3))
    net = keras.Model(x, build(keras.layers, x))
    rng = np.random.default_rng(1)
    for weight in net.weights:
        if weight.dtype == "float32" and weight.name != "seed":
            # Above 0 on the whole: variances are among them.
            weight.assign(np.abs(rng.normal(0.1, 0.5, weight.shape)) + 0.05)
    return net


@pytest.mark.parametrize(
    ("case", "suffix"),
    [
        *((case, ".keras") for case in CASES),
        *((case, ".h5") for case in ("SeparableConv2D", "BatchNormalization", "Normalization")),
    ],
)
@pytest.mark.filterwarnings("ignore")  # Keras's own, about .h5
def test_its_values_are_keras_s(case: str, suffix: str, tmp_path: Path, keras: Any) -> None:
    net = made(keras, CASES[case])
    path = tmp_path / f"net{suffix}"
    net.save(path)
    theirs = np.asarray(net.predict(IMAGE.transpose(0, 2, 3, 1), verbose=0))
    program = keras_program(path)
    (name,) = program.outputs
    ours: NDArray[Any] = ProgramRunner(program).evaluate({program.image: IMAGE}, [name])[name]
    ours = ours.transpose(0, 2, 3, 1) if ours.ndim == 4 else ours
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=2e-5)


def test_every_layer_is_tried() -> None:
    assert {case.split()[0] for case in CASES} == MAKERS.keys()


def test_a_normalisation_without_a_mean_is_one_line(tmp_path: Path, keras: Any) -> None:
    x = keras.Input((10, 9, 3))
    net = keras.Model(x, keras.layers.Normalization(mean=1.0, variance=2.0)(x))
    net.layers[-1].input_mean = None
    net.save(tmp_path / "net.keras")
    with pytest.raises(
        WorkloadError, match=r"net.keras: .*normalization.*neither weights nor a me"
    ):
        keras_program(tmp_path / "net.keras")
