"""The named networks: a table of their shapes, and the layers of any of them.

A network takes raw pixels, uint8 [B, H, W, C] of its input size, and returns logits [B, classes].
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lenet.config import SHAPING
from lenet.errors import InputError, counted, did_you_mean
from lenet.layers.deep import Deep
from lenet.layers.defaults import normalize
from lenet.layers.lenet import LeNet
from lenet.layers.table import Layer

Shape = LeNet | Deep

AUTO_MODEL = "auto"  # chosen before the network is made: lenet.training.automatic

SHAPES: dict[str, Shape] = {
    "lenet5": LeNet(
        activation="tanh",
        pool="average",
        origin="LeCun et al. 1998; the vanilla network of the CIFAR-100 study. "
        "Added by lenet: averages without weights, full connections, a linear last layer.",
    ),
    "lenet-dropout": LeNet(
        pool="average",
        dropout=0.2,
        origin="The CIFAR-10 study. Added by lenet: LeNet-5's widths, ReLU after convolutions too, dropout 0.2.",
    ),
    "lenet5-tuned": LeNet(
        fc=(64, 128),
        batch_norm="first-fc",
        origin="The tuned network of the CIFAR-100 study. Added by lenet: batch norm before the activation.",
    ),
    "lenet5-modern": LeNet(
        batch_norm="all",
        origin="The default: LeNet-5's widths with ReLU, max pooling and batch norm after every layer.",
    ),
    "lenet-62k": LeNet(
        maps=(31, 63),
        fc=(),
        padding=2,
        pool="max-average",
        pool_sizes=(2, 4),
        batch_norm="all",
        norm="after-pool",
        origin="LeNet-5's number of parameters (on CIFAR-10), most of them in the convolutions. By lenet.",
    ),
    "small-vgg": Deep(
        maps=(16, 32, 56),
        stage="plain",
        origin="LeNet-5's number of parameters (on CIFAR-10) in six convolutions, in the manner of VGG. By lenet.",
    ),
    "resnet8": Deep(
        maps=(16, 32, 64),
        stage="residual",
        origin="MLPerf Tiny's image classification model, whose 78,666 parameters include 480 batch norm "
        "statistics. Changed by lenet: symmetric padding of strided convolutions, PyTorch's initial weights.",
    ),
}


def shape_named(name: str, **changes: Any) -> Shape:
    """The named shape with the fields of `changes`; None keeps a field.

    Raises InputError for an unknown name, and for a field or a number of maps that the shape does not have.
    """
    if name == AUTO_MODEL:
        raise InputError("model auto: only 'lenet train' chooses a network; name one ('lenet models' lists them)",
                         options=["model"])  # fmt: skip
    if name not in SHAPES:
        raise InputError(f"no model '{name}'{did_you_mean(name, SHAPES)}", options=["model"])
    shape = SHAPES[name]
    given = {field: value for field, value in changes.items() if value is not None}
    for field in given:
        if not hasattr(shape, field):
            known = " and ".join(option for option in SHAPING if hasattr(shape, option))
            option = field.replace("_", "-")
            raise InputError(f"{option} does not change {name}, which takes {known}: leave it out, or use a LeNet",
                             options=["model", field])  # fmt: skip
    if len(maps := given.get("maps", shape.maps)) != len(shape.maps):
        example = " ".join(map(str, shape.maps))
        raise InputError(f"maps takes {counted(len(shape.maps), 'number')} for {name}, such as {example}, not "
                         f"{len(maps)}", options=["model", "maps"])  # fmt: skip
    return replace(shape, **given)


def layers_of(
    shape: Shape,
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    mean: Sequence[float] = (0.5,),
    std: Sequence[float] = (0.25,),
) -> list[Layer]:
    """The layers of a network of this shape, without tensors.

    input_shape: (height, width, channels), at least 16 x 16 pixels
    mean, std: one value per input channel or one for all, of pixels scaled to 0..1

    Raises InputError for images that are too small, and for an option that would change nothing in this shape.
    """
    channels = input_shape[2]
    mean, std = (list(values) * channels if len(values) == 1 else values for values in (mean, std))
    return [normalize(mean, std), *shape.layers(input_shape, classes)]
