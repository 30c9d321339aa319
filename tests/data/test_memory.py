"""Images from Python: arrays, tensors, torch datasets and Hugging Face datasets."""

import numpy as np
import pytest
import torch
from PIL import Image

import lenet
from lenet.config import DataConfig
from lenet.data import load_dataset
from lenet.data.fit import fit_image
from lenet.data.memory import Images, in_memory
from lenet.errors import InputError

pytestmark = pytest.mark.usefixtures("hidden")
LABELS = np.arange(40) % 2
COLOUR = np.random.default_rng(0).integers(0, 256, (40, 20, 20, 3), dtype=np.uint8)


def load(data, classes=None, **options):
    return load_dataset(DataConfig(data="memory", **options), memory=in_memory(data), classes=classes)


class Pairs(torch.utils.data.Dataset):
    """A torch dataset of these images and labels."""

    def __init__(self, images, labels, **more):
        self.images, self.labels = images, labels
        vars(self).update(more)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], self.labels[index]


@pytest.mark.parametrize(
    "images",
    [
        COLOUR,
        COLOUR.transpose(0, 3, 1, 2),
        torch.from_numpy(COLOUR).permute(0, 3, 1, 2),
        torch.from_numpy(COLOUR),
        COLOUR / 255,
        torch.from_numpy(COLOUR).permute(0, 3, 1, 2) / 255,
        [Image.fromarray(pixels) for pixels in COLOUR],
        list(torch.from_numpy(COLOUR).permute(0, 3, 1, 2) / 255),
    ],
    ids=["NHWC", "NCHW", "tensor NCHW", "tensor NHWC", "float64", "float tensor", "PIL", "list of tensors"],
)
def test_every_layout_and_type_gives_the_same_images(images, check):
    data = load((images, LABELS))
    check(data)
    assert (data.name, data.source, data.classes) == ("memory", "memory", ("0", "1"))
    np.testing.assert_array_equal(data.images, COLOUR)
    assert data.sha256 == load((COLOUR, LABELS)).sha256


def test_grey_images_need_no_channel():
    assert load((COLOUR[..., 0], LABELS)).images.shape == (40, 20, 20, 1)
    assert load((COLOUR[..., 0], LABELS), channels=3).images.shape == (40, 20, 20, 3)
    grey = load((COLOUR, LABELS), channels=1, size=16).images
    np.testing.assert_array_equal(grey[3], fit_image(Image.fromarray(COLOUR[3]), 16, 1))


def test_the_size_is_the_images_own_from_16_to_96_pixels_otherwise_32():
    random, sizes = np.random.default_rng(0), {}
    for side in (8, 16, 96, 97):
        sizes[side] = load((random.integers(0, 256, (20, side, side), np.uint8), LABELS[:20])).images.shape[1]
    assert sizes == {8: 32, 16: 16, 96: 96, 97: 32}
    assert load((random.integers(0, 256, (20, 3, 40, 50), np.uint8), LABELS[:20])).images.shape == (20, 32, 32, 3)


@pytest.mark.parametrize("of", [lambda images: (images, LABELS), lambda images: Pairs(images, LABELS)])
def test_the_size_of_a_list_is_that_of_its_images_only_if_they_have_one(of):
    images = list(COLOUR)
    assert load(of(images)).images.shape[1] == 20
    images[0] = images[0][:18, :18]
    assert load(of(images)).images.shape[1] == 32


def test_the_users_array_stays_writable():
    own = COLOUR.copy()
    assert not load((own, LABELS)).images.flags.writeable
    own[0] = 0


def test_labels_may_be_names_and_classes_name_numbers():
    assert load((COLOUR, np.array(["dog", "cat"])[LABELS])).classes == ("cat", "dog")
    data = load(Images(COLOUR, torch.from_numpy(LABELS)[:, None], classes=["night", "day"]))
    assert (data.classes, data.labels.tolist()) == (("night", "day"), LABELS.tolist())
    assert load((COLOUR, LABELS * 8 + 2)).classes == ("2", "10")


def test_whole_numbers_may_be_objects_as_pandas_gives_them():
    images, labels = np.zeros((6, 20, 20), np.uint8), np.array([0, 1, 2, 0, 1, 2], dtype=object)
    assert lenet.check((images, labels)).classes == ("0", "1", "2")


def test_a_dict_gives_the_splits():
    data = load({"test": (COLOUR[30:], LABELS[30:]), "train": (COLOUR[:30], LABELS[:30])})
    assert data.test.tolist() == list(range(30, 40))
    assert data.files[31] == "test[1]"
    np.testing.assert_array_equal(data.images, COLOUR)


