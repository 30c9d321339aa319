"""A folder of photographs with planted faults, as people's own folders have them: made from STL-10.

    python benchmarks/photo_folder.py photos --data-dir DATA      # STL-10 is 2.6 GB where it must be downloaded

writes photos/train/CLASS/*.jpg and photos/test/CLASS/*.jpg, about 5,700 files, and photos.planted.csv beside the
folder: what is wrong with which file. docs/your-images.md finds it again with lenet. The planted faults:

- one class (truck) has a sixth of the training images of the others
- wrong labels: 131 training images lie in the folder of another class
- 40 test images are copies of training images, byte for byte, and 40 more are copies saved anew (another quality, size
  or brightness)
- 10 training images lie in two classes
- 3 images are black or grey all over, and 2 files are cut off

Sizes and modes differ too, which is no fault: 96 pixels a side, 96x72, 150x112, grey, PNG.

    python benchmarks/photo_folder.py photos --review audited/labels.csv --rows 200

corrects an audit's labels.csv in place of a person who looks at its first 200 suspect images: planted wrong labels
get their true class, all others stay.
"""

import argparse
import csv
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance

from lenet.config import DataConfig
from lenet.data.dataset import Dataset, load_dataset
from lenet.errors import InputError

TRAIN, RARE_TRAIN, TEST = 400, 67, 200  # images per class
RARE = "truck"
WRONG, COPIES, NEAR_COPIES, IN_TWO, CONSTANT, CUT_OFF = 131, 40, 40, 10, 3, 2


class Planted(NamedTuple):
    """One fault: file and the other file that it is about, relative to the folder; the true class of a wrong label."""

    kind: str
    file: str
    other: str = ""
    true_class: str = ""


def make_folder(dataset: Dataset, folder: Path, seed: int = 0, wrong: int = WRONG) -> list[Planted]:
    """Writes the folder, which must not exist, from STL-10's images (uint8 [N, 96, 96, 3]); returns what is planted.

    wrong: number of training images in the folder of another class
    """
    rng = np.random.default_rng(seed)
    saved: dict[str, list[str]] = {"train": [], "test": []}
    true: dict[str, str] = {}
    planted: list[Planted] = []
    pool = {"train": np.concatenate([dataset.train, dataset.val]), "test": dataset.test}
    chosen = []  # (part, class, index into the dataset)
    for label, name in enumerate(dataset.classes):
        for part, count in (("train", RARE_TRAIN if name == RARE else TRAIN), ("test", TEST)):
            of_class = pool[part][dataset.labels[pool[part]] == label]
            chosen += [(part, name, int(index)) for index in rng.permutation(of_class)[:count]]
    moved = set(rng.permutation([i for i, (part, _, _) in enumerate(chosen) if part == "train"])[:wrong].tolist())
    for number, (part, name, index) in enumerate(chosen):
        given = name
        if number in moved:
            given = str(rng.choice([other for other in dataset.classes if other not in (name, RARE)]))
        file = _save(_varied(Image.fromarray(dataset.images[index]), rng), folder, f"{part}/{given}/{index:05}")
        saved[part].append(file)
        true[file] = name
        if given != name:
            planted.append(Planted("wrong label", file, true_class=name))
    clean = [file for file in saved["train"] if Path(file).parent.name == true[file]]
    picked = iter(rng.permutation(clean).tolist())
    for number in range(COPIES + NEAR_COPIES):
        file = next(picked)
        image = Image.open(folder / file).convert("RGB")
        to = f"test/{true[file]}/{'copy' if number < COPIES else 'again'}_{number:03}"
        if number < COPIES:
            target = folder / f"{to}{Path(file).suffix}"
            target.write_bytes((folder / file).read_bytes())
            planted.append(Planted("exact copy", target.relative_to(folder).as_posix(), file))
        else:
            planted.append(Planted("near copy", _save(_again(image, number), folder, to, quality=75), file))
    for number in range(IN_TWO):
        file = next(picked)
        other = str(rng.choice([name for name in dataset.classes if name != true[file]]))
        target = folder / "train" / other / f"both_{number:03}{Path(file).suffix}"
        target.write_bytes((folder / file).read_bytes())
        planted.append(Planted("in two classes", target.relative_to(folder).as_posix(), file, true[file]))
    for number in range(CONSTANT):
        name = str(rng.choice(dataset.classes))
        blank = Image.new("RGB", (96, 96), (100 * number,) * 3)
        planted.append(Planted("constant", _save(blank, folder, f"train/{name}/blank_{number}")))
    for number in range(CUT_OFF):
        target = folder / next(picked)
        copy = target.with_name(f"cut_{number}{target.suffix}")
        copy.write_bytes(target.read_bytes()[: 600 + 200 * number])
        planted.append(Planted("unreadable", copy.relative_to(folder).as_posix()))
    return planted


