"""Evaluation of a finished run on its own test images and on folders of other images."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import lenet
from lenet.commands.evaluate import write_evaluation
from lenet.errors import InputError


def write(folder, images, labels, names="0123456789"):
    """Write these images into class folders."""
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (folder / names[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[:, :, 0]).save(folder / names[label] / f"{number}.png")
    return folder


def test_evaluate_on_own_test_images_repeats_the_result(digits_run):
    evaluated = lenet.evaluate(digits_run)
    assert [one.accuracy for one in evaluated.scores] == pytest.approx(digits_run.result["test_accuracy"]["each"])
    assert {one.images for one in evaluated.scores} == {180}
    for name in ("balanced_accuracy", "macro_f1", "loss"):
        each = [getattr(one, name) for one in evaluated.scores]
        assert each == pytest.approx(digits_run.result[f"test_{name}"]["each"], rel=1e-5)
    again = lenet.evaluate(str(digits_run.path), "digits")
    assert [one.accuracy for one in again.scores] == [one.accuracy for one in evaluated.scores]
    assert lenet.evaluate(digits_run, network=1).scores[0].accuracy == evaluated.scores[1].accuracy


def test_evaluate_uses_all_images_of_a_flat_folder(tmp_path, digits_run, digits):
    chosen = digits.test[:60]
    folder = write(tmp_path / "flat", digits.images[chosen], digits.labels[chosen])
    evaluated = lenet.evaluate(digits_run, str(folder))
    predicted = [
        [found.classes[0] for found in lenet.predict(digits_run, list(digits.images[chosen]), top=1, network=number)]
        for number in range(2)
    ]
    for one, classes in zip(evaluated.scores, predicted, strict=True):
        assert one.images == 60
        assert one.accuracy == np.mean(np.array(classes) == digits.labels[chosen].astype(str))


def test_evaluate_uses_test_images_of_a_split_folder(tmp_path, digits_run, digits):
    for split, chosen in (("train", digits.train[:40]), ("test", digits.test[:30])):
        write(tmp_path / split, digits.images[chosen], digits.labels[chosen])
    assert lenet.evaluate(digits_run, str(tmp_path)).images == 30


def test_missing_class_does_not_shift_labels(tmp_path, digits_run, digits):
    chosen = digits.test[np.isin(digits.labels[digits.test], (1, 7, 9))]
    folder = write(tmp_path, digits.images[chosen], digits.labels[chosen])
    (one,) = lenet.evaluate(digits_run, str(folder), network=0).scores
    (whole,) = lenet.evaluate(digits_run, network=0).scores
    for number in (1, 7, 9):
        assert one.confusion[number].tolist() == whole.confusion[number].tolist()
    assert one.confusion.sum() == len(chosen)


def test_unknown_classes_are_refused(tmp_path, digits_run, digits):
    folder = write(tmp_path, digits.images[:20], digits.labels[:20], "abcdefghij")
    with pytest.raises(InputError, match=r"class 'a' .* not a class of the model"):
        lenet.evaluate(digits_run, str(folder))


def test_moved_run_can_be_evaluated(tmp_path, digits_run):
    shutil.copytree(digits_run.path, tmp_path / "moved")
    moved = lenet.evaluate(tmp_path / "moved", network=0)
    assert moved.scores[0].accuracy == digits_run.result["test_accuracy"]["each"][0]


@pytest.mark.parametrize(("augment", "views"), [("flip-shift", 6), ("shift", 3), ("flip-rotate", 2)])
def test_views_are_averaged_as_the_network_was_trained_on_them(tmp_path, digits, augment, views):
    run = lenet.train("digits", epochs=1, augment=augment, out=tmp_path / "run")
    evaluated = lenet.evaluate(run, augment=True)
    padded = np.pad(digits.images[digits.test], ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    flips = (False, True) if "flip" in augment else (False,)
    shifts = (0, 1, -1) if "shift" in augment else (0,)
    network, total, count = run.checkpoint().networks[0].eval(), 0, 0
    for flip in flips:
        for by in shifts:
            pixels = padded[:, :, ::-1] if flip else padded
            seen = np.ascontiguousarray(pixels[:, 1 + by : 17 + by, 1 + by : 17 + by])
            with torch.inference_mode():
                total, count = total + network(torch.from_numpy(seen)).double().softmax(1).numpy(), count + 1
    assert count == views
    right = total.argmax(axis=1) == digits.labels[digits.test]
    assert evaluated.augmented_accuracy["mean"] == pytest.approx(right.mean())
    assert evaluated.accuracy == lenet.evaluate(run).accuracy


def test_a_run_trained_without_flips_and_shifts_has_no_views(digits_run):
    with pytest.raises(InputError, match="without flips and shifts"):
        lenet.evaluate(digits_run, augment=True)
    assert lenet.evaluate(digits_run).augmented_accuracy is None


def test_files_of_an_earlier_evaluation_are_not_left_beside_new_scores(digits_run, low_run, tmp_path):
    out = tmp_path / "made"
    write_evaluation(lenet.evaluate(digits_run), out)
    single = lenet.evaluate(digits_run, network=0)
    before = {path.name for path in out.iterdir()}
    write_evaluation(single, out)  # of one network: the other's files stay
    after = {path.name for path in out.iterdir()}
    assert before < after
    assert "scores-0.json" in after
    (out / "errors.png").touch()
    (out / "predictions.csv").touch()
    assert set(write_evaluation(lenet.evaluate(low_run), out)) == {path.name for path in out.iterdir()}


@pytest.mark.usefixtures("plots")
def test_thousands_of_classes_have_no_confusion_matrix(tmp_path):
    labels = np.tile(np.arange(1001), 3)  # a matrix of n classes has n * n cells
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8, 1), dtype=np.uint8)
    run = lenet.train(
        {"train": (images, labels), "test": (images[:50], labels[:50])},
        model="lenet5", maps=(2, 2), fc=(4,), epochs=1, out=tmp_path / "run",
    )  # fmt: skip
    assert {plot.name for plot in (run.path / "plots").iterdir()} == {"curves.png", "reliability.png"}
    names = write_evaluation(lenet.evaluate(run, {"test": (images[:50], labels[:50])}), tmp_path / "made")
    assert "per-class.csv" in names
    assert not [name for name in names if "confusion" in name]
