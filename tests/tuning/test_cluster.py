"""A search over Ray's own test cluster: two nodes on this machine, one of them killed."""

import csv
import os
import time

import pytest

EPOCHS = 60  # so many that the first node has not trained all trials when the other, on a busy machine, begins


@pytest.fixture
def cluster(monkeypatch):
    """A head and another node, of one core each."""
    pytest.importorskip("ray", reason='no ray here: pip install "lenet[tune]"')
    from lenet.tuning.session import LOCAL, QUIET

    for name, value in (QUIET | LOCAL).items():
        monkeypatch.setenv(name, value)
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 80 << 20}
    started = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
    try:
        started.add_node(**node)
        yield started
    finally:
        started.shutdown()


@pytest.mark.slow
def test_a_node_dies_in_mid_search_and_nothing_is_lost(cluster, process, ray_workers, lenet, tmp_path):
    path = tmp_path / "run"
    words = ("digits", "--recipe", "none", "--augment", "none", "--space", "lr=loguniform(1e-3,1e-1)", "--trials", 4,
             "--epochs", EPOCHS, "--batch-size", 8, "--scheduler", "none", "--confirm", 0)  # fmt: skip
    running = process("tune", *words, "--out", path, "--address", cluster.address)
    until = time.monotonic() + 300
    # Until both nodes are at work.
    while len(ray_workers(os.getpid())) < 2 or len(list((path / "state").glob("[0-9]*"))) < 2:
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    out, err = running.communicate(timeout=300)
    assert (running.returncode, err) == (0, ""), (out, err)

    with (path / "trials.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [int(line["epoch"]) for line in lines] == [*range(1, EPOCHS + 1)] * 4
    assert {line["status"] for line in lines} == {"finished"}
    recipe = path / "trials" / "2.toml"
    assert lenet("train", "--recipe", recipe, "--out", tmp_path / "alone").code == 0
    with (tmp_path / "alone" / "metrics.csv").open(newline="") as file:
        alone = [line["val_loss"] for line in csv.DictReader(file)]
    assert [line["val_loss"] for line in lines if line["trial"] == "2"] == alone
    cluster.wait_for_nodes()  # the cluster is not ours: it runs on, with the node it has left
