"""Reports of runs of every kind: what is left out is said, and nothing that exists is replaced unasked."""

import json
import re
import shutil

import numpy as np
import pytest
import torch

import lenet as package
from lenet.report.gathering import contents_of
from lenet.runs.run import Run


@pytest.fixture
def copied(digits_run, tmp_path):
    """A copy of the run of two networks on the digits, which the test may change."""
    return Run(shutil.copytree(digits_run.path, tmp_path / "copy"))


@pytest.fixture
def photo_run(photos, tmp_path):
    """A run on a folder of photographs with an exact copy, and the folder."""
    folder = photos(tmp_path / "animals")
    shutil.copy(folder / "cat" / "0.png", folder / "cat" / "again.png")
    return package.train(folder, epochs=1, size=16, out=tmp_path / "run"), folder


def text_of(run, **options):
    return package.write_report(run, overwrite=True, **options).file.read_text(encoding="utf-8")


def tiles_of(text):
    return json.loads(re.search(r'id="mistakes">(.*?)</script>', text)[1])["tiles"]


def section(text, name):
    return re.search(rf'<section id="{name}".*?</section>', text, re.DOTALL)[0]


def test_learning_curves_with_lost_epochs_are_left_out(copied):
    metrics = copied.path / "metrics.csv"
    lines = metrics.read_text().splitlines(keepends=True)
    for left in (lines[:1], lines[:1] + lines[2:]):
        metrics.write_text("".join(left))
        assert "lacks epochs: restore it" in package.write_report(copied, overwrite=True).missing["curves"]


def test_a_run_of_two_networks(copied):
    written = package.write_report(copied)
    assert written.missing == {}
    assert written.file == copied.path / "report.html"
    text = written.file.read_text(encoding="utf-8")
    result, found = copied.finished_result(), contents_of(copied)
    assert f"{100 * result['test_accuracy']['mean']:.1f}% ± " in section(text, "result")
    assert "(n = 2)" in section(text, "result")
    wrong = round(180 * (1 - result["test_accuracy"]["each"][result["best_network"]]))
    assert len(tiles_of(text)) == wrong == len(found.mistakes.names)
    assert "This page contains all of these" in section(text, "confusion")
    assert np.all(np.diff(found.mistakes.predicted.confidence) <= 0)
    accuracies = [np.trace(one.confusion) / 180 for one in found.scores]
    assert accuracies == pytest.approx(result["test_accuracy"]["each"])
    assert found.calibration.after.error == pytest.approx(
        result["test_calibration_error"]["each"][found.best], abs=1e-6
    )
    assert "CC BY 4.0" in section(text, "data")
    assert "1,437 training, 180 validation, 180 test" in section(text, "data")
    assert 'id="model"' in text
    assert not re.search(r"\bsrc=\"?h|@import|<link rel=\"style", text)


def test_without_images_the_rest_is_shown(photo_run):
    run, folder = photo_run
    folder.rename(folder.with_name("moved"))
    written = package.write_report(run)
    assert set(written.missing) == {"mistakes", "calibration", "copies"}
    text = written.file.read_text(encoding="utf-8")
    assert "Left out. The run&#x27;s images were not found." in section(text, "confident")
    assert '<table class="matrix' in text
    assert tiles_of(text) == []
    assert 'id="model"' in text
    assert "16 training, 12 validation" not in text
    assert "unknown" not in section(text, "data")
    again = text_of(run, data=folder.with_name("moved"))
    assert "1 exact copy of other images" in section(again, "data")
    assert "png" in section(again, "confident") or "There are none" in section(again, "confident")
    (folder.with_name("moved") / "cat" / "3.png").unlink()
    with pytest.raises(package.InputError, match=r"the images of moved are not those .* was trained on"):
        package.write_report(run, data=folder.with_name("moved"))
    assert written.file.read_text(encoding="utf-8") == again, "it is not replaced by one without the images"


def test_images_in_memory(tmp_path):
    random = np.random.default_rng(0)
    data = (random.integers(0, 256, (60, 16, 16), np.uint8), np.arange(60) % 3)
    run = package.train(data, epochs=1, out=tmp_path / "run")
    assert "mistakes" in package.write_report(run).missing
    assert package.write_report(run, data=data).missing == {}


def test_without_weights(copied):
    (copied.path / "model.safetensors").unlink()
    written = package.write_report(copied)
    assert set(written.missing) == {"live", "filters", "calibration"}
    text = written.file.read_text(encoding="utf-8")
    assert all(tile[2] is None for tile in tiles_of(text))
    assert "weights cannot be read" in section(text, "confident")
    (copied.path / "model.json").unlink()
    assert tiles_of(text_of(copied)) == tiles_of(text)


def test_a_network_whose_weights_overflow(copied):
    checkpoint = copied.checkpoint()
    with torch.no_grad():
        for network in checkpoint.networks:
            for parameter in network.parameters():
                parameter *= 1e20
    copied.write_checkpoint(checkpoint)
    written = package.write_report(copied)
    assert set(written.missing) >= {"live", "calibration"}
    assert "cannot be evaluated: network" in written.missing["live"]
    assert tiles_of(written.file.read_text(encoding="utf-8")), "the predictions are kept in a file of their own"


