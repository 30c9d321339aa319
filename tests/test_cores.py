"""Cores and memory as a container allows them."""

import psutil
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
    assert cores.free_memory() > 1 << 20


def test_a_container_with_a_larger_limit_has_the_machines_memory(group, monkeypatch):
    (group / "memory.max").write_text(f"{1 << 60}\n")
    (group / "memory.current").write_text("900000\n")
    (group / "memory.stat").write_text("inactive_file 500000\n")
    monkeypatch.setattr(cores, "_machine_memory", lambda: (99999, 12345))
    assert cores.free_memory() == 12345


@pytest.mark.parametrize(("quota", "usable"), [("max 100000", 6), ("250000 100000", 2), ("10000 100000", 1), ("", 6)])
def test_a_quota_bounds_the_cores(group, monkeypatch, quota, usable):
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: range(6))
    (group / "cpu.max").write_text(f"{quota}\n")
    assert cores.usable_cores() == usable


def test_a_containers_limit_bounds_the_total_memory(group):
    assert cores.total_memory() == psutil.virtual_memory().total
    (group / "memory.max").write_text("1000000\n")
    assert cores.total_memory() == 1_000_000


@pytest.mark.parametrize("content", [None, "", "MemTotal: many kB\n", "MemTotal: 1000 kB\n"])
def test_without_linuxs_table_psutil_says_how_much_memory_there_is(group, tmp_path, monkeypatch, content):
    monkeypatch.setattr(cores, "_MEMORY", tmp_path / "meminfo")
    if content is not None:
        (tmp_path / "meminfo").write_text(content)
    assert cores.total_memory() == psutil.virtual_memory().total
    assert cores.free_memory() > 1 << 20
