"""lenet export: the file, what is printed, and every mistake in one line."""

import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest

import lenet as package
from lenet.errors import InputError
from lenet.exports import quantized
from lenet.exports.c_run import c_compiler
from lenet.exports.formats import FORMATS
from lenet.exports.page_run import node

runtime = pytest.importorskip("onnxruntime")


def test_the_file_is_written_and_proven(lenet, digits_run, tmp_path):
    file = tmp_path / "net.onnx"
    outcome = lenet("export", digits_run.path, file, "--network", 1)
    assert outcome.code == 0, outcome
    assert f"network  1 of {digits_run.path} (seed 1, test accuracy " in outcome.out
    assert "compared 180 test images: same class, probabilities within" in outcome.out
    assert f"file     {file}, {file.stat().st_size:,} bytes\nuse      image, uint8" in outcome.out
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_the_same_in_python(digits_run, digits, tmp_path):
    export = package.export(digits_run, tmp_path / "net.onnx")
    assert export.proof.images == 180
    assert export.network.provenance.network == digits_run.checkpoint().best
    run = runtime.InferenceSession(str(export.file))
    (found,) = run.run(["probabilities"], {"image": digits.images[:7]})
    predicted = package.predict(digits_run, digits.images[:7], top=1, reject_unlike="none")
    assert [export.network.classes[number] for number in found.argmax(axis=1)] == [one.classes[0] for one in predicted]
    np.testing.assert_allclose(found.max(axis=1), [one.probabilities[0] for one in predicted], atol=1e-5)


def test_a_file_for_images_of_the_network_s_size(lenet, digits_run, tmp_path):
    outcome = lenet("export", digits_run.path, tmp_path / "net.onnx", "--input", "network")
    assert "uint8 [images, 16, 16, 1] (grey)" in outcome.out
    assert "other sizes" not in outcome.out


def test_an_existing_file_needs_overwrite(lenet, refused, digits_run, tmp_path):
    file = tmp_path / "net.onnx"
    file.write_text("mine")
    refused(lenet("export", digits_run.path, file), f"{file} exists: give --overwrite to replace it")
    assert file.read_text() == "mine"
    assert lenet("export", digits_run.path, file, "--overwrite").code == 0
    own = digits_run.path / "model.safetensors"
    refused(lenet("export", digits_run.path, own, "--overwrite"), f"{own} belongs to the run in ")
    assert file.read_bytes() != b"mine"


def test_a_file_that_differs_is_not_written(lenet, refused, digits_run, tmp_path, monkeypatch):
    format = FORMATS[".onnx"]
    wrong = replace(format, computer=lambda path, scratch: lambda images: np.eye(10)[np.zeros(len(images), int)])
    monkeypatch.setitem(FORMATS, ".onnx", wrong)
    file = tmp_path / "net.onnx"
    file.write_text("mine")
    outcome = lenet("export", digits_run.path, file, "--overwrite")
    refused(outcome, "for test image 0 it gives '0'", "no file was written")
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
    assert file.read_text() == "mine"


def test_without_its_images_a_run_is_proven_on_others(lenet, photos, tmp_path):
    folder = photos(tmp_path / "photos")
    package.train(folder, size=16, epochs=1, out=tmp_path / "run")
    folder.rename(tmp_path / "moved")
    outcome = lenet("export", tmp_path / "run", tmp_path / "net.onnx")
    assert outcome.code == 0, outcome
    assert "compared 64 made-up images: same class" in outcome.out
    assert "note     the run's test images were not found: " in outcome.out


def test_an_image_that_differs_is_named_by_its_file(lenet, refused, photos, tmp_path, monkeypatch):
    package.train(photos(tmp_path / "photos"), size=16, epochs=1, out=tmp_path / "run")
    wrong = replace(FORMATS[".onnx"], computer=lambda path, scratch: lambda images: np.ones((len(images), 2)))
    monkeypatch.setitem(FORMATS, ".onnx", wrong)
    refused(lenet("export", tmp_path / "run", tmp_path / "net.onnx"), "for test image 0 (cat/", ".png) it gives")


