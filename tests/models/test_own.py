"""Networks of the user's own: Normalize in front, and the refusal of what does not fit or cannot be kept."""

import pytest
import torch
from torch import nn

from lenet.errors import InputError
from lenet.models import Normalize, fitted


def small(*, inputs=3, outputs=10, features=3 * 16 * 16):
    return nn.Sequential(nn.Flatten(), nn.Linear(features, 8), nn.ReLU(), nn.Linear(8, outputs))


def test_fitted_adds_normalize_once():
    whole = fitted(small(), (16, 16, 3), 10, [0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    assert isinstance(whole[0], Normalize)
    assert whole[0].mean.tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert whole[0].std.tolist() == pytest.approx([0.4, 0.5, 0.6])
    assert fitted(whole, (16, 16, 3), 10, [0.0], [1.0]) is whole


class Mine(nn.Module):
    def forward(self, x):
        return x


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (small(outputs=9), r"returns logits of shape \(9,\), but the data has 10 classes"),
        (small(features=100), r"does not accept images of 16x16 pixels with 3 channel\(s\)"),
        (nn.Sequential(nn.Conv2d(1, 4, 5), nn.Flatten(), nn.Linear(576, 10)), "does not accept images"),
        (nn.Sequential(nn.Flatten(), nn.BatchNorm2d(768), nn.Linear(768, 10)), "does not accept images"),
        (nn.Sequential(nn.Flatten(2), nn.Linear(768, 10)), "does not accept images"),
        (nn.Sequential(nn.Flatten(7), nn.Linear(768, 10)), r"layer 1 \(Flatten\): start_dim must be"),
        (nn.Sequential(Mine()), "layer 1: Mine is not supported"),
        (nn.Sequential(), "no layers"),
        (nn.Linear(3, 3), "must be a name or an nn.Sequential, not a Linear"),
    ],
)
def test_fitted_refuses_a_network_that_does_not_fit_the_data(model, message):
    with pytest.raises(InputError, match=message) as refused:
        fitted(model, (16, 16, 3), 10, [0.5] * 3, [0.25] * 3)
    assert "\n" not in str(refused.value)


def test_fitted_refuses_shared_weights():
    # After loading a checkpoint they would be two separate weights.
    shared = nn.Linear(8, 8)
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 8), shared, nn.ReLU(), shared, nn.Linear(8, 10))
    with pytest.raises(InputError, match="share"):
        fitted(model, (16, 16, 3), 10, [0.5] * 3, [0.25] * 3)


def with_hook():
    model = small()
    model[1].register_forward_hook(lambda *_: None)
    return model


class Zeroed(nn.Sequential):
    def forward(self, images):
        return 0 * super().forward(images)


def with_buffer():
    model = small()
    model[1].register_buffer("extra", torch.zeros(3))
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Zeroed(*small()), "Zeroed has its own forward method"),
        (with_buffer, r"layer 2 \(Linear\) has an extra tensor 'extra'"),
        (lambda: small().to("meta"), r"layer 2 \(Linear\): weight is on the meta device"),
        (
            lambda: small().requires_grad_(False),
            r"layer 2 \(Linear\): weight has requires_grad=False; use the option freeze",
        ),
        (lambda: small().double(), "float64; lenet trains float32"),
        (with_hook, r"layer 2 \(Linear\) has hooks"),
        (lambda: nn.Sequential(nn.Dropout(1.0), *small()), r"layer 1 \(Dropout\): p must be a number from 0 to 0.999"),
        (
            lambda: nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), *small()),
            r"layer 1 \(BatchNorm2d\): track_running_stats must be true",
        ),
        (lambda: nn.Sequential(nn.BatchNorm2d(3, momentum=None), *small()), "momentum must be a number"),
    ],
)
def test_fitted_refuses_what_the_engines_would_treat_differently(make, message):
    with pytest.raises(InputError, match=message):
        fitted(make(), (16, 16, 3), 10, [0.5] * 3, [0.25] * 3)