def test_without_weights_images_and_names(photo_run):
    run, folder = photo_run
    shutil.rmtree(folder)
    (run.path / "model.safetensors").unlink()
    (run.path / "model.json").unlink()
    text = text_of(run)
    assert '<th scope="row">0</th>' in section(text, "per-class")


@pytest.mark.parametrize("content", [None, b"damaged"])
def test_without_predictions_the_best_network_predicts_again(copied, content):
    before = tiles_of(text_of(copied))
    path = copied.path / "predictions.safetensors"
    path.unlink() if content is None else path.write_bytes(content)
    assert tiles_of(text_of(copied)) == before
    (copied.path / "model.safetensors").unlink()
    missing = package.write_report(copied).missing
    assert {"scores", "mistakes"} <= set(missing)
    assert "predictions" in missing["scores"]


def test_a_result_that_another_program_changed(copied):
    path = copied.path / "result.json"
    changed = json.loads(path.read_text()) | {"command": "lenet train 'digits", "versions": "none"}
    path.write_text(json.dumps(changed))
    text = text_of(copied)
    assert "lenet train &#x27;digits" not in text
    assert "lenet train --recipe" in section(text, "repeat")


def test_without_epochs(copied):
    (copied.path / "metrics.csv").unlink()
    assert "Left out" in section(text_of(copied), "curves")


def test_a_trial_that_a_search_kept(copied):
    for name in ("result.json", "predictions.safetensors", "metrics.csv", "split.safetensors", "layers.json"):
        (copied.path / name).unlink()
    text = text_of(copied)
    assert "The network was not evaluated on test images" in section(text, "result")
    assert "validation images" in section(text, "confusion")
    card = package.write_report(copied, card=True).file.read_text(encoding="utf-8")
    assert "There is no test result" in card
    assert "model-index" not in card


def test_folds(small_stl10, tmp_path):
    run = package.train(
        "stl10", data_dir=small_stl10.parent, protocol="folds", epochs=1, out=tmp_path / "run", batch_size=8
    )
    written = package.write_report(run)
    assert written.missing == {}
    assert "10 folds" in section(written.file.read_text(encoding="utf-8"), "data")


def test_a_network_that_cannot_run_in_a_page(tmp_path):
    from torch import nn

    from lenet import Normalize

    layers = [Normalize([0.5], [0.5]), nn.Flatten(), nn.Linear(256, 1600), nn.ReLU(), nn.Linear(1600, 10)]
    run = package.train("digits", model=nn.Sequential(*layers), epochs=1, out=tmp_path / "run")
    missing = package.write_report(run).missing
    assert set(missing) == {"live", "filters"}
    assert "427,210 parameters" in missing["live"]
    assert "does not begin with a convolution" in missing["filters"]


def test_the_card(copied):
    text = package.write_report(copied, card=True).file.read_text(encoding="utf-8")
    result = copied.finished_result()
    assert text.startswith("---\nlibrary_name: lenet\npipeline_tag: image-classification\n")
    assert f"value: {result['test_accuracy']['mean']:.4f}" in text
    assert "(n = 2), on 180 images" in text
    assert "- Accuracy by class: " in text
    assert "Licence: CC BY 4.0" in text
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        compile(code, "card", "exec")


def test_train_writes_a_report_at_the_end(lenet, tmp_path):
    outcome = lenet("train", "digits", "--epochs", 1, "--out", tmp_path / "run", "--report")
    assert outcome.code == 0, outcome
    assert f"report  {tmp_path / 'run' / 'report.html'}, " in outcome.out
    assert "--report" not in section((tmp_path / "run" / "report.html").read_text(), "repeat")
    again = lenet("train", "--resume", "--out", tmp_path / "run", "--report")
    assert again.code == 0, again


def test_what_exists_is_not_replaced(lenet, refused, copied, tmp_path):
    own = copied.path / "report.html"
    assert lenet("report", copied.path).code == 0
    assert lenet("report", copied.path).code == 0  # its own page
    own.write_text("mine")
    refused(lenet("report", copied.path), f"{own} exists", "--overwrite")
    assert own.read_text() == "mine"
    assert lenet("report", copied.path, "--overwrite").code == 0
    other = tmp_path / "other.html"
    assert lenet("report", copied.path, other).code == 0
    refused(lenet("report", copied.path, other), f"{other} exists")
    assert lenet("report", copied.path, "--card").code == 0
    refused(lenet("report", copied.path, "--card"), "MODEL_CARD.md exists")


