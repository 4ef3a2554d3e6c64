"""Every program under examples/seeds runs by itself."""

from __future__ import annotations

import pytest

from tests.examples.running import ROOT, run

# What a program takes to be short: epochs, images.
SHORT = {
    "arithmetic_between_layers.py": ("1", "256"),
    "house_prices.py": ("1",),
    "rnn_cell.py": ("5",),
    "simple_conv_net.py": ("1", "256"),
}
PROGRAMS = sorted(path.name for path in (ROOT / "examples" / "seeds").glob("*.py"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_runs(program: str) -> None:
    assert run(f"seeds/{program}", *SHORT.get(program, ())).strip()


def test_short_settings_are_of_programs() -> None:
    assert set(SHORT) <= set(PROGRAMS)
