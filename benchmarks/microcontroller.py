"""Flash, RAM and instructions of exported C files on an emulated Cortex-M4, floats beside 8-bit integers.

    python benchmarks/microcontroller.py [RUN…]

RUN is a run folder; by default lenet5, the default network and resnet8 are trained on 1,000 images of CIFAR-10 for one
epoch each, since weights affect neither size nor speed. The files are compiled by arm-none-eabi-gcc at -Os and at -O3,
for images of up to 96 pixels a side, and run by QEMU (machine mps2-an386).

flash         code and constants of the network's file, without the C library, in KiB
RAM           its variables, in KiB; the stack comes on top
instructions  for one image of the network's size, in millions. QEMU counts instructions, not cycles: a Cortex-M4 takes
              one to about two cycles for each
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from comparison import table

import lenet

_BOARD = Path(__file__).parents[1] / "examples" / "cortex-m4"
_GCC = [
    "arm-none-eabi-gcc",
    "-std=c99",
    "-mcpu=cortex-m4",
    "-mfloat-abi=hard",
    "-mfpu=fpv4-sp-d16",
    "-DLENET_MAX_SIDE=96",
]
_QEMU = ["qemu-system-arm", "-machine", "mps2-an386", "-nographic", "-monitor", "none", "-semihosting-config",
         "enable=on,target=native", "-icount", "shift=1", "-kernel"]  # fmt: skip
# With shift=1 an instruction takes 2 ns of emulated time, in which the board's timer ticks 25 million times a second.
_INSTRUCTIONS_PER_TICK = 20

# Prints the ticks of the processor's timer, which counts 24 bits down, for one image.
_MAIN = """
#define LENET_DECLARATIONS
#include "net.c"
#include <stdio.h>

#define CONTROL (*(volatile uint32_t *)0xE000E010u)
#define RELOAD (*(volatile uint32_t *)0xE000E014u)
#define VALUE (*(volatile uint32_t *)0xE000E018u)

int main(void) {
    static uint8_t pixels[LENET_SIDE * LENET_SIDE * LENET_CHANNELS];
    float probabilities[LENET_CLASSES];
    for (unsigned i = 0; i < sizeof pixels; ++i) pixels[i] = (uint8_t)(37 * i);
    RELOAD = 0xFFFFFF;
    VALUE = 0;
    CONTROL = 5;
    const uint32_t begin = VALUE;
    const int number = lenet_classify_fitted(pixels, probabilities);
    printf("%u", (unsigned)((begin - VALUE) & 0xFFFFFF));
    return number < 0;
}
"""


def measured(folder: Path, level: str) -> tuple[int, int, float]:
    """Bytes of flash and of RAM, and millions of instructions, of net.c in a folder."""
    built, program = folder / "net.o", folder / "net.elf"
    subprocess.run([*_GCC, level, "-c", str(folder / "net.c"), "-o", str(built)], check=True)
    printed = subprocess.run(["arm-none-eabi-size", str(built)], capture_output=True, text=True, check=True).stdout
    text, data, bss = (int(word) for word in printed.splitlines()[1].split()[:3])
    (folder / "main.c").write_text(_MAIN)
    sources = [str(_BOARD / "startup.c"), str(folder / "main.c"), str(built)]
    link = ["--specs=rdimon.specs", "-T", str(_BOARD / "link.ld"), *sources, "-lm", "-o", str(program)]
    subprocess.run([*_GCC, level, *link], check=True)
    done = subprocess.run([*_QEMU, str(program)], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    return text + data, data + bss, int(done.stdout) * _INSTRUCTIONS_PER_TICK / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", help="run folders (default: lenet5, lenet5-modern and resnet8 on CIFAR-10)")
    parser.add_argument("--data-dir", help="folder with CIFAR-10 (default: $LENET_DATA, ./data, then the user cache)")
    options = parser.parse_args()
    for program in ("arm-none-eabi-gcc", "qemu-system-arm"):
        if shutil.which(program) is None:
            sys.exit(f"{program} is missing (Debian: gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm)")
    with tempfile.TemporaryDirectory(prefix="lenet-bench-") as name:
        folder = Path(name)
        runs = options.runs
        if not runs:
            for model in ("lenet5", "lenet5-modern", "resnet8"):
                out = folder / model
                lenet.train("cifar10", model=model, per_class=100, epochs=1, out=out, data_dir=options.data_dir)
                runs.append(folder / model)
        rows = []
        for run in runs:
            for int8 in (False, True):
                lenet.export(run, folder / "net.c", int8=int8, overwrite=True, data_dir=options.data_dir)
                for level in ("-Os", "-O3"):
                    flash, ram, instructions = measured(folder, level)
                    rows.append({"run": Path(run).name, "numbers": "int8" if int8 else "float", "": level,
                                 "flash": f"{flash / 1024:.1f}", "RAM": f"{ram / 1024:.1f}",
                                 "instructions": f"{instructions:.2f}"})  # fmt: skip
        print(table(rows))


if __name__ == "__main__":
    main()
