from __future__ import annotations

import math

from tests.examples.running import number_after, run


def test_char_lstm_learns_and_writes() -> None:
    output = run("char_lstm.py", "--steps", "40", "--length", "80", "--temperature", "0.5")
    assert number_after("loss", output.splitlines()[1]) < math.log(65)  # that of guessing
    assert number_after("test loss", output) < 3.0  # that of knowing how frequent each character is: 3.23
    assert len(output[output.index(" s\n") + 3 : output.index(" s in all")]) > 80
