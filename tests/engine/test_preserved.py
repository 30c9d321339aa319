"""What the caller has set in PyTorch neither changes a training nor is changed by it."""

import pytest
import torch

import lenet


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def weights_of(path, **options):
    run = lenet.train("digits", epochs=1, batch_size=64, augment="none", out=path, **options)
    return (run.path / "model.safetensors").read_bytes()


def test_float64_as_the_default_changes_no_run(engine, tmp_path, float64):
    found = weights_of(tmp_path / "run", engine=engine)
    assert torch.get_default_dtype() == torch.float64
    assert lenet.load(tmp_path / "run").networks[0][1].weight.dtype == torch.float32
    torch.set_default_dtype(torch.float32)
    assert weights_of(tmp_path / "usual", engine=engine) == found


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, lambda: torch.device("meta")])
def test_a_run_inside_a_mode_of_pytorch_is_the_same(engine, digits, tmp_path, mode):
    with mode():
        found = weights_of(tmp_path / "run", engine=engine)
        assert len(lenet.predict(tmp_path / "run", list(digits.images[:3]))) == 3
    assert weights_of(tmp_path / "usual", engine=engine) == found
