"""The CIFAR-10 study's network, written out: a LeNet with average pooling, and dropout after each linear layer."""

from torch import nn


def lenet(dropout: float = 0.2) -> nn.Sequential:
    """Takes float [B, 3, 32, 32] and gives logits [B, 10]; the softmax is in the loss, and in predictions.

    What the study leaves open is our choice: LeNet-5's widths, and ReLU after the convolutions too.
    """
    return nn.Sequential(
        nn.Conv2d(3, 6, kernel_size=5),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, kernel_size=5),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(84, 10),
    )