def test_mistakes(lenet, refused, digits_run, tmp_path):
    run, file = digits_run.path, tmp_path / "net.onnx"
    refused(lenet("export", run, tmp_path / "net.onx"), "no format '.onx', did you mean '.onnx'?")
    refused(
        lenet("export", run, tmp_path / "net"),
        "has no ending, which chooses the format: give it one of .onnx, .c, .html, .pt2",
    )
    refused(lenet("export", run, tmp_path / "no" / "net.onnx"), f"no folder {tmp_path / 'no'} for net.onnx")
    refused(lenet("export", run, file, "--network", 2), "no network 2: the run has networks 0 to 1")
    refused(lenet("export", tmp_path / "none", file), "no run at")
    (tmp_path / "empty").mkdir()
    refused(lenet("export", tmp_path / "empty", file), "has no model.json, so it is not a finished run")
    (tmp_path / "folder.onnx").mkdir()
    refused(lenet("export", run, tmp_path / "folder.onnx"), "is a folder: give a file's name")
    refused(lenet("export", run, file, "--input", "nework"), "nework")
    with pytest.raises(package.InputError, match=r"no input 'nework' for \.onnx files, did you mean 'network'"):
        package.export(run, file, input="nework")
    assert not file.exists()


def test_a_missing_package_leaves_no_file(lenet, refused, digits_run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    outcome = lenet("export", digits_run.path, tmp_path / "net.onnx")
    refused(outcome, 'onnxruntime: pip install "lenet[export]"')
    assert not list(tmp_path.iterdir())


def test_a_c_file(lenet, digits_run, tmp_path, monkeypatch):
    file = tmp_path / "net.c"
    outcome = lenet("export", digits_run.path, file)
    assert outcome.code == 0, outcome
    if c_compiler():
        assert "compared 180 test images: same class, probabilities within" in outcome.out
    assert "use      lenet_classify: grey images up to 4096x4096; lenet_classify_fitted: 16x16" in outcome.out
    content = file.read_bytes()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    outcome = lenet("export", digits_run.path, file, "--overwrite")
    assert outcome.code == 0, outcome
    assert "note     not compared with the network: there is no C compiler (set CC)" in outcome.out
    assert file.read_bytes() == content


def test_a_page(lenet, digits_run, tmp_path, monkeypatch):
    file = tmp_path / "net.html"
    outcome = lenet("export", digits_run.path, file)
    assert outcome.code == 0, outcome
    if node():
        assert "compared 180 test images: same class, probabilities within" in outcome.out
        assert "; 16 images of other sizes likewise" in outcome.out
    content = file.read_bytes()
    monkeypatch.setenv("PATH", str(tmp_path))
    outcome = lenet("export", digits_run.path, file, "--overwrite")
    assert outcome.code == 0, outcome
    assert "not compared with the network: there is no Node.js here; the page verifies its check images" in outcome.out
    assert file.read_bytes() == content


def test_input_is_for_onnx_files(lenet, refused, digits_run, tmp_path):
    outcome = lenet("export", digits_run.path, tmp_path / "net.c", "--input", "network")
    refused(outcome, "no input 'network' for .c files: leave it out")


@pytest.mark.parametrize("ending", ["pt2", "safetensors"])
def test_pytorch_s_own_files(lenet, digits_run, tmp_path, ending):
    outcome = lenet("export", digits_run.path, tmp_path / f"net.{ending}")
    assert outcome.code == 0, outcome
    assert "compared 180 test images: same class" in outcome.out
    assert "other sizes" not in outcome.out


@pytest.mark.parametrize(
    "ending", ["onnx", pytest.param("c", marks=pytest.mark.skipif(not c_compiler(), reason="no C"))]
)
def test_a_file_of_integers(lenet, digits_run, digits, tmp_path, ending):
    file = tmp_path / f"net.{ending}"
    outcome = lenet("export", digits_run.path, file, "--int8")
    assert outcome.code == 0, outcome
    assert "compared 180 test images: the same integers, logits equal to the last bit, probabilities" in outcome.out
    assert "; 16 images of other sizes likewise" in outcome.out
    for name in ("float", "int8"):
        (line,) = (line for line in outcome.out.splitlines() if line.startswith(f"{name:9}test accuracy "))
        assert line.endswith(" images/s on one core")
    export = package.export(digits_run, tmp_path / f"again.{ending}", int8=True)
    assert export.file.read_bytes() == file.read_bytes()
    assert export.int8.images == 180
    assert export.int8.float32.accuracy == export.network.provenance.test_accuracy
    assert abs(export.int8.loss) < 0.05
    assert export.int8.float32.weight_bytes == 4 * export.int8.int8.weight_bytes
    assert export.int8.int8.bytes == file.stat().st_size < export.int8.float32.bytes / 2


def test_the_integers_of_a_test_image_are_computed_once(digits_run, tmp_path, monkeypatch):
    computed = []
    monkeypatch.setattr(quantized, "_logits", lambda network, images, known=quantized._logits: (
        computed.append(len(images)), known(network, images))[1])  # fmt: skip
    package.export(digits_run, tmp_path / "net.onnx", int8=True)
    assert sum(computed) == 180 + 16  # and images of other sizes


def test_a_large_loss_of_accuracy_is_told(lenet, digits_run, tmp_path, monkeypatch):
    accuracies = iter([0.9, 0.875])
    monkeypatch.setattr("lenet.commands.export._accuracy", lambda *_: next(accuracies))
    outcome = lenet("export", digits_run.path, tmp_path / "net.onnx", "--int8")
    assert "note     int8 loses 2.5 points: consider the float file" in outcome.out


def test_a_file_with_other_integers_is_not_written(lenet, refused, digits_run, tmp_path, monkeypatch):
    known = FORMATS[".onnx"]
    wrong = replace(known.int8, computer=lambda path, scratch: lambda images: np.ones((len(images), 20)))
    monkeypatch.setitem(FORMATS, ".onnx", replace(known, int8=wrong))
    outcome = lenet("export", digits_run.path, tmp_path / "net.onnx", "--int8")
    refused(outcome, "for test image 0 it gives other integers; no file was written")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ["html", "pt2", "safetensors"])
