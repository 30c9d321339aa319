"""Cores and memory as a container allows them."""

import pytest

from lenet import cores


@pytest.fixture
def group(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "_GROUP", tmp_path)
    return tmp_path


def test_page_cache_of_a_container_counts_as_free(group):
    (group / "memory.max").write_text("1000000\n")
    (group / "memory.current").write_text("900000\n")
    (group / "memory.stat").write_text("anon 300000\ninactive_file 500000\nactive_file 100000\n")
    assert cores.free_memory() == 600_000


def test_a_container_without_a_limit_has_the_machines_memory(group):
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("900000\n")
    free = cores.free_memory()
    assert free is None or free > 1 << 20


def test_a_quota_bounds_the_cores(group):
    (group / "cpu.max").write_text("100000 100000\n")
    assert cores.usable_cores() == 1
