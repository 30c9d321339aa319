"""The CIFAR-10 study: train the network in model.py for 20 epochs, then test it. Takes the flags of 'lenet train'."""

import sys

from lenet.cli import loading

if __name__ == "__main__":
    with loading():
        from lenet.cli.script import train_main
        from model import lenet
    sys.exit(train_main(lenet()))
