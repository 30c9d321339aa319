"""Images on disk as uint8 arrays with labels, class names and splits; and the plan of an epoch over them."""

from lenet.data.dataset import Dataset, find_auto, load_dataset

__all__ = ["Dataset", "find_auto", "load_dataset"]