def _varied(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """As people's photographs are: a tenth in another shape, a tenth larger, a fiftieth grey."""
    draw = rng.random()
    if draw < 0.1:
        return image.crop((0, 12, 96, 84))
    if draw < 0.2:
        return image.crop((0, 12, 96, 84)).resize((150, 112), Image.Resampling.BICUBIC)
    return image.convert("L") if draw < 0.22 else image


def _again(image: Image.Image, number: int) -> Image.Image:
    """The image as somebody saves it once more: smaller, brighter, or only in another quality."""
    width, height = image.size
    if number % 3 == 0:
        return image.resize((width * 3 // 4, height * 3 // 4), Image.Resampling.BICUBIC)
    return ImageEnhance.Brightness(image).enhance(1.15) if number % 3 == 1 else image


def _save(image: Image.Image, folder: Path, name: str, quality: int = 92) -> str:
    """Saves the image, every twentieth name as PNG; returns its path relative to the folder."""
    file = f"{name}.png" if sum(name.encode()) % 20 == 0 else f"{name}.jpg"
    target = folder / file
    target.parent.mkdir(parents=True, exist_ok=True)
    image.save(target) if file.endswith(".png") else image.save(target, quality=quality)
    return file


def write_planted(planted: list[Planted], file: Path) -> None:
    """Writes the faults as CSV: kind, file, other, true_class."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(Planted._fields)
        rows.writerows(planted)


def review(labels: Path, listed: Path, rows: int) -> int:
    """Correct the first `rows` suspect images of an audit's labels.csv; returns the number of wrong labels among them.

    listed: the CSV file that `write_planted` wrote; lines that leave an image out are kept
    """
    with listed.open(newline="", encoding="utf-8") as stream:
        true = {row["file"]: row["true_class"] for row in csv.DictReader(stream) if row["kind"] == "wrong label"}
    with labels.open(newline="", encoding="utf-8") as stream:
        table = csv.DictReader(stream)
        columns, lines = table.fieldnames or [], list(table)
    suspects = [line for line in lines if line["label"]][:rows]
    for line in suspects:
        line["label"] = true.get(line["file"], line["label"])
    with labels.open("w", newline="", encoding="utf-8") as stream:
        written = csv.DictWriter(stream, columns, lineterminator="\n")
        written.writeheader()
        written.writerows(lines)
    return sum(line["file"] in true for line in suspects)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="Folder to make.")
    parser.add_argument("--data-dir", help="Folder in which STL-10 is found or downloaded.")
    parser.add_argument("--seed", type=int, default=0, help="Random seed of what is planted where.")
    parser.add_argument("--wrong", type=int, default=WRONG, help="Number of wrong labels.")
    parser.add_argument("--review", type=Path, metavar="LABELS", help="Correct an audit's labels.csv instead.")
    parser.add_argument("--rows", type=int, default=200, help="Number of suspect images to review.")
    given = parser.parse_args()
    listed = given.folder.with_name(f"{given.folder.name}.planted.csv")
    if given.review:
        wrong = review(given.review, listed, given.rows)
        print(f"{given.review}: {wrong} of the first {given.rows} suspect labels are wrong; corrected")
        return 0
    if given.folder.exists():
        print(f"error: {given.folder} exists: name a new folder", file=sys.stderr)
        return 2
    try:
        dataset = load_dataset(DataConfig(data="stl10", size=96, data_dir=given.data_dir))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    planted = make_folder(dataset, given.folder, given.seed, given.wrong)
    write_planted(planted, listed)
    print(f"wrote {given.folder} ({sum(1 for one in given.folder.rglob('*.*'))} files) and {listed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