@pytest.mark.parametrize("form", [Image.fromarray, np.asarray, torch.from_numpy], ids=["PIL", "array", "tensor"])
def test_a_torch_dataset_is_read_item_by_item(form):
    data = load(Pairs([form(pixels) for pixels in COLOUR], LABELS.tolist(), classes=["a", "b"]))
    np.testing.assert_array_equal(data.images, COLOUR)
    assert (data.classes, data.labels.tolist()) == (("a", "b"), LABELS.tolist())
    subset = load(torch.utils.data.Subset(Pairs([form(pixels) for pixels in COLOUR], LABELS), range(20, 40)))
    np.testing.assert_array_equal(subset.images, COLOUR[20:])


class ClassLabel:
    """As `datasets.ClassLabel`."""

    def __init__(self, names):
        self.names = names


Picture = type("Image", (), {})  # as `datasets.Image`


class HuggingFace:
    """The interface of `datasets.Dataset` that lenet uses."""

    def __init__(self, images, labels, **features):
        self.rows = [{"img": Image.fromarray(x), "coarse": 0, "fine_label": int(y)} for x, y in zip(images, labels)]  # noqa: B905
        self.features = {"img": Picture(), "coarse": ClassLabel(["all", "none"]), **features}

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


@pytest.mark.parametrize("item_of", [lambda image: {"image": image, "label": 0}, Image.fromarray])
def test_a_dataset_with_classes_whose_items_are_not_pairs_is_refused(item_of):
    class Dataset(Pairs):
        def __getitem__(self, index):
            return item_of(self.images[index])

    with pytest.raises(InputError, match=r"40 of 40 images .* \(not \(image, label\)\)"):
        load(Dataset(COLOUR, LABELS, classes=["a", "b"]))


def test_a_hugging_face_dataset_is_recognised_by_its_features():
    fine = ClassLabel(["ant", "bee"])
    data = load(HuggingFace(COLOUR, LABELS, fine_label=fine))
    assert (data.classes, data.labels.tolist()) == (("ant", "bee"), LABELS.tolist())
    np.testing.assert_array_equal(data.images, COLOUR)
    both = load({name: HuggingFace(COLOUR[part], LABELS[part], fine_label=fine)
                 for name, part in (("train", slice(30)), ("test", slice(30, 40)))})  # fmt: skip
    assert len(both.test) == 10
    one = HuggingFace(COLOUR, LABELS)
    one.features = {"a": Picture}
    with pytest.raises(InputError, match=r"data has no column of images \(columns: a\)"):
        load(one)


def spoiled(value, dtype=np.float32):
    images = np.zeros((40, 20, 20), dtype)
    images[7, 3, 3] = value
    return images


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((COLOUR[0, 0], LABELS), r"shape \[20, 3\] is not that of images: give \[N, H, W, C\]"),
        ((COLOUR[..., :2], LABELS), r"shape \[40, 20, 20, 2\] is not that of images"),
        ((COLOUR[:0], LABELS[:0]), "memory has no train images"),
        (
            (COLOUR.astype(np.int64), LABELS),
            "int64 is not a type of pixels: convert to uint8, or to floats",
        ),
        ((spoiled(np.nan), LABELS), "image 7 has NaN: floats must lie from 0 to 1"),
        ((spoiled(1.5), LABELS), "image 7 has a value of 1.5: floats"),
        ((spoiled(-0.1), LABELS), "image 7 has a value of -0.1"),
        ((spoiled(np.inf), LABELS), "image 7 has a value of inf"),
        ((COLOUR, LABELS[:30]), "30 labels for 40 images: give one for each"),
        ((COLOUR, LABELS - 1), "label -1 at image 0: number the classes from 0"),
        ((COLOUR, LABELS / 2), "float64 is not a type of labels"),
        ((COLOUR, np.eye(2)[LABELS]), r"shape \[40, 2\] is not one label per image"),
        ((COLOUR, LABELS * 0), "memory has one class only, '0'"),
        ((COLOUR, [None, "a"] * 20), "label 0 is None, not a name or a whole number"),
        ((COLOUR, [0, 1] * 19 + [0, None]), "label 39 is None, not a name or a whole number"),
        ((COLOUR, np.array([0, "a"] * 20, dtype=object)), "label 38 is a number, others are names: give one kind"),
        ((COLOUR, [0, "a"] * 20), "label 38 is a number, others are names: give one kind"),
        ((COLOUR, ["a", "b"] * 19 + ["a", float("nan")]), "label 39 is nan, not a name or a whole number"),
        ((COLOUR, ["a", True] * 20), "label 1 is True, not a name or a whole number"),
        (Images(COLOUR, [0, 1] * 20, classes=2), "classes must be a list of names, not 2"),
        ((torch.from_numpy(COLOUR).to_sparse(), [0, 1] * 20), "cannot be taken as an array"),
        ((torch.empty(40, 3, 16, 16, device="meta"), [0, 1] * 20), "cannot be taken as an array"),
        (Images(COLOUR, LABELS, classes=["a"]), "one class only|out of range"),
        (Images(COLOUR, LABELS * 2, classes=["a", "b"]), "label 2 is out of range 0 to 1 of the 2 classes"),
        (Images(COLOUR, LABELS, classes=["a", "a"]), "class 'a' is there twice"),
        (Images(3, LABELS), "images must be an array, a tensor or a list, not 3"),
        (COLOUR, r"data takes a name, a path, \(images, labels\), lenet.Images"),
        ({"trian": (COLOUR, LABELS)}, "data: no split 'trian', did you mean 'train'"),
        ({}, "the dict is empty"),
        ({"test": (COLOUR, LABELS)}, "memory has no training images"),
        (
            torch.utils.data.DataLoader(Pairs(COLOUR, LABELS)),
            "DataLoader has no __len__ or no __getitem__: pass the dataset",
        ),
        (Pairs([3] * 40, LABELS), r"40 of 40 images in images of memory cannot be read: images\[0\]"),
        (Pairs(COLOUR, [None] * 40), "its label None is not a whole number or a name"),
    ],
)
def test_wrong_images_and_labels_are_named(data, message):
    with pytest.raises(InputError, match=message) as error:
        load(data)
    assert "\n" not in str(error.value)


