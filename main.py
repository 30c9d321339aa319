"""The CIFAR-10 study: train its LeNet for 20 epochs, then test it. Takes every flag of 'lenet train'."""

import sys

from lenet.cli import main
from model import lenet

if __name__ == "__main__":
    sys.exit(main(["train", "cifar10", "--recipe", "cifar10-lenet", *sys.argv[1:]], model=lenet()))
