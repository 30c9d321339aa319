"""The cache of decoded images: what is stored once, decoded again, listed and cleared."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from lenet.config import DataConfig
from lenet.data import cache, catalog, load_dataset
from lenet.data.fit import fit_image

pytestmark = pytest.mark.usefixtures("hidden")


def entries(tmp_path):
    folder = tmp_path / "cache" / "arrays"
    return sorted(folder.iterdir()) if folder.exists() else []


def test_changed_files_are_decoded_again_and_replace_the_stale_entry(small_cifar, tmp_path, check):
    first = load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar)))
    load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar), size=16))
    assert len(entries(tmp_path)) == 2
    victim = small_cifar / "cifar-10-batches-bin" / "data_batch_1.bin"
    content = bytearray(victim.read_bytes())
    content[1] ^= 255
    victim.write_bytes(content)
    os.utime(victim, ns=(1, 1))
    changed = load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar)))
    check(changed)
    assert changed.sha256 != first.sha256
    assert len(entries(tmp_path)) == 2
    check(first)  # its map outlives the removed entry


@pytest.mark.parametrize("damage", ["truncate", "header", "no about", "odd about", "other format", "labels", "empty"])
def test_a_damaged_entry_is_made_again(small_cifar, tmp_path, damage, check):
    sha256 = load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar))).sha256
    (entry,) = entries(tmp_path)
    images = (entry / "images.npy").read_bytes()
    if damage == "truncate":
        (entry / "images.npy").write_bytes(images[:-1])
    elif damage == "header":
        (entry / "images.npy").write_bytes(b"PK\3\4" + images[4:])
    elif damage == "no about":
        (entry / "about.json").unlink()
    elif damage == "odd about":
        (entry / "about.json").write_text(json.dumps([1]))
    elif damage == "other format":
        about = json.loads((entry / "about.json").read_text())
        (entry / "about.json").write_text(json.dumps(about | {"format": 1}))
    elif damage == "labels":
        np.save(entry / "labels.npy", np.full(240, 10))
    else:
        shutil.rmtree(entry)
        entry.mkdir()
    data = load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar)))
    check(data)
    assert data.sha256 == sha256
    assert len(entries(tmp_path)) == 1


def test_a_cache_that_cannot_be_written_is_not_needed(monkeypatch, small_cifar, tmp_path, capsys, check):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LENET_CACHE", str(tmp_path / "file"))
    check(load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar))))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("LENET_CACHE", str(tmp_path / "full"))
    monkeypatch.setattr(np, "save", full)
    check(load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar))))
    assert list((tmp_path / "full" / "arrays").iterdir()) == []
    assert capsys.readouterr() == ("", "")


def cifar(small_cifar, **options):
    return DataConfig(data="cifar10", data_dir=str(small_cifar), **options)


def test_a_published_dataset_is_cached_once_for_all_channels_classes_and_fits(small_cifar, tmp_path, check):
    names = catalog.CIFAR10.classes
    plain = load_dataset(cifar(small_cifar))
    colour = load_dataset(cifar(small_cifar, channels=3, fit="pad"))
    turned = load_dataset(cifar(small_cifar), classes=names[::-1])
    few = load_dataset(cifar(small_cifar, classes="cat,dog"))
    grey = load_dataset(cifar(small_cifar, channels=1))
    for data in (plain, colour, turned, few, grey):
        check(data)
    assert len(entries(tmp_path)) == 1
    for data in (plain, colour, turned):
        assert is_mapped(data.images)
    assert colour.sha256 == plain.sha256
    assert turned.labels.tolist() == [9 - label for label in plain.labels]
    np.testing.assert_array_equal(grey.images[7], fit_image(Image.fromarray(plain.images[7]), 32, 1))


def test_grey_and_resized_is_an_entry_of_its_own_since_its_pixels_differ(small_cifar, tmp_path):
    plain = load_dataset(cifar(small_cifar))
    grey = load_dataset(cifar(small_cifar, channels=1, size=16))
    load_dataset(cifar(small_cifar, channels=3, size=16))
    assert len(entries(tmp_path)) == 3
    np.testing.assert_array_equal(grey.images[7], fit_image(Image.fromarray(plain.images[7]), 16, 1))


def is_mapped(images):
    while isinstance(images.base, np.ndarray):
        images = images.base
    return isinstance(images, np.memmap)


def test_a_folder_is_cached_once_for_all_channels_and_classes(photographs, check, tmp_path):
    root = photographs(tmp_path / "x", {"a": 4, "b": 4})
    plain = load_dataset(DataConfig(data=root))
    turned = load_dataset(DataConfig(data=root, channels=3), classes=("b", "a"))
    for data in (plain, turned):
        check(data)
        assert is_mapped(data.images)
    assert len(entries(tmp_path)) == 1
    assert turned.labels.tolist() == [1 - label for label in plain.labels]
    assert turned.sha256 != plain.sha256
    assert load_dataset(DataConfig(data=root), classes=("a", "b")).sha256 == plain.sha256
    grey = load_dataset(DataConfig(data=root, channels=1))
    check(grey)
    assert len(entries(tmp_path)) == 2  # the images are resized


def test_grey_folders_are_cached_once_for_all_channels(check, tmp_path):
    for name in "ab":
        (tmp_path / "x" / name).mkdir(parents=True)
        for number in range(4):
            Image.new("L", (20, 20), 10 * number).save(tmp_path / "x" / name / f"{number}.png")
    root = str(tmp_path / "x")
    own, colour, grey = (load_dataset(DataConfig(data=root, channels=channels)) for channels in (None, 3, 1))
    assert [data.images.shape[3] for data in (own, colour, grey)] == [1, 3, 1]
    for data in (own, colour, grey):
        check(data)
    np.testing.assert_array_equal(colour.images, own.images.repeat(3, axis=3))
    assert len(entries(tmp_path)) == 1


def test_colour_in_the_test_images_alone_leaves_the_dataset_grey(check, photographs, tmp_path):
    for name in "ab":
        (tmp_path / "x" / "train" / name).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (20, 20), (number, number, number)).save(tmp_path / "x" / "train" / name / f"{number}.png")
    photographs(tmp_path / "x", {"test/a": 1})
    data = load_dataset(DataConfig(data=str(tmp_path / "x")))
    check(data)
    assert data.images.shape == (9, 32, 32, 1)
    with Image.open(tmp_path / "x" / "test" / "a" / "000.png") as image:
        np.testing.assert_array_equal(data.images[-1], fit_image(image, 32, 1))
    assert load_dataset(DataConfig(data=str(tmp_path / "x"), channels=3)).images.shape == (9, 32, 32, 3)


def test_what_a_killed_process_was_writing_and_entries_of_other_versions_are_removed(small_cifar, tmp_path):
    arrays = tmp_path / "cache" / "arrays"
    (arrays / ".new-killed").mkdir(parents=True)
    (arrays / ".new-killed" / "images.npy").write_bytes(bytes(1000))
    (arrays / "cifar10-old-entry").mkdir()
    (arrays / "cifar10-old-entry" / "about.json").write_text('{"shape": [1, 2, 3, 4]}')
    load_dataset(cifar(small_cifar))
    (entry,) = arrays.iterdir()
    assert (entry / "images.npy").is_file()


def test_entries_are_listed_and_cleared(small_cifar, photographs, check, tmp_path):
    assert (cache.entries(), cache.clear()) == ([], 0)
    root = photographs(tmp_path / "x", {"a": 4, "b": 4})
    data = load_dataset(cifar(small_cifar))
    load_dataset(DataConfig(data=root, size=16))
    (tmp_path / "cache" / "arrays" / "damaged").mkdir()
    listed = cache.entries()
    assert [(entry.name, entry.shape, entry.source) for entry in listed] == [
        ("cifar10", (240, 32, 32, 3), str(small_cifar / "cifar-10-batches-bin")),
        ("x", (8, 16, 16, 3), root),
    ]
    assert listed[0].bytes > 240 * 32 * 32 * 3
    assert cache.clear() == sum(entry.bytes for entry in listed)
    assert (cache.entries(), entries(tmp_path)) == ([], [])
    check(data)  # its map outlives the removed entry
    check(load_dataset(cifar(small_cifar)))


def test_the_user_cache_follows_its_variables(monkeypatch, tmp_path):
    monkeypatch.setenv("LENET_CACHE", "~/mine")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.user_cache() == tmp_path / "home" / "mine"
    monkeypatch.delenv("LENET_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.user_cache() == tmp_path / "xdg" / "lenet"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.user_cache() == tmp_path / "home" / ".cache" / "lenet"