def test_what_cannot_be_written_is_one_line(lenet, refused, copied, tmp_path):
    refused(lenet("report", "none"), "no run at none")
    refused(lenet("report", copied.path, "page.pdf"), "must end in .html")
    refused(lenet("report", copied.path, "card.md"), "must end in .html", "--card")
    refused(lenet("report", copied.path, "page.html", "--card"), "must end in .md")
    refused(lenet("report", copied.path, tmp_path / "none" / "page.html"), "no folder")
    (tmp_path / "folder.html").mkdir()
    refused(lenet("report", copied.path, tmp_path / "folder.html"), "is a folder")
    (copied.path / "result.json").unlink()
    refused(lenet("report", copied.path), "is not finished", "--resume")  # killed before result.json was written
    (copied.path / "model.json").unlink()
    refused(lenet("report", copied.path), "is not finished", "--resume")
    (copied.path / "search.toml").touch()
    refused(lenet("report", copied.path), "search.toml is damaged")


def test_a_search_a_study_and_a_folder_have_pages(lenet, search_folder, small_study, tmp_path):
    search = search_folder()
    study = shutil.copytree(small_study, tmp_path / "study")
    assert lenet("report", study / "low").code == 0
    for folder, wanted in ((search, "Trials"), (study, "Comparisons"), (tmp_path, "Runs")):
        outcome = lenet("report", folder)
        assert outcome.code == 0, outcome
        assert f"report  {folder / 'report.html'}, " in outcome.out
        text = (folder / "report.html").read_text(encoding="utf-8")
        assert f">{wanted}</h2>" in text
        assert lenet("report", folder).code == 0  # its own page is replaced
    assert 'href="low/report.html"' in (study / "report.html").read_text()
    index = (tmp_path / "report.html").read_text()
    assert 'href="search/report.html"' in index
    assert 'href="study/report.html"' in index
    other = package.write_report(study, tmp_path / "study.html").file
    assert 'href="study/low/report.html"' in other.read_text()


def test_an_interrupted_search_says_what_it_lacks(lenet, search_folder):
    outcome = lenet("report", search_folder(finished=False, over=6))
    assert outcome.code == 0
    assert "without confirmation: The search is not finished: 6 of 12 trials have ended." in outcome.out


def test_options_of_a_run_are_refused_for_others(lenet, refused, search_folder, small_study, tmp_path):
    search = search_folder()
    refused(lenet("report", search, "--card"), f"--card is for a run, and {search} is a search")
    refused(lenet("report", small_study, "--data", "x"), "--data is for a run", "is a study")
    refused(lenet("report", tmp_path, "--data-dir", "x"), "--data-dir is for a run", "is a folder of runs")
    assert not (search / "report.html").exists()


def test_a_folder_without_runs_and_a_damaged_study_are_refused(lenet, refused, tmp_path):
    (tmp_path / "photos").mkdir()
    refused(lenet("report", tmp_path), f"{tmp_path} has no runs in it")
    assert not (tmp_path / "report.html").exists()
    (tmp_path / "study.json").write_text("{}")
    refused(lenet("report", tmp_path), "study.json is damaged (it has no runs)")


def test_a_folder_with_the_name_of_a_published_dataset_has_none_of_its_facts(photos, lenet, tmp_path):
    folder = photos(tmp_path / "mnist")
    package.train(folder, epochs=1, size=16, out=tmp_path / "run")
    assert lenet("report", tmp_path / "run", "--card").code == 0
    card = (tmp_path / "run" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "- Licence: not known to lenet" in card
    assert "LeCun" not in card
    assert "published dataset" not in section(text_of(tmp_path / "run"), "data")


def test_the_card_counts_networks_that_diverged_and_tells_how_the_epoch_was_chosen(copied, lenet):
    assert lenet("report", copied.path, "--card").code == 0
    card = (copied.path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "This run trained 2 of them" in card
    assert "The epoch is chosen by validation; the test set" in card
    result = json.loads((copied.path / "result.json").read_text())
    result |= {"failed": [2], "config": result["config"] | {"select": "last"}}
    (copied.path / "result.json").write_text(json.dumps(result))
    assert lenet("report", copied.path, "--card", "--overwrite").code == 0
    card = (copied.path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "This run trained 3 of them" in card
    assert "- 1 of 3 networks diverged and is not in the mean: seed 2." in card
    assert "The weights are those of the last epoch; the test set" in card


def test_the_command_that_repeats_a_run_is_quoted_for_a_shell(digits_run, tmp_path):
    run = Run(shutil.copytree(digits_run.path, tmp_path / "é $HOME" / "run 1"))
    assert f"lenet train --recipe &#x27;{run.path}/config.toml&#x27;" in section(text_of(run), "repeat")


def test_a_file_of_a_run_is_not_replaced_through_a_link(copied, tmp_path):
    (tmp_path / "a.html").symlink_to(copied.path / "model.json")
    before = (copied.path / "model.json").read_bytes()
    with pytest.raises(package.InputError, match=r"a\.html belongs to the run in .*: choose another name"):
        package.write_report(copied, tmp_path / "a.html", overwrite=True)
    assert (copied.path / "model.json").read_bytes() == before


def test_a_name_that_no_file_can_have_is_refused(copied):
    for file in (b"a.html", "a\0b.html", "a" * 300 + ".html"):
        with pytest.raises(package.InputError, match=r"a path must be text|file's name|a name of more than 255 bytes"):
            package.write_report(copied, file)
