"""Networks of the user's own: settings that the engines would ignore, and the option dropout."""

import pytest
from torch import nn

import lenet
from lenet.errors import InputError
from lenet.models import Normalize


def network(**norm):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, **norm), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(196, 10)
    )


def partly_frozen():
    model = network()
    model[0].requires_grad_(False)
    return model


@pytest.mark.parametrize("engine", ["native", "torch"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partly_frozen, r"layer 1 \(Conv2d\): weight has requires_grad=False; use the option freeze"),
        (lambda: network().requires_grad_(False), r"layer 1 \(Conv2d\): weight has requires_grad=False"),
        (lambda: network(track_running_stats=False), r"layer 2 \(BatchNorm2d\): track_running_stats must be true"),
    ],
)
def test_train_refuses_requires_grad_and_track_running_stats(engine, make, message, tmp_path):
    with pytest.raises(InputError, match=message):
        lenet.train("digits", model=make(), engine=engine, epochs=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", [lenet.train, lenet.audit])
def test_a_module_that_is_no_sequential_is_refused_with_the_way_out(command, tmp_path):
    with pytest.raises(InputError, match=r"a model must be a name or an nn\.Sequential, not a Linear"):
        command("digits", model=nn.Linear(256, 10), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def with_dropout(probability):
    return nn.Sequential(nn.Flatten(), nn.Dropout(probability), nn.Linear(256, 10))


def test_a_run_with_another_dropout_resumes_by_the_call_that_started_it(tmp_path):
    options = {"dropout": 0.3, "epochs": 2, "out": tmp_path / "run"}

    def stop(setup, trainings):
        if trainings[0].history:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lenet.train("digits", model=with_dropout(0.1), watch=stop, **options)
    with pytest.raises(InputError, match="was started with another network"):
        lenet.train("digits", model=nn.Sequential(nn.Flatten(), nn.Linear(256, 10)), resume=True, **options)
    run = lenet.train("digits", model=with_dropout(0.1), resume=True, **options)
    assert [layer.p for layer in run.checkpoint().networks[0] if isinstance(layer, nn.Dropout)] == [0.3]


def stop_at_once(setup, trainings):
    raise KeyboardInterrupt


def normalized(mean):
    return nn.Sequential(Normalize((mean,), (0.3,)), *network())


def test_a_network_that_normalizes_by_other_statistics_is_another_network(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        lenet.train("digits", model=normalized(0.25), epochs=1, out=tmp_path / "run", watch=stop_at_once)
    with pytest.raises(InputError, match="was started with another network: leave model out"):
        lenet.train("digits", model=normalized(0.5), epochs=1, out=tmp_path / "run", resume=True)
    run = lenet.train("digits", model=normalized(0.25), epochs=1, out=tmp_path / "run", resume=True)
    assert run.checkpoint().networks[0][0].mean.item() == 0.25


def test_a_run_whose_layers_were_changed_is_not_resumed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        lenet.train("digits", model=network(), epochs=1, out=tmp_path / "run", watch=stop_at_once)
    layers = tmp_path / "run" / "layers.json"
    layers.write_text(layers.read_text().replace('"ReLU"', '"Tanh"'))
    with pytest.raises(InputError, match=r"layers\.json was changed since the run was started: restore it"):
        lenet.train("digits", out=tmp_path / "run", resume=True)


def test_dropout_without_such_a_layer_changes_nothing_and_says_so(tmp_path, capsys):
    model = nn.Sequential(nn.Flatten(), nn.Linear(256, 10))
    lenet.train("digits", model=model, dropout=0.3, epochs=1, out=tmp_path / "run", verbose=True)
    assert "dropout changes nothing: the model has no Dropout layer" in capsys.readouterr().out
