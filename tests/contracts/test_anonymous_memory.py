"""100,000 images are read, trained on and evaluated without one copy of their pixels in anonymous memory."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

COUNT = 100_000
PIXELS = COUNT * 32 * 32 * 3

CHILD = """
import json, sys, threading, time
from pathlib import Path

import lenet
from lenet.config import DataConfig
from lenet.data import load_dataset

highest = 0

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))

def watch():
    global highest
    while True:
        highest = max(highest, anonymous())
        time.sleep(0.005)

threading.Thread(target=watch, daemon=True).start()
data, run = sys.argv[1:]
lenet.train("digits", epochs=1)  # loads every library
before, found = anonymous(), {}
for name, work in {
    "build": lambda: load_dataset(DataConfig(data=data)),
    "train": lambda: lenet.train(
        data, model="lenet5", maps=(1, 2), fc=(8, 8), epochs=1, batch_size=512, seeds=2, out=run
    ),
    "resume": lambda: lenet.train(data, out=run, resume=True),
    "evaluate": lambda: lenet.evaluate(run, split="train", network=0),
    "transfer": lambda: lenet.transfer(run, data, epochs=1, batch_size=512, out=run + "-transfer"),
}.items():
    highest = 0
    work()
    found[name] = highest - before
print(json.dumps(found))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells how much memory is anonymous")
@pytest.mark.slow
def test_no_step_takes_a_copy_of_the_pixels(tmp_path):
    random = np.random.default_rng(0)
    images = np.empty((COUNT, 32, 32, 3), dtype=np.uint8)
    some = random.integers(0, 256, (1000, 32, 32, 3), dtype=np.uint8)
    for begin in range(0, COUNT, len(some)):  # all differ, by a few pixels
        images[begin : begin + len(some)] = some
        images[begin : begin + len(some), 0, :2, 0] = divmod(begin // len(some), 10)
    np.savez(tmp_path / "many.npz", images=images, labels=random.integers(0, 10, COUNT))
    del images
    command = [sys.executable, "-c", CHILD, str(tmp_path / "many.npz"), str(tmp_path / "run")]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert max(found.values()) < PIXELS / 2, {name: f"{value / 1e6:.0f} MB" for name, value in found.items()}
