"""Training speed of lenet and of a plain PyTorch script, on the same data, network and settings.

    python benchmarks/train_speed.py [--data-dir DIR] [--engine torch] [--batches 4 8 32 128] [--repeats 5]

Each measurement is a separate process with one thread. The two take turns; the table shows medians and ratios.
"""

import argparse

from comparison import alternate, table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="folder with CIFAR-10 (default: $LENET_DATA, ./data, then the user cache)")
    parser.add_argument("--batches", type=int, nargs="+", default=[4, 8, 32, 128])
    parser.add_argument("--model", default="lenet5-modern")
    parser.add_argument("--engine", choices=("auto", "native", "torch"), default="auto")
    parser.add_argument("--images", type=int, default=4000, help="training images per measurement")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()

    where = ["--data-dir", options.data_dir] if options.data_dir else []
    rows = []
    for batch in options.batches:
        common = [*where, "--batch-size", str(batch), "--images", str(options.images), "--model", options.model]
        measured = alternate(
            {
                "plain": ["plain_script.py", *common],
                "lenet": ["our_training.py", *common, "--engine", options.engine],
            },
            options.repeats,
        )
        plain, ours = (measured[name]["images_per_second"] for name in ("plain", "lenet"))
        ratio = sorted(o / p for o, p in zip(ours.each, plain.each, strict=True))
        row = {"batch": batch, "plain img/s": plain.median, "lenet img/s": ours.median}
        row["ratio"] = f"{ratio[len(ratio) // 2]:.1f} ({ratio[0]:.1f}-{ratio[-1]:.1f})"
        if "preparing" in measured["lenet"]:
            row["preparing"] = f"{100 * measured['lenet']['preparing'].median:.0f}%"
        rows.append(row)
    print(f"{options.model}, one thread, medians of {options.repeats} runs (ratio: lowest to highest)")
    print(table(rows))


if __name__ == "__main__":
    main()
