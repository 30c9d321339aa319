"""The cache of decoded images: what is stored once, decoded again, listed and cleared."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lenet.config import DataConfig
from lenet.data import cache, catalog, load_dataset
from lenet.data.copies import image_facts
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


@pytest.mark.parametrize("damage", [
    "truncate", "header", "no about", "odd about", "other format", "labels", "empty", "pixels", "digests", "first",
    "no constant", "constant", "classes", "train count", "sha256",
])  # fmt: skip
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
    elif damage in ("classes", "train count", "sha256"):
        about = json.loads((entry / "about.json").read_text())
        wrong = {"classes": about["classes"][::-1], "train_count": 100, "sha256": "0" * 64}
        name = damage.replace(" ", "_")
        (entry / "about.json").write_text(json.dumps(about | {name: wrong[name]}))
    elif damage in ("labels", "digests", "first", "constant"):
        array = np.load(entry / f"{damage}.npy")
        array[7] = 0 if array[7].any() else 1
        np.save(entry / f"{damage}.npy", array)
    elif damage == "no constant":
        (entry / "constant.npy").unlink()
    elif damage == "pixels":
        (entry / "images.npy").write_bytes(images[:-1] + bytes([images[-1] ^ 1]))
    else:
        shutil.rmtree(entry)
        entry.mkdir()
    data = load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar)))
    check(data)
    assert data.sha256 == sha256
    assert len(entries(tmp_path)) == 1
    check_facts(data)


def check_facts(data):
    found = image_facts(data.images)
    for name in ("digests", "first", "constant"):
        np.testing.assert_array_equal(getattr(data.facts, name), getattr(found, name))


def resident(path):
    """How many bytes of a mapped file this process has in its memory."""
    kib = [
        int(line.split()[1])
        for mapping in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())
        for line in mapping.splitlines()
        if str(path) in mapping.splitlines()[0] and line.startswith("Rss:")
    ]
    assert kib, f"{path} is not mapped"
    return 1024 * sum(kib)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells which pages are in memory")
def test_opening_a_cached_folder_reads_no_image_file_and_no_pixels(photographs, monkeypatch, check, tmp_path):
    root = photographs(tmp_path / "x", {"a": 40, "b": 40})
    shutil.copy(tmp_path / "x" / "a" / "000.png", tmp_path / "x" / "b" / "copy.png")
    first = load_dataset(DataConfig(data=root, size=96))
    notes = first.notes
    del first

    def fail(*_, **__):
        raise AssertionError("a pass over the images")

    with monkeypatch.context() as patched:
        for name in ("reading.decode", "dataset.image_facts", "cache.image_facts", "cache.digest", "loaded.digest"):
            patched.setattr(f"lenet.data.{name}", fail)
        data = load_dataset(DataConfig(data=root, size=96))
    (entry,) = entries(tmp_path)
    assert resident(entry / "images.npy") < data.images.nbytes / 4
    assert data.notes == notes
    assert "1 exact copy of other images" in notes[-2]
    check(data)
    check_facts(data)
    assert resident(entry / "images.npy") >= data.images.nbytes  # `check` reads them


@pytest.mark.parametrize("change", ["name", "size", "time", "new", "gone", "label"])
def test_an_entry_of_files_that_changed_is_made_again(photographs, check, tmp_path, change):
    root = photographs(tmp_path / "x", {"a": 8, "b": 8})
    load_dataset(DataConfig(data=root))
    files = sorted((tmp_path / "x" / "a").iterdir())
    pixels = np.random.default_rng(1).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    if change == "name":
        files[0].rename(files[0].with_name("zzz.png"))
    elif change == "size":
        Image.fromarray(pixels[:10]).save(files[0])
    elif change == "time":
        files[0].write_bytes(files[1].read_bytes())
        os.utime(files[0], ns=(1, 1))
    elif change == "new":
        Image.fromarray(pixels).save(files[0].with_name("new.png"))
    elif change == "gone":
        files[0].unlink()
    else:
        files[0].rename(tmp_path / "x" / "b" / "moved.png")
    again = load_dataset(DataConfig(data=root))
    check(again)
    check_facts(again)
    for index, name in enumerate(again.files):
        with Image.open(tmp_path / "x" / name) as image:
            np.testing.assert_array_equal(again.images[index], fit_image(image, 32, 3))
    assert len(entries(tmp_path)) == 1


@pytest.mark.parametrize("change", ["files swapped", "folders swapped", "time restored"])
def test_a_change_that_leaves_sizes_and_times_of_modification_is_found(tmp_path, change):
    root = tmp_path / "x"
    for number, name in enumerate("ab"):
        (root / name).mkdir(parents=True)
        for index in range(8):
            file = root / name / f"{index}.bmp"
            Image.new("RGB", (20, 20), (9, 100 * number, 10 * index)).save(file)
            os.utime(file, ns=(1, 1))
    load_dataset(DataConfig(data=str(root)))
    one, other = (root / "a", root / "b") if change == "folders swapped" else (root / "a/0.bmp", root / "b/0.bmp")
    if change == "time restored":
        one.write_bytes(other.read_bytes())
        os.utime(one, ns=(1, 1))
    else:
        one.rename(tmp_path / "aside")
        other.rename(one)
        (tmp_path / "aside").rename(other)
    again = load_dataset(DataConfig(data=str(root)))
    for index, name in enumerate(again.files):
        with Image.open(root / name) as image:
            np.testing.assert_array_equal(again.images[index], fit_image(image, 32, 3))


def test_a_copied_cache_is_read_once_as_a_whole_and_then_trusted(photographs, monkeypatch, check, tmp_path):
    root = photographs(tmp_path / "x", {"a": 8, "b": 8})
    first = load_dataset(DataConfig(data=root))
    shutil.copytree(tmp_path / "cache", tmp_path / "copy")
    monkeypatch.setenv("LENET_CACHE", str(tmp_path / "copy"))
    read, hashed = [], cache.digest
    monkeypatch.setattr(cache, "digest", lambda arrays: read.append(1) or hashed(arrays))
    for _ in range(3):
        data = load_dataset(DataConfig(data=root))
        check(data)
        assert data.sha256 == first.sha256
    assert len(read) == 1


@pytest.mark.parametrize("trace", [True, False])
def test_a_pixel_that_changes_is_found_without_a_trace_where_all_are_read(photographs, check, tmp_path, trace):
    root = photographs(tmp_path / "x", {"a": 8, "b": 8})
    first = load_dataset(DataConfig(data=root))
    sha256 = first.sha256
    (entry,) = entries(tmp_path)
    path = entry / "images.npy"
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(bytes([255 - first.images[-1, -1, -1, -1]]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    if not trace:  # as if the disk had changed it
        stat = path.stat()
        about = json.loads((entry / "about.json").read_text())
        about["written"] = [stat.st_size, stat.st_ctime_ns, stat.st_ino]
        (entry / "about.json").write_text(json.dumps(about))
    data = load_dataset(DataConfig(data=root), verify=not trace)
    check(data)
    assert data.sha256 == sha256


def test_facts_of_chosen_classes_are_those_of_their_images(photographs, check, tmp_path):
    root = photographs(tmp_path / "x", {"a": 8, "b": 8, "c": 8})
    for name in ("a", "b", "c"):
        shutil.copy(tmp_path / "x" / "a" / "003.png", tmp_path / "x" / name / "copy.png")
        Image.new("RGB", (20, 20), (9, 9, 9)).save(tmp_path / "x" / name / "empty.png")
    for _ in range(2):
        data = load_dataset(DataConfig(data=root, classes="b,c"))
        check(data)
        check_facts(data)
        assert data.facts.constant.sum() == 2
        assert (data.facts.first != np.arange(20)).sum() == 2


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