def test_a_run_on_images_in_memory_asks_for_the_same_images(tmp_path):
    run = lenet.train((COLOUR, LABELS), epochs=1, out="a")
    config = run.config()
    assert (config.data, config.data_sha256) == ("memory", load((COLOUR, LABELS)).sha256)
    assert lenet.evaluate(run, (COLOUR, LABELS)).own
    other = lenet.evaluate(run, {"test": (COLOUR[:10] // 2, LABELS[:10])})
    assert (other.own, other.split, other.trained_on) == (False, "test", 0)
    assert lenet.train((COLOUR, LABELS), resume=True, out="a").path == run.path
    again = lenet.train((COLOUR, LABELS), recipe="a/config.toml", out="b")
    assert again.result["test_accuracy"] == run.result["test_accuracy"]
    for repeat in (lambda: lenet.evaluate(run), lambda: lenet.train(recipe="a/config.toml", out="c")):
        with pytest.raises(InputError, match="the data is 'memory': pass the same images from Python, as data"):
            repeat()
    for changed in ({"resume": True, "out": "a"}, {"recipe": "a/config.toml", "data_sha256": config.data_sha256}):
        with pytest.raises(InputError, match=r"the images of memory are not those .* pass the same images and labels"):
            lenet.train((255 - COLOUR, LABELS), **changed)


def test_transfer_takes_images_in_memory():
    run = lenet.train((COLOUR, LABELS), epochs=1, out="a")
    names = np.array(["x", "y", "z"])[np.arange(40) % 3]
    again = lenet.transfer(run, (COLOUR[..., 0], names), epochs=1, out="b")
    assert lenet.load(again).classes == ("x", "y", "z")


def test_real_hugging_face_datasets_are_read_and_streams_of_them_refused():
    datasets = pytest.importorskip("datasets")
    pictures = [Image.fromarray(np.full((20, 20, 3), 10 * index, np.uint8)) for index in range(20)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["dark", "light"])})
    whole = datasets.Dataset.from_dict({"image": pictures, "label": [0] * 10 + [1] * 10}, features=features)
    parts = whole.train_test_split(test_size=0.2, seed=0)
    split = datasets.DatasetDict({"train": parts["train"], "validation": parts["test"]})
    for data in (whole, whole.with_format("torch"), whole.rename_column("image", "img"), split):
        dataset = load_dataset(DataConfig(data="memory"), memory=in_memory(data))
        assert dataset.classes == ("dark", "light")
        assert len(dataset.images) == 20
        assert ((dataset.images[:, 0, 0, 0] >= 100) == (dataset.labels == 1)).all()
    with pytest.raises(InputError, match="IterableDataset has no __len__ or no __getitem__: pass the dataset, not a"):
        in_memory(whole.to_iterable_dataset())
