"""How many threads compiled functions use."""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["get_num_threads", "set_num_threads"]

observers: list[Callable[[int], None]] = []
"""Called with the new number of threads when it changes."""

_team_size = ctypes.c_int64(0)  # 0 until it is asked for; the native loop reads it in every run


def set_num_threads(count: int) -> None:
    """Let compiled functions use `count` threads, at least 1. Results do not depend on it; speed does."""
    if type(count) is not int or count < 1:
        raise ValueError(f"the number of threads is {count!r}; expected an int of at least 1")
    _team_size.value = count
    for each in observers:
        each(count)


def get_num_threads() -> int:
    """The number of threads that compiled functions use.

    By default ``$GRAPHC_NUM_THREADS``, else the cores that this process may use: its affinity, and the quota of its
    control groups. Raises ValueError if the environment variable is not a whole number of at least 1.
    """
    return team_size().value


def team_size() -> ctypes.c_int64:
    """The number of threads as a word in memory, which the native loop reads."""
    if _team_size.value == 0:
        _team_size.value = _default_num_threads()
    return _team_size


def _default_num_threads() -> int:
    text = os.environ.get("GRAPHC_NUM_THREADS", "").strip()
    if text:
        if not text.isdecimal() or int(text) < 1:
            raise ValueError(f"GRAPHC_NUM_THREADS is {text!r}; expected a whole number of at least 1")
        return int(text)
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(available, cgroup_quota(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))))


def cgroup_quota(membership: Path, root: Path) -> int:
    """Cores that the control groups of this process grant it, rounded up; a large number without a limit.

    `membership` is the kernel's list of the process's groups, `root` the folder where groups are mounted (version 1 or
    2). The limits of all enclosing groups hold.
    """
    quota = math.inf
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "cpu" if controllers else root
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            quota = min(quota, _group_quota(folder))
            if folder == mount:
                break
    return math.ceil(quota) if math.isfinite(quota) else 1 << 30


def _group_quota(folder: Path) -> float:
    try:
        if (folder / "cpu.max").exists():
            limit, period = (folder / "cpu.max").read_text().split()
        else:
            limit = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        return math.inf if limit in ("max", "-1") else int(limit) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
