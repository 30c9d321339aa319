"""A search over Ray's own test cluster: three nodes on this machine, one of them killed."""

import csv
import time

import pytest


@pytest.fixture
def cluster(monkeypatch, tmp_path):
    """A head and two more nodes, of one core each."""
    pytest.importorskip("ray", reason='no ray here: pip install "lenet[tune]"')
    from lenet.tuning.session import LOCAL, QUIET

    for name, value in (QUIET | LOCAL).items():
        monkeypatch.setenv(name, value)
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 80 << 20, "include_dashboard": False}
    started = Cluster(initialize_head=True, head_node_args=node)
    try:
        for _ in range(2):
            started.add_node(**{name: value for name, value in node.items() if name != "include_dashboard"})
        yield started
    finally:
        started.shutdown()


def test_a_node_dies_in_mid_search_and_nothing_is_lost(cluster, process, lenet, tmp_path):
    path = tmp_path / "run"
    words = ("digits", "--recipe", "none", "--augment", "none", "--space", "lr=loguniform(1e-3,1e-1)", "--trials", 6,
             "--epochs", 30, "--batch-size", 8, "--scheduler", "none", "--confirm", 0)  # fmt: skip
    running = process("tune", *words, "--out", path, "--address", cluster.address)
    until = time.monotonic() + 60
    while len(list((path / "state").glob("[0-9]*"))) < 3:  # all three nodes are at work
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    out, err = running.communicate(timeout=300)
    assert (running.returncode, err) == (0, ""), (out, err)

    with (path / "trials.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [int(line["epoch"]) for line in lines] == [*range(1, 31)] * 6
    assert {line["status"] for line in lines} == {"finished"}
    recipe = path / "trials" / "2.toml"
    assert lenet("train", "--recipe", recipe, "--out", tmp_path / "alone").code == 0
    with (tmp_path / "alone" / "metrics.csv").open(newline="") as file:
        alone = [line["val_loss"] for line in csv.DictReader(file)]
    assert [line["val_loss"] for line in lines if line["trial"] == "2"] == alone
    # The cluster is not ours: it runs on, with the two nodes it has left.
    import ray

    ray.init(address=cluster.address, log_to_driver=False)
    try:
        while sum(node["Alive"] for node in ray.nodes()) != 2:
            assert time.monotonic() < until + 120
            time.sleep(0.2)
    finally:
        ray.shutdown()
