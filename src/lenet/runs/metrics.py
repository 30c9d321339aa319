"""One epoch of one network: a row of metrics.csv."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EpochRow:
    """What one epoch came to. Losses are mean cross-entropy in nats, accuracies lie in 0..1, epoch counts from 1."""

    seed: int
    epoch: int
    engine: str
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    train_seconds: float
    val_seconds: float
    failed_step: int | None = None
