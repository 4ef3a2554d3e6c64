from __future__ import annotations

import json
from collections.abc import Callable

from tests.cli.conftest import Outcome


def test_all_kernels(graphc: Callable[..., Outcome]) -> None:
    code, out, _ = graphc("source", "model.py:step")
    assert code == 0
    assert out.startswith("# 0: ")
    compile(out, "kernels", "exec")


def test_one_kernel_by_its_name_or_number(graphc: Callable[..., Outcome]) -> None:
    kernels = json.loads(graphc("source", "model.py:step", "--json").out)
    title = next(iter(kernels))
    number, name = title.split(": ")
    assert json.loads(graphc("source", "model.py:step", "--kernel", number, "--json").out) == {title: kernels[title]}
    assert title in json.loads(graphc("source", "model.py:step", "--kernel", name, "--json").out)
    assert graphc("source", "model.py:step", "--kernel", title).out == f"# {title}\n{kernels[title].strip()}\n"
