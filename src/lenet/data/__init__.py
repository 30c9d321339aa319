"""Images on disk to uint8 arrays with labels, class names and splits; and an epoch's plan over them."""

from lenet.data.dataset import Dataset, default_size, find_auto, load_dataset

__all__ = ["Dataset", "default_size", "find_auto", "load_dataset"]
