"""The CIFAR-10 study's search: batch size, learning rate and dropout by Ray Tune. Takes every flag of 'lenet tune'."""

import sys

from lenet.cli import main

if __name__ == "__main__":
    sys.exit(main(["tune", *sys.argv[1:]]))
