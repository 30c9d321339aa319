"""Every option of a training: its name, type, default, range and meaning.

The flags and help of the command line, the keys of a recipe and the keywords in Python are all made from these classes.
A function takes the group that it needs; `Config` is all groups together.
"""

from dataclasses import dataclass, field
from typing import Any, Literal


def option(
    default: Any, meaning: str, low: float | None = None, high: float | None = None, most: int | None = None
) -> Any:
    """A field of a group: its default, its meaning, for numbers the range, both ends included, and for a tuple of any
    length the largest number of values."""
    return field(default=default, metadata={"meaning": meaning, "low": low, "high": high, "most": most})


@dataclass(frozen=True)
class DataConfig:
    """Images: where they are, how they are read, split and augmented."""

    data: str = option(
        "auto",
        "cifar10, cifar100, stl10, mnist, fashion_mnist, digits, a folder of images, a file of images (.npz, IDX, "
        "Parquet or CSV), or auto: cifar10 if it is on disk, otherwise digits.",
    )
    data_sha256: str | None = option(
        None, "SHA-256 of images and labels. lenet writes it and compares it when it reads the images again."
    )
    data_dir: str | None = option(
        None,
        "Folder in which datasets are found or downloaded. Default: $LENET_DATA, ./data, then the user cache.",
    )
    labels: str | None = option(
        None,
        "CSV file of corrected labels: columns file (or index) and label; an empty label leaves the image out. 'lenet "
        "audit' writes one to edit.",
    )
    size: int | None = option(
        None,
        "Image side length in pixels. Default: the dataset's own; digits 16, stl10 and folders 32; files and arrays "
        "32, or their own if they are square and have 16 to 96 pixels per side.",
        16,
        96,
    )
    channels: Literal[1, 3] | None = option(None, "1 for grey, 3 for colour. Default: as the images are.")
    fit: Literal["crop", "pad", "squash"] = option("crop", "How an image that is not square is made square.")
    classes: str | None = option(None, "Comma-separated names of the classes to use. Default: all.")
    per_class: int | None = option(
        None, "Number of images per class, for training and validation together. Default: all.", 2, 1_000_000
    )
    protocol: Literal["official", "folds", "study"] = option(
        "official",
        "Split of stl10: official (5,000 training, 8,000 test images), folds (its ten folds, one network each), or "
        "study (400 training and 100 test images per class).",
    )
    val_fraction: float = option(
        0.1, "Fraction of the training images used for validation; of all images if they have no test split.", 0.01, 0.5
    )
    split_seed: int = option(0, "Random seed of the train/validation split.", 0, 2**31)
    augment: str = option(
        "auto",
        "Augmentation of training images: none, or some of flip, shift, rotate, scale, colour and cutout. auto: flip "
        "and shift; shift for mnist; none for digits and with --freeze all-but-last.",
    )
    flips: Literal["random", "alternating"] = option(
        "random",
        "flip: random mirrors each image with probability 1/2 in every epoch; alternating mirrors a random half of the "
        "images in the first, third, ... epoch and the other half in the second, fourth, ... epoch.",
    )
    max_shift: int = option(2, "shift: largest shift in pixels, in each direction.", 0, 15)
    max_rotation: float = option(15.0, "rotate: largest angle in degrees, to either side.", 0, 180)
    max_scale: float = option(0.2, "scale: largest change in size; 0.2 scales by 0.8 to 1.2.", 0, 0.5)
    max_colour: float = option(
        0.3, "colour: largest change of brightness, contrast and saturation; 0.3 multiplies each by 0.7 to 1.3.", 0, 0.5
    )
    cutout_size: float = option(
        0.25, "cutout: side of the grey square, as a fraction of the image's shorter side.", 0.05, 0.75
    )


@dataclass(frozen=True)
class ModelConfig:
    """Network: a named shape, and what is changed in it."""

    model: str = option(
        "lenet5-modern",
        "Named network; 'lenet models' lists them. Of the options that change it, deep networks take only --maps and "
        "--dropout. auto: the most accurate network on CIFAR-10 with a similar number of images and epochs.",
    )
    minutes: float | None = option(
        None,
        "model auto: longest expected training time in minutes; slower networks are not chosen. Default: no limit.",
        0.001,
        100_000,
    )
    maps: tuple[int, ...] | None = option(
        None,
        "Output channels: of both convolutions, or of each stage of a deep network. Default: the model's.",
        1,
        4096,
        most=4,
    )
    fc: tuple[int, ...] | None = option(
        None, "Widths of the hidden linear layers: one, two, or none. Default: the model's.", 1, 65536, most=2
    )
    kernel: Literal[3, 5] | None = option(None, "Kernel size of the convolutions. Default: the model's.")
    padding: int | None = option(
        None, "Width of the border of zeros around a convolution's input. Default: the model's.", 0, 2
    )
    dropout: float | None = option(
        None,
        "Dropout probability after each hidden linear layer; in deep networks, before the last layer. Default: the "
        "model's.",
        0,
        0.95,
    )
    activation: Literal["relu", "tanh"] | None = option(None, "Activation function. Default: the model's.")
    pool: Literal["max", "average", "max-average"] | None = option(
        None,
        "Kind of pooling. max-average: the maximum of 2x2 values, then the mean of the maxima in a window of "
        "--pool-sizes. Default: the model's.",
    )
    pool_sizes: tuple[int, int] | None = option(
        None,
        "Side of the pooling window after each convolution: 2, 4 or 8. Default: the model's.",
        2,
        8,
    )
    batch_norm: Literal["none", "first-fc", "all"] | None = option(
        None, "Batch norm: none, after the first linear layer, or after every layer. Default: the model's."
    )
    norm: Literal["before-pool", "after-pool"] | None = option(
        None,
        "Place of a convolution's batch norm: before activation and pooling, or after them, which trains faster. "
        "Default: the model's.",
    )


