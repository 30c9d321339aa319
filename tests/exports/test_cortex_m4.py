"""The C file on a Cortex-M4, emulated by QEMU: the probabilities of the check images are lenet's."""

import re
import shutil
import subprocess

import pytest

from lenet.exports.formats import FORMATS
from lenet.exports.quantize import quantized

TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm")
TARGET = ("-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "--specs=rdimon.specs")
EMULATOR = ("qemu-system-arm", "-machine", "mps2-an386", "-nographic", "-monitor", "none", "-semihosting-config",
            "enable=on,target=native", "-kernel")  # fmt: skip
pytestmark = [
    pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"{' or '.join(TOOLS)} is not installed"),
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel"),
]


@pytest.fixture
def checked_on_board(root, tmp_path):
    """A function that compiles a written C file for the board and runs its test program there."""

    def check(path):
        board, program = root / "examples" / "cortex-m4", tmp_path / "program.elf"
        test = ["-std=c99", "-O2", "-DLENET_TEST", "-DLENET_MAX_SIDE=256", "-T", board / "link.ld"]
        command = [TOOLS[0], *TARGET, *test, board / "startup.c", path, "-lm", "-o", program]
        built = subprocess.run(command, capture_output=True, text=True)
        assert (built.returncode, built.stderr) == (0, "")
        return subprocess.run([*EMULATOR, program], capture_output=True, text=True, stdin=subprocess.DEVNULL)

    return check


def test_every_kind_of_layer(any_network, some_images, as_exported, write, checked_on_board):
    done = checked_on_board(write(".c", as_exported(any_network), any_network, some_images))
    assert (done.returncode, done.stdout.count("equal"), done.stdout.count("DIFFERENT")) == (0, 10, 0), done.stdout


@pytest.mark.parametrize("any_network", ["lenet", "norm after pool"], indirect=True)
def test_integers(any_network, some_images, as_exported, tmp_path, checked_on_board):
    described, path = as_exported(any_network), tmp_path / "net.c"
    path.write_bytes(FORMATS[".c"].int8.written(described, quantized(described, some_images), some_images, "any"))
    done = checked_on_board(path)
    assert (done.returncode, done.stdout.count("equal"), done.stdout.count("DIFFERENT")) == (0, 10, 0), done.stdout


@pytest.mark.parametrize("any_network", ["lenet"], indirect=True)
def test_a_difference_fails(any_network, some_images, as_exported, write, checked_on_board):
    path = write(".c", as_exported(any_network), any_network, some_images)
    path.write_text(re.sub(r"(_bias\[\d+\] = \{\n +)", r"\g<1>9.0f + ", path.read_text()))
    done = checked_on_board(path)
    assert (done.returncode, "DIFFERENT" in done.stdout) == (1, True), done.stdout