def test_integers_are_for_onnx_and_c_files(lenet, refused, digits_run, tmp_path, ending):
    outcome = lenet("export", digits_run.path, tmp_path / f"net.{ending}", "--int8")
    refused(outcome, f"--int8 is for .onnx and .c files, not .{ending}: leave it out or choose another ending")


def test_integers_need_the_training_images(lenet, refused, photos, tmp_path):
    folder = photos(tmp_path / "photos")
    package.train(folder, size=16, epochs=1, out=tmp_path / "run")
    folder.rename(tmp_path / "moved")
    outcome = lenet("export", tmp_path / "run", tmp_path / "net.onnx", "--int8")
    refused(outcome, "--int8 needs the run's images, to find the ranges of activations: ", "photos")
    assert not (tmp_path / "net.onnx").exists()


def test_a_run_on_images_in_memory_is_exported_with_them(digits, tmp_path):
    images, labels = digits.images[:300], digits.labels[:300]
    run = package.train((images, labels), epochs=1, out=tmp_path / "run")
    with pytest.raises(InputError, match="pass them again, as data, to"):
        package.export(run, tmp_path / "net8.c", int8=True)
    with pytest.raises(InputError, match="are not those"):
        package.export(run, tmp_path / "net8.c", int8=True, data=(images[:299], labels[:299]))
    export = package.export(run, tmp_path / "net8.c", int8=True, data=(images, labels))
    assert export.int8.images == run.result["test_images"]


@pytest.mark.parametrize("name", ["model.safetensors", "split.safetensors"])
def test_the_files_of_another_run_are_not_replaced(lenet, refused, digits_run, tmp_path, name):
    other = shutil.copytree(digits_run.path, tmp_path / "other")
    before = (other / name).read_bytes()
    (tmp_path / "link.safetensors").symlink_to(other / name)
    for file in (other / name, tmp_path / "link.safetensors"):
        outcome = lenet("export", digits_run.path, file, "--overwrite")
        refused(outcome, f"{file} belongs to the run in {other}: choose another name")
    refused(lenet("export", digits_run.path, other / name), "belongs to the run in")  # --overwrite would not help
    assert (other / name).read_bytes() == before


@pytest.mark.parametrize("file", [b"net.onnx", "a\0b.onnx", "a" * 300 + ".onnx"], ids=ascii)
def test_a_name_that_no_file_can_have_is_refused(digits_run, file):
    with pytest.raises(InputError, match=r"a path must be text|file's name|a name of more than 255 bytes"):
        package.export(digits_run, file)


@pytest.mark.skipif(not c_compiler(), reason="no C")
def test_a_compiler_that_is_not_found_is_not_replaced_by_another(lenet, refused, digits_run, tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "no-such-cc")
    outcome = lenet("export", digits_run.path, tmp_path / "net.c")
    refused(outcome, "CC=no-such-cc is not found: set CC to a C99 compiler, or unset it")
    assert not list(tmp_path.iterdir())