# Options that change a named network.
SHAPING = (
    "maps", "fc", "kernel", "padding", "activation", "pool", "pool_sizes", "batch_norm", "norm", "dropout"
)  # fmt: skip


@dataclass(frozen=True)
class TransferConfig:
    """Transfer: the network to start from, and which layers are trained."""

    start: str | None = option(None, "Run whose best network is the start; its last layer is replaced.")
    start_sha256: str | None = option(
        None, "SHA-256 of that network's weights. lenet writes it and compares it when it reads the run again."
    )
    freeze: str = option(
        "none", "Layers to freeze: none, all-but-last, or a number N: the first N ('lenet models --layers' lists them)."
    )
    unfreeze_after: int = option(0, "Number of epochs after which all layers are trained; 0: never.", 0, 100_000)


# Options whose default follows from another one, by that one.
FOLLOWING = {"optimizer": ("lr", "weight_decay"), "freeze": ("augment",), "unfreeze_after": ("augment",)}
WITH_MOMENTUM = ("sgd", "muon")  # the optimizers to which momentum and nesterov apply


@dataclass(frozen=True)
class TrainingConfig:
    """Training: the optimizer and its schedule."""

    epochs: int = option(20, "Number of epochs.", 1, 100_000)
    batch_size: int = option(64, "Batch size.", 1, 65536)
    lr: float | None = option(
        None, "Peak learning rate. Default: 0.1 with sgd, 0.02 with muon, 0.005 with adam and adamw.", 1e-9, 100
    )
    schedule: Literal["constant", "cosine", "one-cycle"] = option("one-cycle", "Learning rate schedule.")
    optimizer: Literal["sgd", "adam", "adamw", "muon"] = option(
        "sgd",
        "Optimizer. muon: sgd with orthogonal updates of all weights but those of the last layer and of convolutions "
        "with groups.",
    )
    momentum: float = option(0.9, "Momentum of sgd and muon.", 0, 0.9999)
    nesterov: bool = option(True, "Use Nesterov momentum with sgd and muon.")
    weight_decay: float | None = option(
        None,
        "Weight decay; an L2 penalty except in adamw. Default: 5e-4 with sgd and muon, 0 with adam and adamw.",
        0,
        10,
    )
    label_smoothing: float = option(0.0, "Label smoothing.", 0, 0.99)
    class_weights: str = option(
        "none",
        "Weights of the classes in the training loss: none, balanced (rare classes count as much as frequent ones), or "
        'a JSON file with a weight for each class, such as {"cat": 2, "dog": 1}.',
    )
    ema: float = option(
        0.0,
        "Decay per step of an exponential moving average of the weights, which is validated and saved instead of them; "
        "0: none.",
        0,
        0.99999,
    )
    select: Literal["accuracy", "balanced", "loss", "f1", "last"] = option(
        "accuracy",
        "Validation score that chooses the best epoch and network: accuracy, balanced (accuracy in which each class "
        "counts the same), loss, or f1 (macro F1). last: the last epoch and the first network, whatever their scores; "
        "with --val-fraction 0.01, more images are left for training.",
    )
    patience: int = option(
        0, "Stop after this many epochs without a better validation score (see --select); 0: never.", 0, 100_000
    )

    @property
    def peak_lr(self) -> float:
        """The learning rate at the schedule's peak."""
        if self.lr is not None:
            return self.lr
        return {"sgd": 0.1, "muon": 0.02}.get(self.optimizer, 5e-3)

    @property
    def decay(self) -> float:
        """The weight decay."""
        if self.weight_decay is not None:
            return self.weight_decay
        return 5e-4 if self.optimizer in WITH_MOMENTUM else 0.0


@dataclass(frozen=True)
class DistillationConfig:
    """Distillation: trained networks whose predictions are targets beside the labels."""

    teacher: tuple[str, ...] | None = option(
        None, "Runs whose networks are the teachers; the logits of all are averaged.", most=32
    )
    teacher_sha256: str | None = option(
        None, "SHA-256 of the teachers' weights. lenet writes it and compares it when it reads the runs again."
    )
    teacher_weight: float = option(0.9, "Fraction of the target that is the teachers' prediction.", 0.01, 1)
    teacher_temperature: float = option(2.0, "Temperature of the teachers' probabilities; higher is softer.", 0.1, 100)


@dataclass(frozen=True)
class RunConfig:
    """Run: seeds and machine."""

    seed: int = option(0, "Random seed of the first network's weights, order of images and dropout.", 0, 2**31)
    seeds: int = option(1, "Number of networks to train, one per seed (seed, seed + 1, ...).", 1, 1000)
    engine: Literal["auto", "native", "torch"] = option("auto", "Training engine.")
    device: str = option("cpu", "Device of the torch engine: cpu, cuda, cuda:1, ...")
    threads: int | None = option(
        None, "Threads per network. Default: 1 with torch; with native, all cores shared among the networks.", 1, 1024
    )


@dataclass(frozen=True)
class Config(RunConfig, DistillationConfig, TrainingConfig, TransferConfig, ModelConfig, DataConfig):
    """All options of a run. `lenet.train` says what each means."""

    # A dataclass collects the fields of its bases from the last to the first.


GROUPS: tuple[type, ...] = (DataConfig, ModelConfig, TransferConfig, TrainingConfig, DistillationConfig, RunConfig)
