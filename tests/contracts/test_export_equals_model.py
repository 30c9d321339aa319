"""Exported files give what lenet predicts: for networks of one's own, every fit, and images of any size."""

import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image
from torch import nn

import lenet
from lenet.exports.c_run import c_compiler

FORMATS = ("onnx", pytest.param("c", marks=pytest.mark.skipif(c_compiler() is None, reason="there is no C compiler")))


def deep_network():
    """Batch norm before and after pools, padding, a strided and a grouped convolution, every activation."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.GELU(), nn.MaxPool2d(2), nn.BatchNorm2d(8),
        nn.Conv2d(8, 12, 3, stride=2, padding=1, groups=2), nn.BatchNorm2d(12), nn.LeakyReLU(0.2), nn.Dropout(0.1),
        nn.AvgPool2d(3, 2, 1), nn.BatchNorm2d(12), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, 10),
        nn.BatchNorm1d(10), nn.Tanh(), nn.Linear(10, 3),
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory, photos):
    return photos(tmp_path_factory.mktemp("images") / "photos", classes=("cat", "dog", "hen"), sides=(37, 23))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Images of many sizes, as files."""
    random, path = np.random.default_rng(0), tmp_path_factory.mktemp("files")
    for height, width in ((1, 1), (5, 90), (90, 5), (16, 16), (17, 16), (123, 45), (45, 123), (300, 200)):
        Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8)).save(path / f"{height}x{width}.png")
    return sorted(path.iterdir())


def computed(file, image, tmp_path):
    """The probabilities of one image, uint8 [H, W, C], by the exported file."""
    if file.suffix == ".onnx":
        runtime = pytest.importorskip("onnxruntime")
        return runtime.InferenceSession(str(file)).run(["probabilities"], {"image": image[None]})[0][0]
    program = tmp_path / "program"
    if not program.exists():
        flags = ["-std=c99", "-O2", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DLENET_TEST"]
        subprocess.run([*c_compiler(), *flags, str(file), "-o", str(program), "-lm"], check=True)
        subprocess.run([program], check=True, capture_output=True)
    (tmp_path / "image").write_bytes(image.tobytes())
    command = [program, tmp_path / "image", *map(str, image.shape[:2])]
    return np.array(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split(), float)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_image_files_are_predicted_alike(format, fit, folder, files, tmp_path):
    run = lenet.train(folder, model=deep_network(), size=16, fit=fit, epochs=1, batch_size=8, out=tmp_path / "run")
    export = lenet.export(run, tmp_path / f"net.{format}")
    assert export.proof.sizes == 16
    for file, prediction in zip(files, lenet.predict(run, files, top=3, reject_unlike="none"), strict=True):
        found = computed(export.file, np.asarray(Image.open(file)), tmp_path)
        by_class = dict(zip(export.network.classes, found, strict=True))
        wanted = dict(zip(prediction.classes, prediction.probabilities, strict=True))
        assert {name: pytest.approx(value, abs=1e-5) for name, value in by_class.items()} == wanted, file.name


# Without them the page's program for a microcontroller is not built and run.
CORTEX_M4 = all(map(shutil.which, ("arm-none-eabi-gcc", "qemu-system-arm")))


@pytest.fixture(scope="module")
def named(request, tmp_path_factory):
    """A run of the network with this name on few digits, in colour; two of its seeds differ in every weight."""
    changes = {"norm": "after-pool", "padding": 1} if request.param == "lenet5-modern" else {}
    shape = {"channels": 3, "size": 20, "per_class": 10, "batch_size": 8}
    path = tmp_path_factory.mktemp("named") / "run"
    return lenet.train("digits", model=request.param, **changes, **shape, epochs=1, seeds=2, out=path)


DEEP = ("small-vgg", "resnet8")
NAMES = ("lenet5", "lenet-dropout", "lenet5-tuned", "lenet5-modern", *DEEP)


@pytest.mark.parametrize("format", [*FORMATS, "pt2", "safetensors"])
@pytest.mark.parametrize("named", NAMES, indirect=True)
def test_named_networks(format, named, tmp_path):
    export = lenet.export(named, tmp_path / f"net.{format}", network=1)
    assert (export.proof.images, export.proof.reason) == (180, "")


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("named", DEEP, indirect=True)
def test_deep_networks_in_integers(format, named, tmp_path):
    export = lenet.export(named, tmp_path / f"net.{format}", int8=True)
    assert (export.proof.images, export.unproven) == (180, "")
    assert export.int8.int8.weight_bytes < export.int8.float32.weight_bytes / 3.9


def test_docs_ship_md(root, tmp_path, monkeypatch):
    """Its commands, and its program beside the network."""
    if c_compiler() is None or shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    from lenet.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(root / "examples")
    text = (root / "docs" / "ship.md").read_text()
    blocks = [block.split("\n", 1) for block in text.split("```")[1::2]]
    for kind, block in blocks:
        if kind != "sh":
            continue
        for line in block.replace("\\\n", "").splitlines():
            if line.startswith("lenet "):
                assert main(line.partition("#")[0].split()[1:]) == 0, line
            elif not line.startswith("pip ") and (CORTEX_M4 or not line.startswith(("arm-", "qemu-"))):
                subprocess.run(line, shell=True, check=True, capture_output=True)
    (tmp_path / "main.c").write_text(next(block for kind, block in blocks if kind == "c"))
    done = subprocess.run("cc -std=c99 -O3 main.c digits.c -lm && ./a.out", shell=True, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("%")
    runtime = pytest.importorskip("onnxruntime")
    names = {"onnxruntime": runtime}
    Image.new("L", (20, 20)).save("seven.png")
    for kind, block in blocks:
        if kind == "python":
            exec(block, names)
    assert (names["probabilities"].shape, names["classes"]) == ((1, 10), list("0123456789"))
    assert names["prediction"].classes[0] in names["classes"]
