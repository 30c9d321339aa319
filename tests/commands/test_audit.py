"""lenet audit: it finds planted errors, its labels.csv trains, it is repeatable, and it stops cleanly."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import lenet as package
from lenet.config import DataConfig
from lenet.data import load_dataset
from lenet.errors import InputError
from lenet.evaluation.scores import probabilities
from lenet.report.audit import result_lines
from lenet.runs.run import Run

FAST = {"folds": 3, "seeds": 1, "epochs": 4, "augment": "none"}
PLANTED = 45


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """The digits with 45 of the first 900 labels wrong, as a file; and which those are."""
    digits = load_dataset(DataConfig(data="digits"))
    labels, random = np.array(digits.labels[:900]), np.random.default_rng(0)
    wrong = random.choice(len(labels), PLANTED, replace=False)
    labels[wrong] = (labels[wrong] + random.integers(1, 10, PLANTED)) % 10
    path = tmp_path_factory.mktemp("planted") / "mine.npz"
    np.savez(path, images=digits.images[:900], labels=labels)
    return path, wrong, np.array(digits.labels[:900])


@pytest.fixture(scope="module")
def audited(planted, tmp_path_factory):
    """An audit of these, and its folder."""
    out = tmp_path_factory.mktemp("audited") / "audit"
    return package.audit(planted[0], out=out, **FAST), out


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def place(row):
    """The index in "images[7]"."""
    return int(row["file"].removeprefix("images[").removesuffix("]"))


def test_planted_errors_are_ranked_first_and_their_true_labels_suggested(planted, audited):
    _, wrong, true = planted
    found, _ = audited
    errors = found.errors
    first = errors.ranked[: PLANTED // 2]
    assert set(first) <= set(wrong)
    assert (errors.suggested[first] == true[first]).mean() > 0.9
    assert len(set(errors.ranked[:PLANTED]) & set(wrong)) >= 0.8 * PLANTED
    assert errors.estimated == pytest.approx(PLANTED, rel=0.3)


def test_every_image_is_predicted_by_networks_that_were_not_trained_on_it(planted, tmp_path):
    seen = []
    package.audit(planted[0], out=tmp_path / "a", watch=lambda _, trainings: seen.append(trainings), **FAST)
    held_out = [np.setdiff1d(np.arange(900), training.dataset.train) for training in seen[-1]]
    assert np.sort(np.concatenate(held_out)).tolist() == list(range(900))
    for training, part in zip(seen[-1], held_out, strict=True):
        assert set(training.dataset.val) <= set(part)
        assert np.bincount(training.dataset.labels[part], minlength=10).min() > 0


def test_the_probabilities_are_the_mean_of_the_networks_that_were_not_trained_on_an_image(planted, tmp_path):
    seen, options = [], FAST | {"seeds": 2, "epochs": 1, "augment": "flip"}
    found = package.audit(planted[0], out=tmp_path / "a", watch=lambda _, all: seen.append(all), **options)
    expected, networks = np.zeros_like(found.probabilities), np.zeros(len(found.indices))
    for training in seen[-1]:
        others = np.flatnonzero(~np.isin(found.indices, training.dataset.train))
        logits = [training.logits(found.indices[others], mirrored=mirrored) for mirrored in (False, True)]
        expected[others] += np.mean([probabilities(one) for one in logits], axis=0)
        networks[others] += 1
    assert networks.tolist() == [2] * 900
    np.testing.assert_allclose(found.probabilities, expected / 2, atol=1e-6)


def test_files_of_an_audit_list_all_images_and_the_suspect_ones(audited):
    found, out = audited
    every, suspects = rows(out / "audit.csv"), rows(out / "labels.csv")
    assert list(map(place, every)) == found.errors.ranked.tolist()
    assert all(float(row["p_wrong"]) >= 0.1 for row in suspects)
    assert float(every[len(suspects)]["p_wrong"]) < 0.1
    assert suspects == every[: len(suspects)]
    assert all(row["label"] == str(found.labels[place(row)]) for row in suspects)
    assert (out / "audit.png").stat().st_size > 1000
    facts = json.loads((out / "audit.json").read_text())
    assert (facts["folds"], facts["networks"], facts["images"]) == (3, 3, 900)


def test_labels_are_edited_and_trained_on(planted, audited, tmp_path):
    found, out = audited
    path, suspects = tmp_path / "labels.csv", rows(out / "labels.csv")
    unedited = package.train(planted[0], labels=out / "labels.csv", epochs=1, out=tmp_path / "unedited")
    assert unedited.result["data_sha256"] == found.dataset.sha256
    for row in suspects[:10]:
        row["label"] = row["suggested"]
    suspects[10]["label"] = ""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, suspects[0])
        writer.writeheader()
        writer.writerows(suspects)
    run = package.train(planted[0], labels=path, epochs=1, out=tmp_path / "edited")
    assert run.result["data_sha256"] != found.dataset.sha256
    again = load_dataset(run.config())
    assert again.labels[place(suspects[0])] == found.errors.suggested[found.errors.ranked[0]]
    assert place(suspects[10]) not in np.concatenate([again.train, again.val, again.test])
    second = package.audit(planted[0], labels=path, out=tmp_path / "second", **FAST)
    assert len(second.indices) == 899
    merged = rows(tmp_path / "second" / "labels.csv")
    assert [row["file"] for row in merged[: len(suspects)]] == [row["file"] for row in suspects]
    assert [row["label"] for row in merged[: len(suspects)]] == [row["label"] for row in suspects]
    assert load_dataset(replace(run.config(), labels=str(tmp_path / "second" / "labels.csv"))).sha256 == again.sha256
    assert not set(map(place, suspects[:11])) & {second.indices[position] for position in second.errors.ranked[:10]}


def test_an_audit_is_repeatable_and_a_resumed_one_is_bit_identical(
    planted, audited, lenet, tmp_path, interrupt_after, refused
):
    found, out = audited
    words = ("audit", planted[0], "--folds", 3, "--seeds", 1, "--epochs", 4, "--augment", "none")
    with interrupt_after(5):
        outcome = lenet(*words, "--out", tmp_path / "b")
    assert outcome.code == 130
    assert outcome.err.startswith("lenet: stopped after epoch ")
    assert f"resume with: lenet audit --resume --out {tmp_path / 'b'}" in outcome.err
    assert not (tmp_path / "b" / "labels.csv").exists()
    outcome = lenet("audit", "--resume", "--out", tmp_path / "b", "--epochs", 5)
    refused(outcome, "was started with other settings: leave all options but --out out")
    settings = tmp_path / "b" / "audit.toml"
    kept = settings.read_text()
    settings.write_text(kept.replace("split_seed = 0", "split_seed = 7"))  # networks would predict what they know
    refused(lenet("audit", "--resume", "--out", tmp_path / "b"), "was changed since the audit was started")
    settings.write_text(kept)
    outcome = lenet("audit", "--resume", "--out", tmp_path / "b")
    assert (outcome.code, outcome.err) == (0, "")
    for name in ("audit.csv", "labels.csv", "audit.png"):
        assert (tmp_path / "b" / name).read_bytes() == (out / name).read_bytes()
    refused(lenet("audit", "--resume", "--out", tmp_path / "b"), "is finished: use --overwrite")
    refused(lenet(*words, "--out", tmp_path / "b"), "exists: use --resume")
    assert found.probabilities.shape == (900, 10)


def test_images_of_some_classes_keep_their_numbers_in_the_whole_dataset(tmp_path, monkeypatch, lenet):
    monkeypatch.chdir(tmp_path)
    audit = package.audit("digits", classes="3,8", out="a", folds=2, seeds=1, epochs=1)
    assert f"lenet train digits --classes 3,8 --labels {Path('a/labels.csv')}" in "\n".join(
        result_lines(audit, Path("a"))
    )
    for given in ({"classes": "3,8"}, {"classes": "3,5,8"}, {}):
        same = load_dataset(DataConfig(data="digits", labels="a/audit.csv", **given))
        assert np.array_equal(same.labels, load_dataset(DataConfig(data="digits", **given)).labels)
        assert len(same.corrections) == len(audit.indices)
    run = package.train("digits", classes="3,8", epochs=1, out="r")
    lenet("eval", "r", "--out", "scores")
    whole = load_dataset(DataConfig(data="digits"))
    for row in rows(tmp_path / "scores" / "predictions.csv"):
        assert whole.classes[whole.labels[int(row["index"])]] == row["true"]
    assert run.result


def test_an_audit_of_a_network_of_ones_own_resumes_with_that_network_only(tmp_path, lenet):
    def own(*hidden):
        return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(256, 10))

    def stop(setup, trainings):
        if trainings[0].history:
            raise KeyboardInterrupt

    again = {"resume": True, "out": tmp_path / "a"}
    with pytest.raises(KeyboardInterrupt):
        package.audit("digits", model=own(), watch=stop, folds=2, seeds=1, epochs=2, out=tmp_path / "a")
    with pytest.raises(InputError, match="was started with another network: leave model out"):
        package.audit("digits", model=own(nn.Dropout(0.1)), **again)
    layers = tmp_path / "a" / "layers.json"
    kept = layers.read_text()
    layers.write_text(kept.replace('"bias": true', '"bias": false'))
    with pytest.raises(InputError, match=r"layers\.json was changed since the audit was started"):
        package.audit("digits", **again)
    layers.write_text(kept)
    assert lenet("audit", "--resume", "--out", tmp_path / "a").code == 0
    assert [layer["kind"] for layer in json.loads(kept)] == ["Flatten", "Linear"]
    assert json.loads((tmp_path / "a" / "audit.json").read_text())["images"] == 1797


def test_a_resumed_audit_keeps_the_named_network_that_it_was_started_with(lenet, refused, tmp_path, interrupt_after):
    words = ("audit", "digits", "--folds", 2, "--seeds", 1, "--epochs", 1, "--model", "lenet5-modern")
    with interrupt_after(1):
        assert lenet(*words, "--out", tmp_path / "a").code == 130
    refused(lenet("audit", "--resume", "--out", tmp_path / "a", "--model", "lenet5"), "started with other settings")
    assert lenet("audit", "--resume", "--out", tmp_path / "a").code == 0
    assert json.loads((tmp_path / "a" / "audit.json").read_text())["config"]["model"] == "lenet5-modern"


def test_a_folder_of_photographs_is_audited_by_file_name(photos, lenet, tmp_path):
    folder = photos(tmp_path / "photos", each=12)
    (folder / "cat" / "=x.png").write_bytes((folder / "dog" / "3.png").read_bytes())
    outcome = lenet("audit", folder, "--folds", 2, "--epochs", 2, "--out", "a")
    assert (outcome.code, outcome.err) == (0, "")
    names = {row["file"] for row in rows(Run("a").path / "audit.csv")}
    assert "'cat/0.png" not in names
    assert {"cat/0.png", "cat/=x.png", "dog/3.png"} <= names
    assert "25 in 2 folds" in outcome.out


def test_exact_copies_are_held_out_together(photos, tmp_path):
    folder = photos(tmp_path / "photos", each=12)
    for number in range(6):
        (folder / "cat" / f"copy {number}.png").write_bytes((folder / "dog" / f"{number}.png").read_bytes())
    seen = []
    package.audit(folder, folds=2, epochs=1, out=tmp_path / "a", watch=lambda _, trainings: seen.append(trainings))
    files = seen[-1][0].dataset.files
    train = {files[index] for index in seen[-1][0].dataset.train}
    for number in range(6):
        assert (f"cat/copy {number}.png" in train) == (f"dog/{number}.png" in train)


def test_images_from_python_and_a_network_of_ones_own(digits, tmp_path):
    from torch import nn

    model = nn.Sequential(nn.Flatten(), nn.Linear(256, 32), nn.ReLU(), nn.Linear(32, 10))
    found = package.audit((digits.images[:400], digits.labels[:400]), model=model, out=tmp_path / "a", **FAST)
    assert found.probabilities.shape == (400, 10)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    named = package.audit("digits", model="lenet5", maps=(4, 8), out=tmp_path / "b", folds=2, seeds=1, epochs=1)
    assert len(named.indices) == 1797


def test_output_fits_80_columns(lenet, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    outcome = lenet("audit", "digits", "--folds", 2, "--seeds", 1, "--epochs", 1, "--out", "a")
    assert outcome.code == 0
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert "1,797 in 2 folds" in outcome.out
    assert "about " in outcome.out
    assert "lenet train digits --labels a/labels.csv" in outcome.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--folds", 1), "folds must lie between 2 and 20, not 1"),
        (("--folds", 50), "folds must lie between 2 and 20, not 50"),
        (("--maps", 4, 8), "--maps changes a named network: give --model too"),
        (("--model", "lenet6"), "no model 'lenet6', did you mean 'lenet5'?"),
        (("--labels", "none.csv"), "cannot read none.csv"),
        (("--lr", 100, "--epochs", 1, "--schedule", "constant"), "lower --lr"),
    ],
)
def test_words_that_cannot_work_are_refused_in_one_line(lenet, refused, words, said):
    refused(lenet("audit", "digits", *words, "--out", "a"), said)


def test_a_class_too_small_for_the_folds_is_refused_in_one_line(photos, lenet, refused, tmp_path):
    folder = photos(tmp_path / "photos", each=4)
    refused(lenet("audit", folder, "--out", "a"), "class 'cat'", "has 4 images, too few for 5 folds", "fewer --folds")
    assert not Run("a").path.exists()


def test_as_many_images_as_folds_are_enough(photos, tmp_path):
    folder = photos(tmp_path / "photos")
    for image in (one for one in folder.glob("*/*") if one.stem not in "01"):
        image.unlink()
    found = package.audit(folder, folds=2, seeds=1, epochs=1, out=tmp_path / "audit")
    assert len(found.indices) == 2 * len(list(folder.iterdir()))


def test_options_that_an_audit_does_not_have_are_refused():
    with pytest.raises(InputError, match="an audit does not take patience"):
        package.audit("digits", patience=3)


def test_networks_that_diverged_are_said_to_be_left_out(audited, tmp_path):
    found, out = audited
    assert not any("diverged" in line for line in result_lines(found, out))
    assert "failed  2 networks diverged and are left out: lower --lr" in result_lines(
        replace(found, failed=(0, 3)), out
    )


def test_the_number_of_images_in_labels_csv_includes_earlier_corrections(planted, tmp_path, lenet):
    (tmp_path / "fix.csv").write_text("index,label\n3,4\n5,\n")
    words = ("--folds", 2, "--seeds", 1, "--epochs", 1, "--augment", "none", "--out", tmp_path / "a")
    outcome = lenet("audit", planted[0], "--labels", tmp_path / "fix.csv", *words)
    assert outcome.code == 0, outcome
    assert f"labels.csv lists {len(rows(tmp_path / 'a' / 'labels.csv'))} images" in outcome.out


def test_a_folder_in_the_images_is_refused(photos, lenet, refused, tmp_path):
    folder = photos(tmp_path / "photos")
    run = package.train(folder, epochs=1, size=16, out=tmp_path / "run")
    for words in (("audit", folder), ("train", folder), ("eval", run.path, folder)):
        refused(lenet(*words, "--out", folder / "cat" / "made"), "is in the folder of images")
    assert not (folder / "cat" / "made").exists()
