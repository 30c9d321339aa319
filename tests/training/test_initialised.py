"""Initial weights: PyTorch's for the seed."""

import torch
from torch import nn

from lenet.models import SHAPES, network_of
from lenet.training.training import initialised

GREY = (16, 16, 1)


def test_initialised_depends_on_seed_alone_and_leaves_original():
    template = network_of(SHAPES["lenet5-modern"], GREY, 10)
    before = {name: tensor.clone() for name, tensor in template.state_dict().items()}
    torch.manual_seed(3)
    generator = torch.get_rng_state()
    one = initialised(template, 4)
    assert torch.equal(torch.get_rng_state(), generator)
    with torch.no_grad():
        for tensor in template.parameters():
            tensor.fill_(9)
        template[2].running_mean.fill_(9)
    other = initialised(template, 4)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
    assert not torch.equal(one[1].weight, before["1.weight"])
    assert torch.equal(one[0].mean, before["0.mean"])  # the pixel mean is not a weight
    assert not torch.equal(one[1].weight, initialised(template, 5)[1].weight)


def test_initial_weights_are_those_of_pytorch_for_the_seed():
    def network():
        return nn.Sequential(
            nn.Conv2d(1, 6, 5), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 3, groups=2, bias=False), nn.Linear(3, 2)
        )

    torch.manual_seed(4)
    expected = network()
    got = initialised(network(), 4)
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, got.state_dict()[name])


def test_initial_weights_take_nothing_from_the_global_generator(monkeypatch):
    """Other threads draw from it, or seed it, between two layers."""
    expected = initialised(nn.Sequential(nn.Linear(300, 200), nn.Linear(200, 2)), 4)
    uniform = nn.init.kaiming_uniform_

    def drawn_beside(*args, **options):
        torch.rand(7)
        return uniform(*args, **options)

    monkeypatch.setattr(nn.init, "kaiming_uniform_", drawn_beside)
    got = initialised(nn.Sequential(nn.Linear(300, 200), nn.Linear(200, 2)), 4)
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, got.state_dict()[name])
