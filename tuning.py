"""The CIFAR-10 study's search over the network in model.py. Takes the flags of 'lenet tune'."""

import sys

from lenet.cli import loading

if __name__ == "__main__":
    with loading():
        from lenet.cli.script import search_main
        from model import lenet
    sys.exit(search_main(lenet()))
