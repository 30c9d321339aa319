"""The command line: one line on standard error for wrong words and wrong data."""

import os
import pickle
from pathlib import Path

import pytest

# ---- words that are wrong -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("trian", ["trian", "train"]),
        ("train cifar1", ["no dataset or folder 'cifar1', did you mean 'cifar10'"]),
        ("train photos/none", ["no file or folder 'photos/none'"]),
        ("train --recipe cifar10-lennet", ["no recipe 'cifar10-lennet', did you mean 'cifar10-lenet'"]),
        ("train --recipe none.toml", ["no recipe file none.toml"]),
        ("train digits --model lenet6", ["no model 'lenet6', did you mean 'lenet5'"]),
        ("train digits --epocs 3", ["--epocs", "--epochs"]),
        ("train digits more", ["more"]),
        ("train digits --epochs", ["--epochs"]),
        ("train digits --epochs 0", ["epochs must lie between 1 and 100,000, not 0"]),
        ("train digits --epochs many", ["--epochs: 'many' is not a whole number"]),
        ("train digits --epochs 2.5", ["--epochs: '2.5' is not a whole number"]),
        ("train digits --maps 6 7.5", ["--maps: '7.5' is not a whole number"]),
        ("train digits --lr nan", ["lr must lie between"]),
        ("train digits --lr=-1", ["lr must lie between"]),
        ("train digits --schedule cosin", ["--schedule", "cosin", "cosine"]),
        ("train digits --maps 6", ["maps takes 2 numbers for lenet5-modern, such as 6 16, not 1"]),
        ("train digits --maps 6 0", ["maps must lie between"]),
        ("train digits --size 8", ["size must lie between 16 and 96, not 8"]),
        ("train digits --channels 2", ["--channels", "1, 3"]),
        ("train digits --batch-size 0", ["batch-size must lie between"]),
        ("train digits --dropout 1", ["dropout must lie between 0 and 0.95"]),
        ("train digits --seeds 0", ["seeds must lie between"]),
        ("train digits --engine tensorflow", ["--engine", "tensorflow", "torch"]),
        ("train digits --device tpu", ["no device 'tpu'", "cpu, cuda"]),
        ("train digits --device cuda:one", ["no device 'cuda:one'", "cuda:1"]),
        ("models --size 8", ["16"]),
        ("models --channels 2", ["channels"]),
        ("eval", ["RUN"]),
        ("eval none", ["no run at none"]),
        ("predict none image.png", ["no run at none"]),
        ("recipes --all", ["--all"]),
    ],
)
def test_a_wrong_word_is_one_line(lenet, words, parts, refused):
    refused(lenet(*words.split()), *parts)
    assert not list(Path.cwd().rglob("*.toml"))  # no run was started


def test_a_wrong_key_in_a_recipe_names_file_and_key(lenet, tmp_path, refused):
    path = tmp_path / "mine.toml"
    path.write_text("epocs = 3\n")
    refused(lenet("train", "digits", "--recipe", path), str(path), "no option 'epocs', did you mean 'epochs'")
    path.write_text("epochs = = 3\n")
    refused(lenet("train", "digits", "--recipe", path), str(path), "is not TOML", "line 1")


@pytest.mark.skipif(__import__("torch").cuda.is_available(), reason="there is a CUDA device here")
def test_no_cuda_device_is_said(lenet, refused):
    refused(lenet("train", "digits", "--device", "cuda"), "no CUDA device here")


def test_a_shift_wider_than_the_image_is_refused(lenet, refused):
    outcome = lenet("train", "digits", "--augment", "shift", "--max-shift", 16, "--epochs", 1)
    refused(outcome, "max-shift")


# ---- data that is wrong ---------------------------------------------------------------------------------------------


def test_an_empty_folder(lenet, tmp_path, refused):
    refused(lenet("train", tmp_path), str(tmp_path), "no class folders")


def test_an_empty_class(lenet, tmp_path, refused, photos):
    (photos(tmp_path) / "eel").mkdir()
    refused(lenet("train", tmp_path), f"{tmp_path}/eel", "holds no images", "remove the folder")


def test_one_class(lenet, tmp_path, refused, photos):
    refused(lenet("train", photos(tmp_path, classes=["cat"])), "one class only, 'cat'", "add a folder")


def test_all_broken_images_are_named_at_once_before_training(lenet, tmp_path, refused, photos):
    photos(tmp_path, each=12)
    (tmp_path / "cat" / "empty.jpg").touch()
    whole = (tmp_path / "dog" / "1.png").read_bytes()
    (tmp_path / "dog" / "half.png").write_bytes(whole[: len(whole) // 2])
    outcome = lenet("train", tmp_path, "--out", "run")
    refused(outcome, "2 of 26 images", "cat/empty.jpg", "dog/half.png")
    assert outcome.out == ""
    assert not Path("run").exists()


def cifar10(folder):
    """The folder of CIFAR-10's pickles, which are empty."""
    folder = folder / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        (folder / name).touch()
    return folder


class Hostile:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_a_pickle_that_calls_anything_else_runs_nothing(lenet, tmp_path, refused):
    batch = cifar10(tmp_path / "data") / "data_batch_1"
    content = pickle.dumps({b"data": Hostile(tmp_path / "mark"), b"labels": []})
    batch.write_bytes(content)
    outcome = lenet("train", "cifar10", "--data-dir", tmp_path / "data", "--epochs", 1)
    refused(outcome, str(batch), "is refused", "system")
    assert not (tmp_path / "mark").exists()
    pickle.loads(content)
    assert (tmp_path / "mark").exists()  # which is what it would have done


def test_no_network(lenet, no_data, refused):
    refused(lenet("train", "cifar100"), "cannot download cifar100", "https://", "by hand", "--data-dir")
