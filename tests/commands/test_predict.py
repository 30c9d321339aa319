"""Predictions for paths, PIL images and arrays, by the best network or a chosen one."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import lenet
from lenet.config import DataConfig
from lenet.data import load_dataset
from lenet.errors import InputError


@pytest.fixture
def some_images(digits):
    """Test images, uint8 [12, 16, 16, 1]."""
    return digits.images[digits.test[:12]]


def test_path_array_and_pil_image_give_the_same_prediction(tmp_path, digits_run, some_images):
    array = some_images[0]
    Image.fromarray(array[:, :, 0]).save(tmp_path / "image.png")
    same = [
        str(tmp_path / "image.png"),
        tmp_path / "image.png",
        Image.open(tmp_path / "image.png"),
        array,
        array[:, :, 0],
        np.repeat(array, 3, axis=2),
    ]
    found = lenet.predict(digits_run, same)
    assert len({(one.classes, one.probabilities) for one in found}) == 1
    assert [one.image for one in found] == [str(same[0]), str(same[1]), *(f"image {number}" for number in range(2, 6))]


def test_single_image_gives_a_list_of_one(digits_run, some_images, tmp_path):
    Image.fromarray(some_images[0][:, :, 0]).save(tmp_path / "image.png")
    for image in (some_images[0], str(tmp_path / "image.png"), tmp_path / "image.png"):
        assert len(lenet.predict(digits_run, image)) == 1
    assert lenet.predict(digits_run, []) == []


def test_probabilities_are_sorted_and_sum_to_one(digits_run, some_images):
    for one in lenet.predict(digits_run, list(some_images), top=99):
        assert sorted(one.classes) == list("0123456789")
        assert list(one.probabilities) == sorted(one.probabilities, reverse=True)
        assert sum(one.probabilities) == pytest.approx(1)
    assert {len(one.classes) for one in lenet.predict(digits_run, list(some_images), top=2)} == {2}


def test_images_of_any_size_and_colour_are_converted(digits_run):
    random = np.random.default_rng(0)
    shapes = [(9, 300), (64, 64, 3), (1, 1), (16, 16, 1), (200, 31, 3)]
    found = lenet.predict(digits_run, [random.integers(0, 256, shape, np.uint8) for shape in shapes])
    assert [(one.error, len(one.classes)) for one in found] == [(None, 5)] * len(shapes)


def test_best_network_by_validation_is_the_default(tmp_path, digits_run, some_images):
    path = tmp_path / "run"
    shutil.copytree(digits_run.path, path)
    images = list(some_images)
    by_network = [lenet.predict(path, images, network=number) for number in range(2)]
    assert by_network[0] != by_network[1]
    facts = json.loads((path / "model.json").read_text())
    for best in range(2):
        facts["best"] = best
        (path / "model.json").write_text(json.dumps(facts))
        assert lenet.predict(path, images) == by_network[best]
    for number in (-1, 2):
        with pytest.raises(InputError, match=f"no network {number}: the run has networks 0 to 1"):
            lenet.predict(path, images, network=number)


def test_predict_accepts_a_loaded_checkpoint(digits_run, some_images):
    checkpoint = lenet.load(digits_run)
    assert lenet.predict(checkpoint, list(some_images)) == lenet.predict(str(digits_run.path), list(some_images))
    assert checkpoint.input_shape == (16, 16, 1)
    assert checkpoint.classes == tuple("0123456789")
    assert checkpoint.seeds == [0, 1]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.float32), r"must be uint8 \[H, W\].* not float32 \[4, 4\]"),
        (np.zeros((4, 4, 4), np.uint8), r"not uint8 \[4, 4, 4\]"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"not uint8 \[2, 4, 4, 3\]"),
        (np.zeros((0, 4), np.uint8), r"not uint8 \[0, 4\]"),
        (Path("none.png"), "no image at 'none.png'"),
    ],
)
def test_invalid_image_is_refused(digits_run, image, message):
    with pytest.raises(InputError, match=message):
        lenet.predict(digits_run, [image])


def test_load_refuses_missing_or_unfinished_run(tmp_path):
    with pytest.raises(InputError, match="no run at"):
        lenet.load(tmp_path / "none")
    with pytest.raises(InputError, match="not a finished run"):
        lenet.load(tmp_path)


def test_pil_images_that_cannot_be_decoded_or_have_no_pixels_are_reported(tmp_path, digits_run, some_images):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(tmp_path / "cut.png")
    content = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    with Image.open(tmp_path / "cut.png") as broken:
        good, cut, empty = lenet.predict(digits_run, [some_images[0], broken, Image.new("L", (0, 5))])
    assert good.classes
    assert (cut.classes, empty.classes) == ((), ())
    assert cut.error.startswith("cannot read the PIL image (")
    assert empty.error == "cannot read the PIL image (0 x 5 has no pixels)"


def test_tensors_and_batches_are_predicted_as_single_arrays_are(digits_run, some_images):
    single = [one.probabilities for one in lenet.predict(digits_run, list(some_images))]
    images_nchw = torch.from_numpy(np.array(some_images)).permute(0, 3, 1, 2)
    for images in (some_images, torch.from_numpy(np.array(some_images)), images_nchw, list(images_nchw)):
        assert [one.probabilities for one in lenet.predict(digits_run, images)] == single


def test_one_bad_image_is_reported_and_the_others_are_predicted(digits_run, some_images, tmp_path):
    found = lenet.predict(digits_run, [some_images[0], tmp_path / "none.png", some_images[1]])
    assert [bool(one.classes) for one in found] == [True, False, True]
    assert found[1].error == f"no image at '{tmp_path / 'none.png'}': check the path"
    with pytest.raises(InputError, match="no image at"):
        lenet.predict(digits_run, [tmp_path / "none.png", tmp_path / "neither.png"])


def test_training_and_predicting_leave_the_random_states_and_the_threads_of_pytorch(tmp_path, some_images):
    torch.set_num_threads(2)
    torch.manual_seed(5)
    random.seed(5)
    expected = torch.rand(3), random.random()
    torch.manual_seed(5)
    random.seed(5)
    for engine in ("torch", "auto"):
        run = lenet.train("digits", epochs=1, engine=engine, out=tmp_path / engine)
        lenet.load(run)
        lenet.predict(run, some_images[0])
        lenet.evaluate(run)
    assert torch.get_num_threads() == 2
    assert torch.equal(torch.rand(3), expected[0])
    assert random.random() == expected[1]


def edited(run, path, **changes):
    """A copy of the run whose model.json has these values."""
    shutil.copytree(run.path, path)
    facts = json.loads((path / "model.json").read_text()) | changes
    (path / "model.json").write_text(json.dumps(facts))
    return path


def test_probabilities_are_of_logits_divided_by_the_temperature(tmp_path, digits_run, some_images):
    images = list(some_images)
    cold = edited(digits_run, tmp_path / "cold", temperature=[4.0, 4.0])
    plain = edited(digits_run, tmp_path / "plain", temperature=[1.0, 1.0])
    raw = lenet.predict(cold, images, calibrated=False, top=10)
    assert raw == lenet.predict(plain, images, top=10) == lenet.predict(digits_run, images, calibrated=False, top=10)
    for sharp, flat in zip(raw, lenet.predict(cold, images, top=10), strict=True):
        assert flat.classes[0] == sharp.classes[0]
        powers = np.array(sharp.probabilities) ** 0.25
        assert flat.probabilities == pytest.approx(powers / powers.sum(), rel=1e-4)


def test_other_test_images_change_nothing_of_what_is_trained_or_fitted(tmp_path, digits):
    """The test set is for the last figures alone: weights, statistics, temperature and thresholds are the same."""
    kept = {split: getattr(digits, split) for split in ("train", "val")}
    facts = []
    for number, test in enumerate((digits.test[:90], digits.test[90:])):
        data = {split: (digits.images[of], digits.labels[of]) for split, of in {**kept, "test": test}.items()}
        run = lenet.train(data, epochs=1, seeds=2, lr=0.02, out=tmp_path / str(number))
        stored = json.loads((run.path / "model.json").read_text())
        facts.append([(run.path / "model.safetensors").read_bytes(),
                      *(stored[name] for name in ("temperature", "acceptance", "best", "val_accuracy"))])  # fmt: skip
    assert facts[0] == facts[1]
    assert b"likeness" in facts[0][0]
    assert facts[0][1] != [1.0, 1.0]


def test_training_keeps_temperatures_and_calibration_errors(digits_run, digits):
    checkpoint, result = lenet.load(digits_run), digits_run.result
    assert checkpoint.temperature == result["temperature"]
    assert [rows[-1].accepted for rows in checkpoint.acceptance] == [len(digits.val)] * 2
    for name in ("test_calibration_error", "test_calibration_error_uncalibrated"):
        assert all(0 <= one <= 1 for one in result[name]["each"])


def test_images_below_the_threshold_are_unknown(tmp_path, digits_run, some_images, lenet):
    import lenet as package

    sure = sorted(one.probabilities[0] for one in package.predict(digits_run, list(some_images), network=0))
    rows = [[sure[5], 900, 0], [0.0, 1000, 400]]
    path = edited(digits_run, tmp_path / "edited", acceptance=[rows, rows])
    found = package.predict(path, list(some_images), network=0, reject_error="5%")
    assert [one.unknown for one in found] == [one.probabilities[0] < sure[5] for one in found]
    assert sum(one.unknown for one in found) == 5
    assert not any(one.unknown for one in package.predict(path, list(some_images), network=0, reject_error=0.5))
    Image.fromarray(some_images[[one.unknown for one in found].index(True)][:, :, 0]).save(tmp_path / "unsure.png")
    outcome = lenet("predict", path, tmp_path / "unsure.png", "--network", 0, "--reject-error", "5%")
    assert "unknown" in outcome.out
    assert "unknown: low confidence" in outcome.out
    assert "accepted 0 of 1 image; the others are unknown:\n" in outcome.out
    assert "1 with a confidence below" in outcome.out
    assert "(10% of the validation images)" in outcome.out


def test_reject_error_that_cannot_be_kept_is_refused(digits_run, tmp_path, some_images, lenet, refused):
    Image.fromarray(some_images[0][:, :, 0]).save(tmp_path / "image.png")
    words = ("predict", digits_run.path, tmp_path / "image.png", "--reject-error")
    refused(lenet(*words, "0.01%"), "--reject-error 0.01% cannot be guaranteed", "lowest possible")
    refused(lenet(*words, "5"), "reject_error must lie above 0% and below 100%", "not 5")
    none = edited(digits_run, tmp_path / "none", acceptance=[[], []])
    refused(lenet("predict", none, tmp_path / "image.png", "--reject-error", "5%"), "no thresholds for reject_error")


def test_photographs_given_to_the_digit_network_are_unknown_and_digits_are_not(digits_run, digits, lenet):
    import lenet as package

    found = package.predict(digits_run, generated_photographs(40), top=1)
    assert {(one.unknown, one.reason) for one in found} == {(True, "unlike the training images")}
    assert all(one.classes for one in found)
    kept = package.predict(digits_run, list(digits.images[digits.test]))
    assert sum(one.unknown for one in kept) <= 0.05 * len(kept)
    assert not any(one.unknown for one in package.predict(digits_run, generated_photographs(5), reject_unlike="none"))
    for number in range(2):
        rejected = [
            sum(
                one.unknown
                for one in package.predict(digits_run, list(digits.images), network=number, reject_unlike=rate)
            )
            for rate in ("1%", "20%")
        ]
        assert rejected[0] < 0.1 * len(digits.images) < rejected[1]
    Image.fromarray(generated_photographs(1)[0]).save("photo.png")
    outcome = lenet("predict", digits_run.path, "photo.png")
    assert "photo.png  unknown: unlike the training images" in outcome.out
    assert "         1 unlike the training images (0.0% of the validation images)" in outcome.out
    assert "unknown" not in lenet("predict", digits_run.path, "photo.png", "--reject-unlike", "none").out
    outcome = lenet("predict", digits_run.path, "photo.png", "--format", "csv", "--reject-unlike", "2%")
    assert outcome.out.splitlines()[1].startswith("photo.png,unknown,0.")
    assert outcome.out.splitlines()[1].endswith(",unlike the training images,")
    assert "accepted 0 of 1 image" in outcome.err
    found = json.loads(lenet("predict", digits_run.path, "photo.png", "--json").out.partition("accepted")[0])
    assert (found[0]["unknown"], found[0]["reason"]) == (True, "unlike the training images")


def test_reject_unlike_that_cannot_be_kept_is_refused(digits_run, some_images, tmp_path, lenet, refused):
    Image.fromarray(some_images[0][:, :, 0]).save("image.png")
    words = ("image.png", "--reject-unlike")
    refused(
        lenet("predict", digits_run.path, *words, "0.1%"), "--reject-unlike 0.1% is too low for 180 validation images"
    )
    refused(
        lenet("predict", digits_run.path, *words, "0"), "reject_unlike must be auto, none, or lie above 0%", "not 0"
    )
    few = without_likeness(digits_run, tmp_path / "old")
    outcome = lenet("predict", few, "image.png")
    assert outcome.code == 0
    assert "note    --reject-unlike is off: the run has fewer than 20 validation images" in outcome.out
    assert "note" not in lenet("predict", few, "image.png", "--reject-unlike", "none").out
    refused(lenet("predict", few, *words, "1%"), "cannot tell", "fewer than 20 validation images", "train again")
    refused(lenet("predict", few, *words, "no"), "reject_unlike must be auto, none")


def without_likeness(run, path):
    """A copy of the run as one with fewer than 20 validation images is written."""
    shutil.copytree(run.path, path)
    tensors = load_file(path / "model.safetensors")
    save_file({name: one for name, one in tensors.items() if "likeness" not in name}, path / "model.safetensors")
    return path


def test_real_photographs_given_to_the_digit_network_are_unknown(digits_run, real_data):
    import lenet as package

    photographs = load_dataset(DataConfig(data="cifar10", data_dir=str(real_data))).images[:200]
    found = package.predict(digits_run, list(photographs))
    assert np.mean([one.unknown for one in found]) >= 0.95


def generated_photographs(count):
    """uint8 images [48, 64, 3]: sky, ground and a shaded ball, with sensor noise."""
    found = []
    for seed in range(count):
        random = np.random.default_rng(seed)
        rows, columns = np.mgrid[:48, :64]
        pixels = np.where((rows < random.integers(15, 35))[:, :, None], [120, 170, 230], [90, 110, 60]).astype(float)
        centre, radius = random.integers(12, 36, 2), random.integers(6, 14)
        ball = np.hypot(rows - centre[0], columns - centre[1] - 8) < radius
        pixels[ball] = random.integers(0, 256, 3)
        pixels *= np.linspace(0.6, 1.1, 64)[None, :, None]
        found.append(np.clip(pixels + random.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8))
    return found


@pytest.mark.parametrize("use", [lenet.predict, lenet.evaluate])
def test_values_that_are_not_finite_are_an_error(tmp_path, digits_run, some_images, use):
    shutil.copytree(digits_run.path, tmp_path / "run")
    tensors = load_file(tmp_path / "run" / "model.safetensors")
    for name, tensor in tensors.items():
        if name.endswith(".weight"):
            tensor.fill_(3e38)
    save_file(tensors, tmp_path / "run" / "model.safetensors")
    with pytest.raises(InputError, match="gives values that are not finite"):
        use(tmp_path / "run", *([some_images] if use is lenet.predict else []))


def test_predicting_leaves_a_network_in_training_mode(digits_run, some_images):
    checkpoint = lenet.load(digits_run)
    network = checkpoint.networks[checkpoint.best].train()
    network[1].eval()
    lenet.predict(checkpoint, some_images)
    assert network.training
    assert not network[1].training


def test_a_network_with_another_number_of_classes_is_refused(digits_run, some_images):
    checkpoint = lenet.load(digits_run)
    network = checkpoint.networks[checkpoint.best]
    network[-1] = torch.nn.Linear(network[-1].in_features, 3)
    with pytest.raises(InputError, match="gives 3 logits for the checkpoint's 10 classes"):
        lenet.predict(checkpoint, some_images, top=3)


def test_any_iterable_of_images_is_predicted(digits_run, some_images, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, image in zip(paths, some_images, strict=False):
        Image.fromarray(image[:, :, 0]).save(path)
    expected = lenet.predict(digits_run, paths)
    assert lenet.predict(digits_run, (path for path in paths)) == expected
    assert lenet.predict(digits_run, iter(paths)) == expected
    assert lenet.predict(digits_run, dict.fromkeys(paths).keys()) == expected
    assert sorted(lenet.predict(digits_run, set(paths)), key=lambda one: one.image) == expected
    assert lenet.predict(digits_run, (path for path in [])) == []
    with paths[0].open("rb") as file, pytest.raises(InputError, match=r"must be a path, .*, not BufferedReader"):
        lenet.predict(digits_run, file)
    with pytest.raises(InputError, match=r"must be a path, .*, not bytes$"):
        lenet.predict(digits_run, b"0.png")
    with pytest.raises(InputError, match=r"must be a path, .*, not int$"):
        lenet.predict(digits_run, 3)


def test_folders_and_patterns_are_for_the_command_line(digits_run, some_images, tmp_path):
    Image.fromarray(some_images[0][:, :, 0]).save(tmp_path / "a*.png")
    for folder in (tmp_path, str(tmp_path), [tmp_path]):
        with pytest.raises(InputError) as refused:
            lenet.predict(digits_run, folder)
        hint = f"give its images, such as sorted(Path('{tmp_path}').glob('*.png'))"
        assert str(refused.value) == f"'{tmp_path}' is a folder: {hint}"
    with pytest.raises(InputError) as refused:
        lenet.predict(digits_run, "none/*.png")
    hint = "give the images that match, such as sorted(glob.glob('none/*.png'))"
    assert str(refused.value) == f"no image at 'none/*.png': {hint}"
    assert len(lenet.predict(digits_run, str(tmp_path / "a*.png"))) == 1  # a file has this name
    with pytest.raises(InputError, match="File name too long"):
        lenet.predict(digits_run, "a" * 300)


@pytest.mark.parametrize("top", [np.int64(2), np.uint8(2)])
def test_top_may_be_numpy_s(digits_run, some_images, top):
    assert lenet.predict(digits_run, some_images, top=top) == lenet.predict(digits_run, some_images, top=2)


@pytest.mark.parametrize("top", [0, -1, True, np.True_, np.int64(0), 2.0, "2", None])
def test_top_is_a_whole_number_of_at_least_1(digits_run, some_images, top):
    with pytest.raises(InputError, match=f"top must be a whole number of at least 1, not {top}"):
        lenet.predict(digits_run, some_images, top=top)


def test_a_name_that_begins_with_a_bracket_is_a_file_or_a_pattern(
    digits_run, some_images, tmp_path, monkeypatch, lenet
):
    monkeypatch.chdir(tmp_path)
    for name in ("[x].png", "a.png"):
        Image.fromarray(some_images[0][:, :, 0]).save(name)
    for words in ("[x].png", "[ab].png", '["a.png"]'):
        outcome = lenet("predict", digits_run.path, words)
        assert (outcome.code == 0) == (words != '["a.png"]'), outcome
        assert "JSON" not in outcome.err
