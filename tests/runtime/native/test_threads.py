from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from graphc.runtime.native import threads
from graphc.runtime.native.threads import cgroup_quota, get_num_threads, set_num_threads

NO_LIMIT = 1 << 30


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_team_size", ctypes.c_int64(0))
    monkeypatch.delenv("GRAPHC_NUM_THREADS", raising=False)


def test_set_and_get() -> None:
    set_num_threads(3)
    assert get_num_threads() == 3
    set_num_threads(1)
    assert get_num_threads() == 1
    assert threads.team_size().value == 1


@pytest.mark.parametrize("count", [0, -1, 1.0, True, "2", None])
def test_a_count_that_is_none(count: object) -> None:
    with pytest.raises(ValueError, match=r"number of threads is .*; expected an int of at least 1"):
        set_num_threads(count)


def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_NUM_THREADS", " 7 ")
    assert get_num_threads() == 7


@pytest.mark.parametrize("text", ["0", "-2", "two", "1.5", "²"])
def test_a_bad_environment_is_explained(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("GRAPHC_NUM_THREADS", text)
    with pytest.raises(ValueError, match=r"GRAPHC_NUM_THREADS is .*; expected a whole number of at least 1"):
        get_num_threads()


def test_affinity_and_quota_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda process: {0, 1, 2, 3, 7})
    monkeypatch.setattr(threads, "cgroup_quota", lambda *paths: NO_LIMIT)
    assert threads._default_num_threads() == 5
    monkeypatch.setattr(threads, "cgroup_quota", lambda *paths: 2)
    assert threads._default_num_threads() == 2


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("limit", "cores"),
    [("max 100000", NO_LIMIT), ("200000 100000", 2), ("150000 100000", 2), ("1000 100000", 1), ("?", NO_LIMIT)],
)
def test_quota_of_version_2(tmp_path: Path, limit: str, cores: int) -> None:
    write(tmp_path / "cgroup", "0::/user/job\n")
    write(tmp_path / "fs/user/job/cpu.max", limit + "\n")
    assert cgroup_quota(tmp_path / "cgroup", tmp_path / "fs") == cores


def test_the_tightest_enclosing_group_holds(tmp_path: Path) -> None:
    write(tmp_path / "cgroup", "0::/user/job\n")
    write(tmp_path / "fs/user/job/cpu.max", "800000 100000\n")
    write(tmp_path / "fs/user/cpu.max", "300000 100000\n")
    assert cgroup_quota(tmp_path / "cgroup", tmp_path / "fs") == 3


@pytest.mark.parametrize(("limit", "cores"), [("-1", NO_LIMIT), ("250000", 3)])
def test_quota_of_version_1(tmp_path: Path, limit: str, cores: int) -> None:
    write(tmp_path / "cgroup", "5:memory:/job\n4:cpu,cpuacct:/job\n1:name=systemd:/x\n")
    write(tmp_path / "fs/cpu/job/cpu.cfs_quota_us", limit + "\n")
    write(tmp_path / "fs/cpu/job/cpu.cfs_period_us", "100000\n")
    assert cgroup_quota(tmp_path / "cgroup", tmp_path / "fs") == cores


def test_no_groups_at_all(tmp_path: Path) -> None:
    assert cgroup_quota(tmp_path / "missing", tmp_path) == NO_LIMIT
