"""Damaged or invalid files of a run are refused with a one-line error."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lenet.data.splits import splits_from
from lenet.runs.tensors import read_tensors, write_tensors


@pytest.fixture
def unfinished(digits_run, tmp_path):
    """A run that was interrupted before it wrote result.json."""
    path = tmp_path / "unfinished"
    shutil.copytree(digits_run.path, path)
    (path / "result.json").unlink()
    return path


def changed(path, change):
    """Apply `change` to the file's tensors and write them back with a valid digest."""
    tensors = read_tensors(path)
    change(tensors)
    write_tensors(path, tensors)


FILES = ("state/0.safetensors", "split.safetensors")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.3, 0.6, 0.99])
def test_resume_refuses_file_with_flipped_bit(lenet, unfinished, name, place, refused):
    path = unfinished / name
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    refused(lenet("train", "--resume", "--out", unfinished), name, "restore it")


@pytest.mark.parametrize("name", FILES)
def test_resume_refuses_file_without_digest(lenet, unfinished, name, refused):
    save_file(read_tensors(unfinished / name), unfinished / name)
    refused(lenet("train", "--resume", "--out", unfinished), name, "has no digest", "restore it")


def test_resume_refuses_state_with_nan(lenet, unfinished, refused):
    def change(tensors):
        tensors["model:1.weight"][0] = torch.nan

    changed(unfinished / "state" / "0.safetensors", change)
    refused(
        lenet("train", "--resume", "--out", unfinished), "state/0.safetensors", "NaN", "remove it to train this network"
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("history:json"),
        lambda state: state.update({"history:json": torch.tensor([1.0])}),
        lambda state: state.update({"history:json": torch.frombuffer(bytearray(b"[5]"), dtype=torch.uint8)}),
        lambda state: state.update({"history:json": torch.frombuffer(bytearray(b"nothing"), dtype=torch.uint8)}),
        lambda state: state.update({"history:json": torch.frombuffer(bytearray(b'[{"epoch": 1}]'), dtype=torch.uint8)}),
        lambda state: state.update({"history:json": torch.frombuffer(bytearray(b"5"), dtype=torch.uint8)}),
        lambda state: state.pop("model:1.weight"),
        lambda state: state.update({"model:1.weight": torch.ones(2)}),
        lambda state: state.update({"model:1.weight": state["model:1.weight"].double()}),
        lambda state: state.update({"best:1.weight": torch.ones(2)}),
        lambda state: state.update({"optimizer:1.weight/exp_avg": torch.ones(2)}),
        lambda state: state.update({"optimizer:1.weight/step": torch.ones(2)}),
        lambda state: state.update({"optimizer:none": torch.ones(2)}),
    ],
)
def test_resume_refuses_invalid_state(lenet, unfinished, change, refused):
    changed(unfinished / "state" / "1.safetensors", change)
    refused(lenet("train", "--resume", "--out", unfinished), "state/1.safetensors", "restore it")


def test_resume_refuses_state_of_another_seed(lenet, unfinished, refused):
    shutil.copy(unfinished / "state" / "0.safetensors", unfinished / "state" / "1.safetensors")
    refused(lenet("train", "--resume", "--out", unfinished), "state/1.safetensors")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda split: split.update(train=torch.zeros(0, dtype=torch.int64)), "train is empty"),
        (lambda split: split.update(val=split["val"].float()), "val must be a list of 64-bit integers"),
        (lambda split: split.update(test=split["test"].reshape(-1, 2)), "test must be a list"),
        (lambda split: split.pop("test"), "test must be a list"),
        (lambda split: split["train"].__setitem__(-1, 5000), "train must hold ascending image numbers from 0 to 1796"),
        (lambda split: split["train"].__setitem__(0, -1), "train must hold ascending"),
        (lambda split: split["train"].__setitem__(1, split["train"][0]), "train must hold ascending"),
        (lambda split: split.update(val=split["test"].clone()), "in two of the splits"),
        (lambda split: split.update({"0.train": split["train"].clone()}), "0.val must be a list"),
        (lambda split: split.update(more=split["train"].clone()), "more does not belong"),
        (lambda split: split.update(sha256=torch.ones(3)), "the images of digits are not those"),
        (lambda split: split.pop("sha256"), "the images of digits are not those"),
    ],
)
def test_resume_and_eval_refuse_invalid_split(lenet, unfinished, change, fault, refused):
    changed(unfinished / "split.safetensors", change)
    refused(
        lenet("train", "--resume", "--out", unfinished), "split" if "images of" not in fault else str(unfinished), fault
    )
    refused(lenet("eval", unfinished), fault)


