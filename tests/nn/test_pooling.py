from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr

RNG = np.random.default_rng(0)
ARRAYS = {1: RNG.normal(size=(2, 3, 11)), 2: RNG.normal(size=(2, 3, 9, 8)), 3: RNG.normal(size=(2, 3, 5, 6, 7))}

LAYERS: list[tuple[str, dict[str, Any], int]] = [
    *(
        (f"MaxPool{rank}d", options, rank)
        for rank in (1, 2, 3)
        for options in (
            {"kernel_size": 2},
            {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2, "ceil_mode": True},
        )
    ),
    *(
        (f"AvgPool{rank}d", options, rank)
        for rank in (1, 2, 3)
        for options in (
            {"kernel_size": 2},
            {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False},
        )
    ),
    ("AvgPool2d", {"kernel_size": 2, "divisor_override": 3}, 2),
    ("AvgPool3d", {"kernel_size": 2, "divisor_override": 3}, 3),
    *((f"Adaptive{kind}Pool{rank}d", {"output_size": 3}, rank) for kind in ("Avg", "Max") for rank in (1, 2)),
    ("AdaptiveAvgPool2d", {"output_size": (None, 1)}, 2),
    ("Upsample", {"scale_factor": 2}, 1),
    ("Upsample", {"size": (5, 12)}, 2),
    ("Upsample", {"scale_factor": 1.5, "mode": "bilinear"}, 2),
    ("Upsample", {"size": 4, "mode": "trilinear", "align_corners": True}, 3),
]


@pytest.mark.parametrize(("name", "options", "rank"), LAYERS)
def test_layers_equal_pytorch(name: str, options: dict[str, Any], rank: int) -> None:
    x = ARRAYS[rank]
    layer = getattr(gr.nn, name)(**options)
    wanted = getattr(torch.nn, name)(**options)(torch.tensor(x)).numpy()
    np.testing.assert_allclose(gr.evaluate(layer(x)), wanted, 1e-12, 1e-12)
    assert not layer.parameters()


def test_a_layer_shows_its_arguments() -> None:
    assert "kernel_size=2, stride=None, padding=0" in repr(gr.nn.MaxPool2d(2))
    assert repr(gr.nn.AdaptiveAvgPool2d(1)) == "AdaptiveAvgPool2d(output_size=1)"
    assert "mode='bilinear'" in repr(gr.nn.Sequential(gr.nn.Upsample(scale_factor=2, mode="bilinear")))


def test_a_model_of_open_batch_size_trains() -> None:
    """Pooling between layers, in one compiled step."""
    model = gr.nn.Sequential(
        gr.nn.MaxPool2d(2), gr.nn.AvgPool2d(3, 1, 1), gr.nn.AdaptiveAvgPool2d(2), gr.nn.Flatten(), gr.nn.Linear(4, 1)
    )
    x, t = gr.placeholder(("batch", 1, 12, 12)), gr.placeholder(("batch", 1))
    loss = gr.mean((model(x) - t) ** 2)
    step = gr.compile([x, t], loss, updates=gr.optim.SGD(0.1).updates(loss, model.parameters()))
    images = RNG.normal(size=(20, 1, 12, 12)).astype(np.float32)
    targets = images.mean((2, 3))
    losses = [float(step(images[:count], targets[:count])) for count in (20, 7) * 30]
    assert losses[-2] < 0.5 * losses[0]
