"""A network trained with others is bit-identical to the run of its seed alone; one that diverges affects no other."""

import json
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lenet.config import DataConfig
from lenet.engine import native
from lenet.runs.run import Run
from lenet.runs.tensors import write_tensors
from lenet.training.training import Training

WORDS = ("train", "digits", "--epochs", 2, "--batch-size", 32, "--augment", "flip-shift", "--dropout", 0.2)
needs_native = pytest.mark.skipif(native.available() is not None, reason=str(native.available()))


def test_network_of_several_seeds_is_bit_identical_to_run_of_its_seed_alone(lenet, tmp_path, engine):
    words = (*WORDS, "--engine", engine)
    assert lenet(*words, "--seeds", 3, "--seed", 5, "--out", tmp_path / "three").code == 0
    three = load_file(tmp_path / "three" / "model.safetensors")
    result = Run(tmp_path / "three").result
    rows = Run(tmp_path / "three").metrics()
    for number, seed in enumerate((5, 6, 7)):
        path = tmp_path / str(seed)
        assert lenet(*words, "--seed", seed, "--out", path).code == 0
        one = load_file(path / "model.safetensors")
        assert {f"{number}.{name}" for name in one} == {name for name in three if name.startswith(f"{number}.")}
        for name, tensor in one.items():
            assert torch.equal(tensor, three[f"{number}.{name}"]), (seed, name)
        for which in ("val_accuracy", "test_accuracy"):
            assert result[which]["each"][number] == Run(path).result[which]["mean"]
        own = [row for row in rows if row["seed"] == seed]
        for row, other in zip(own, Run(path).metrics(), strict=True):
            assert {k: v for k, v in row.items() if "seconds" not in k} == {
                k: v for k, v in other.items() if "seconds" not in k
            }
    weights = [three[f"{number}.1.weight"] for number in range(3)]
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])


@needs_native
def test_last_network_uses_idle_cores_and_stays_bit_identical(lenet, tmp_path, monkeypatch):
    used: dict[int, set[int]] = {}
    advance = Training.advance

    def watched(self):
        used.setdefault(self.seed, set()).add(self.settings.threads)
        row = advance(self)
        if self.finished:
            others.release()
        elif self.seed == 2:  # the last to start: its last epoch has all cores once the others have finished
            assert others.acquire(timeout=300)
            assert others.acquire(timeout=300)
        return row

    monkeypatch.setattr(Training, "advance", watched)
    for cores in (1, 2):
        others = threading.Semaphore(0)
        monkeypatch.setattr("lenet.training.setup.usable_cores", lambda cores=cores: cores)
        words = (*WORDS, "--engine", "native", "--seeds", 3, "--out", tmp_path / str(cores))
        assert lenet(*words).code == 0
        assert max(set().union(*used.values())) == cores
    one, two = ((tmp_path / cores / "model.safetensors").read_bytes() for cores in "12")
    assert one == two


def test_torch_engine_uses_the_configured_number_of_threads(lenet, tmp_path, monkeypatch):
    used = []
    advance = Training.advance
    monkeypatch.setattr(Training, "advance", lambda self: used.append(self.settings.threads) or advance(self))
    monkeypatch.setattr("lenet.training.setup.usable_cores", lambda: 2)
    outcome = lenet(*WORDS, "--engine", "torch", "--threads", 3, "--out", tmp_path / "run")
    assert outcome.code == 0
    assert "3 threads" in outcome.out
    assert used == [3, 3]


@needs_native
def test_native_results_do_not_depend_on_number_of_threads(lenet, tmp_path, monkeypatch):
    monkeypatch.setattr("lenet.training.setup.usable_cores", lambda: 3)
    for threads in (1, 2, 3):
        outcome = lenet(*WORDS, "--engine", "native", "--threads", threads, "--out", tmp_path / str(threads))
        assert outcome.code == 0
    one, two, three = ((tmp_path / threads / "model.safetensors").read_bytes() for threads in "123")
    assert one == two == three


def test_network_that_diverges_is_named_and_others_are_kept(lenet, tmp_path):
    path = tmp_path / "run"
    words = ["train", "digits", "--epochs", 3, "--seeds", 3, "--out", path]
    assert lenet(*words).code == 0
    whole = load_file(path / "model.safetensors")
    # Change the saved weights of the second network after its first epoch, so that it diverges when it resumes.
    (path / "result.json").unlink()
    state = load_file(path / "state" / "1.safetensors")
    history = json.loads(bytes(state["history:json"].tolist()))[:1]
    state["history:json"] = torch.tensor(list(json.dumps(history).encode()), dtype=torch.uint8)
    state["model:1.weight"][0] = 3e38  # finite, but its products are not
    write_tensors(path / "state" / "1.safetensors", state)
    outcome = lenet("train", "--resume", "--out", path)
    assert outcome.code == 0
    assert "seed 1 epoch 2/3  diverged: the loss is not finite at step 1" in outcome.out
    assert "failed  1 of 3 networks diverged and is not in the mean: seed 1\n" in outcome.out
    result = Run(path).result
    assert (result["members"], result["failed"], len(result["test_accuracy"]["each"])) == (2, [1], 2)
    left = load_file(path / "model.safetensors")
    for number, before in ((0, 0), (1, 2)):
        assert torch.equal(left[f"{number}.1.weight"], whole[f"{before}.1.weight"])
    assert json.loads((path / "model.json").read_text())["seeds"] == [0, 2]
    row = next(row for row in Run(path).metrics() if row["failed_step"] is not None)
    assert (row["seed"], row["epoch"], row["failed_step"]) == (1, 2, 0)
    again = lenet("train", "--resume", "--out", path)
    assert "failed  1 of 3 networks diverged" in again.out
    assert lenet("eval", path, "--out", tmp_path / "csv").code == 0


def test_error_names_every_network_if_all_diverge(lenet, tmp_path):
    words = ["train", "digits", "--model", "lenet-dropout", "--optimizer", "sgd", "--lr", 100, "--seeds", 2,
             "--weight-decay", 10, "--schedule", "constant", "--epochs", 5, "--out", tmp_path / "run"]  # fmt: skip
    for resume in ([], ["--resume"]):
        outcome = lenet(*words, *resume)
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert "the loss is no longer finite (seed 0 in epoch 1, step" in outcome.err
        assert "seed 1 in epoch 1, step" in outcome.err
        assert "lower --lr (it is 100)" in outcome.err
    assert not (tmp_path / "run" / "result.json").exists()


def test_test_set_is_evaluated_with_best_weights_by_validation(digits_run):
    import lenet
    from lenet.data import load_dataset
    from lenet.engine import torch as engine
    from lenet.engine.base import Settings

    data = load_dataset(DataConfig(data="digits"))
    checkpoint = lenet.load(digits_run)
    result = digits_run.result
    rows = digits_run.metrics()
    for number, network in enumerate(checkpoint.networks):
        for which, indices in (("val_accuracy", data.val), ("test_accuracy", data.test)):
            logits = engine.logits(network, data.images[indices], Settings())
            assert np.mean(logits.argmax(1) == data.labels[indices]) == pytest.approx(result[which]["each"][number])
        loss = torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(data.labels[indices]))
        assert loss.item() == pytest.approx(result["test_loss"]["each"][number], rel=1e-4)
        own = [float(row["val_accuracy"]) for row in rows if row["seed"] == number]
        assert max(own) == result["val_accuracy"]["each"][number]
        assert own.index(max(own)) + 1 == result["best_epoch"][number]