def test_split_of_every_fold_is_checked():
    def named(**changed):
        of = {"train": [0, 1], "val": [2], "test": [6], "0.train": [0, 1], "0.val": [2], "1.train": [3], "1.val": [4]}
        return {name: np.array(indices, dtype=np.int64) for name, indices in (of | changed).items()}

    assert len(splits_from(named(), 7, 2).folds) == 2
    for wrong in ({"1.val": [3]}, {"1.train": [3, 6]}, {"1.val": []}, {"1.val": [9]}):
        with pytest.raises(ValueError, match=r"1\.|two of the splits"):
            splits_from(named(**wrong), 7, 2)
    with pytest.raises(ValueError, match=r"2\.train"):
        splits_from(named(), 7, 3)
    with pytest.raises(ValueError, match=r"1\.train does not belong"):
        splits_from(named(), 7, 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.update({"1.weight": torch.ones(2)}),
        lambda body: body.pop("1.weight"),
        lambda body: body.update({"1.weight": body["1.weight"].double()}),
    ],
)
def test_resume_refuses_invalid_start_of_transfer(lenet, digits_run, tmp_path, change, refused):
    path = tmp_path / "transferred"
    assert lenet("transfer", digits_run.path, "digits", "--epochs", 1, "--out", path).code == 0
    (path / "result.json").unlink()
    for state in (path / "state").glob("[0-9]*"):
        state.unlink()
    changed(path / "state" / "start.safetensors", change)
    refused(lenet("train", "--resume", "--out", path), "start.safetensors", "restore it")


@pytest.mark.parametrize(
    "change",
    [
        lambda kept: kept.pop("labels"),
        lambda kept: kept.update(predictions=kept["predictions"].float()),
        lambda kept: kept.update(predictions=kept["predictions"][0]),
        lambda kept: kept.update(labels=kept["labels"][:-1].clone()),
        lambda kept: kept["labels"].fill_(-1),
        lambda kept: kept["predictions"].fill_(1 << 40),  # a table by class would not fit into memory
    ],
)
def test_compare_refuses_invalid_predictions(lenet, digits_run, tmp_path, change, refused):
    path = tmp_path / "run"
    shutil.copytree(digits_run.path, path)
    changed(path / "predictions.safetensors", change)
    refused(lenet("compare", digits_run.path, path, "--out", tmp_path / "out"), "predictions.safetensors", "restore it")


def test_predictions_or_weights_with_flipped_bit_are_refused(lenet, digits_run, tmp_path, refused):
    path = tmp_path / "run"
    for name, words in (
        ("predictions.safetensors", ("compare", digits_run.path, path, "--out", tmp_path / "out")),
        ("model.safetensors", ("eval", path)),
    ):
        shutil.copytree(digits_run.path, path)
        content = bytearray((path / name).read_bytes())
        content[-9] ^= 1
        (path / name).write_bytes(content)
        refused(lenet(*words), name, "do not match their digest")
        shutil.rmtree(path)


@pytest.mark.parametrize("empty", ["val", "test"])
def test_train_refuses_empty_split_folder(lenet, tmp_path, digits, empty, refused):
    from PIL import Image

    for label in (0, 1):
        folder = tmp_path / "photos" / "train" / str(label)
        folder.mkdir(parents=True)
        for number in np.flatnonzero(digits.labels == label)[:20]:
            Image.fromarray(digits.images[number, :, :, 0]).save(folder / f"{number}.png")
    (tmp_path / "photos" / empty).mkdir()
    refused(lenet("train", tmp_path / "photos"), f"has no {empty} images: add some")
