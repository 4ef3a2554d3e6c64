from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr

RNG = np.random.default_rng(0)
each = pytest.mark.parametrize

BATCH = [
    ("BatchNorm1d", (5, 3)),
    ("BatchNorm1d", (5, 3, 4)),
    ("BatchNorm2d", (4, 3, 2, 5)),
    ("BatchNorm3d", (3, 3, 2, 1, 4)),
]
INSTANCE = [("InstanceNorm1d", (4, 3, 6)), ("InstanceNorm2d", (4, 3, 6, 2))]


def pair(name: str, *args: Any, **options: Any) -> tuple[Any, Any]:
    """A layer here and one of PyTorch, in float64, with the same random state."""
    ours = getattr(gr.nn, name)(*args, dtype="float64", **options)
    theirs = getattr(torch.nn, name)(*args, dtype=torch.float64, **options)
    with torch.no_grad():
        for key, tensor in theirs.state_dict().items():
            if key != "num_batches_tracked":
                tensor.copy_(torch.tensor(RNG.uniform(0.5, 2, tuple(tensor.shape))))
    assert ours.load_state_dict(theirs.state_dict()) == ((), ())
    return ours, theirs


def same_state(ours: Any, theirs: Any, without: Sequence[str] = ()) -> None:
    """Equal names in one order, shapes, dtypes and numbers."""
    mine, wanted = ours.state_dict(), {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}
    assert list(mine) == list(wanted)
    for name, array in mine.items():
        assert (array.dtype, array.shape) == (wanted[name].dtype, wanted[name].shape)
        if name not in without:
            np.testing.assert_allclose(array, wanted[name], 1e-12, 1e-14, err_msg=name)


def check_layer(ours: Any, theirs: Any, shape: tuple[int, ...]) -> None:
    """Compare result and all gradients with PyTorch's."""
    array, cotangent = RNG.normal(size=(2, *shape)) + 1.0
    x = gr.constant(array)
    result = ours(x)
    by = [x, *ours.parameters()]
    found = gr.evaluate([result, *gr.vjp(result, by, gr.constant(cotangent))])
    tensor = torch.tensor(array, requires_grad=True)
    made = theirs(tensor)
    wanted = [made, *torch.autograd.grad(made, [tensor, *theirs.parameters()], torch.tensor(cotangent))]
    assert len(found) == len(wanted)
    for mine, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine, other.detach().numpy(), 1e-9, 1e-11)


# --- batch and instance normalization -------------------------------------------------------------


@each("options", [{}, {"affine": True, "track_running_stats": True}, {"affine": False, "track_running_stats": False}])
@each(("name", "shape"), BATCH + INSTANCE)
def test_training_and_evaluation_equal_pytorch(name: str, shape: tuple[int, ...], options: dict[str, bool]) -> None:
    ours, theirs = pair(name, 3, eps=1e-3, **options)
    check_layer(ours, theirs, shape)
    ours, theirs = pair(name, 3, eps=1e-3, **options)
    check_layer(ours.eval(), theirs.eval(), shape)
    same_state(ours, theirs)


@each("momentum", [0.1, 1.0, None])
@each(("name", "shape"), BATCH)
def test_running_statistics_over_several_steps(name: str, shape: tuple[int, ...], momentum: float | None) -> None:
    ours, theirs = pair(name, 3, momentum=momentum)
    x = gr.placeholder(("batch", *shape[1:]), "float64")
    step = gr.compile([x], ours(x))
    evaluation = gr.compile([x], ours.eval()(x))
    for batch in (5, 2, 7):
        array = RNG.normal(size=(batch, *shape[1:])) * 3 + 2
        np.testing.assert_allclose(step(array), theirs.train()(torch.tensor(array)).detach().numpy(), 1e-10, 1e-12)
        same_state(ours, theirs)
        found = evaluation(array)
        np.testing.assert_allclose(found, theirs.eval()(torch.tensor(array)).detach().numpy(), 1e-10, 1e-12)
        same_state(ours, theirs)


@each(("name", "shape"), INSTANCE)
def test_running_statistics_of_instances(name: str, shape: tuple[int, ...]) -> None:
    ours, theirs = pair(name, 3, track_running_stats=True)
    x = gr.placeholder(("batch", *shape[1:]), "float64")
    step = gr.compile([x], ours(x))
    for count in (1, 2):
        array = RNG.normal(size=shape)
        np.testing.assert_allclose(step(array), theirs(torch.tensor(array)).numpy(), 1e-10, 1e-12)
        same_state(ours, theirs, without=["num_batches_tracked"])
        assert ours.num_batches_tracked.value == count


@each(("name", "shape"), INSTANCE)
def test_instances_without_a_batch(name: str, shape: tuple[int, ...]) -> None:
    for options in ({}, {"affine": True, "track_running_stats": True}):
        check_layer(*pair(name, 3, **options), shape[1:])
        ours, theirs = pair(name, 3, **options)
        check_layer(ours.eval(), theirs.eval(), shape[1:])


def test_training_updates_once_a_step_and_evaluation_not_at_all() -> None:
    model = gr.nn.Sequential(gr.nn.Linear(4, 8), gr.nn.BatchNorm1d(8), gr.nn.ReLU(), gr.nn.Linear(8, 1))
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    theirs.load_state_dict({name: torch.tensor(array) for name, array in model.state_dict().items()})
    x, t = gr.placeholder(("batch", 4), name="x"), gr.placeholder(("batch", 1), name="t")
    loss = gr.mean((model(x) - t) ** 2)
    step = gr.compile([x, t], loss, updates=gr.optim.SGD(0.1).updates(loss, model.parameters()))
    predict = gr.compile([x], model.eval()(x))
    optimizer = torch.optim.SGD(theirs.parameters(), 0.1)
    for count in range(1, 6):
        inputs, targets = RNG.normal(size=(16, 4)).astype("float32"), RNG.normal(size=(16, 1)).astype("float32")
        value = step(inputs, targets)
        optimizer.zero_grad()
        reference = torch.nn.functional.mse_loss(theirs.train()(torch.tensor(inputs)), torch.tensor(targets))
        reference.backward()
        optimizer.step()
        np.testing.assert_allclose(value, reference.item(), 1e-4)
        before = model.state_dict()
        found = predict(inputs)
        np.testing.assert_allclose(found, theirs.eval()(torch.tensor(inputs)).detach().numpy(), 1e-3, 1e-5)
        for name, array in model.state_dict().items():
            np.testing.assert_array_equal(array, before[name])
            np.testing.assert_allclose(array, theirs.state_dict()[name].numpy(), 1e-3, 1e-5)
        assert before["1.num_batches_tracked"] == count


def test_running_statistics_are_not_trained() -> None:
    layer = gr.nn.BatchNorm1d(3)
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert layer.running_mean is not None
    assert not layer.running_mean.trainable


@each("momentum", [0.3, None])
def test_a_layer_called_twice_updates_twice(momentum: float | None) -> None:
    ours, theirs = pair("BatchNorm1d", 3, momentum=momentum)
    x, y = gr.placeholder((5, 3), "float64"), gr.placeholder((4, 3), "float64")
    first, second = ours(x), ours(y)
    arrays = RNG.normal(size=(5, 3)), RNG.normal(size=(4, 3)) + 4
    gr.compile([x, y], [second, first])(*arrays)
    for array in arrays:
        theirs(torch.tensor(array))
    same_state(ours, theirs)
    gr.compile([x], ours(ours(x)))(arrays[0])
    theirs(theirs(torch.tensor(arrays[0])))
    same_state(ours, theirs)


def test_a_named_update_freezes_the_statistics() -> None:
    layer = gr.nn.BatchNorm1d(3)
    x = gr.placeholder((5, 3))
    frozen = [layer.running_mean, layer.running_var, layer.num_batches_tracked]
    before = layer.state_dict()
    gr.compile([x], layer(x), {variable: variable for variable in frozen if variable is not None})(np.ones((5, 3)))
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_one_item_for_each_channel() -> None:
    layer = gr.nn.BatchNorm1d(3)
    with pytest.raises(gr.ShapeError, match="one item"):
        layer(gr.placeholder((1, 3)))
    with pytest.raises(gr.ShapeError, match="one item"):
        gr.nn.InstanceNorm2d(3)(gr.placeholder((4, 3, 1, 1)))
    assert layer.bias is not None
    layer.bias.value = [1.0, 2.0, 3.0]
    x = gr.placeholder(("batch", 3))
    step, before = gr.compile([x], layer(x)), layer.state_dict()
    assert step([[5.0, 6.0, 7.0]]).tolist() == [[1.0, 2.0, 3.0]]
    assert step(np.zeros((0, 3))).shape == (0, 3)
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    step([[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]])
    assert layer.state_dict()["num_batches_tracked"] == 1
    np.testing.assert_allclose(layer.state_dict()["running_mean"], 0.1, 1e-6)
    assert layer.eval()(gr.placeholder((1, 3))).shape == (1, 3)


def test_no_instances() -> None:
    layer = gr.nn.InstanceNorm1d(3, track_running_stats=True)
    x = gr.placeholder(("batch", 3, 4))
    before = layer.state_dict()
    assert gr.compile([x], layer(x))(np.zeros((0, 3, 4))).shape == (0, 3, 4)
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_double_input_to_a_layer_of_floats() -> None:
    layer = gr.nn.BatchNorm1d(3)
    x = gr.placeholder((4, 3), "float64")
    assert gr.compile([x], layer(x))(np.ones((4, 3))).dtype == np.float64
    np.testing.assert_allclose(layer.state_dict()["running_mean"], 0.1, 1e-6)


@each("shape", [(2, 3), (2, 3, 4, 5), ("batch", 4, 6)])
def test_channel_layers_name_themselves_where_the_input_does_not_fit(shape: tuple[Any, ...]) -> None:
    layer = gr.nn.InstanceNorm1d(5, affine=True) if len(shape) == 2 else gr.nn.BatchNorm1d(5)
    with pytest.raises(
        gr.ShapeError, match=r"Norm1d\(5, eps=1e-05, momentum=0.1, affine=True.*was called with"
    ) as caught:
        layer(gr.placeholder(shape))
    assert caught.value.location is not None
    assert caught.value.location.filename == __file__


# --- layers without state -------------------------------------------------------------------------


@each(
    ("name", "args", "shape"),
    [
        ("LayerNorm", (6,), (4, 6)),
        ("LayerNorm", (6,), (6,)),
        ("LayerNorm", ((3, 2),), (4, 5, 3, 2)),
        ("LayerNorm", (6, 1e-2, False), (4, 6)),
        ("LayerNorm", (6, 1e-2, True, False), (4, 6)),
        ("RMSNorm", (6,), (4, 6)),
        ("RMSNorm", ((3, 2), 1e-3), (4, 3, 2)),
        ("RMSNorm", (6, None, False), (4, 6)),
        ("GroupNorm", (2, 6), (4, 6)),
        ("GroupNorm", (3, 6, 1e-3), (4, 6, 2, 5)),
        ("GroupNorm", (6, 6, 1e-5, False), (4, 6, 5)),
    ],
)
def test_layers_equal_pytorch(name: str, args: tuple[Any, ...], shape: tuple[int, ...]) -> None:
    ours, theirs = pair(name, *args)
    same_state(ours, theirs)
    check_layer(ours, theirs, shape)


def test_layers_start_as_the_identity_of_normalized_inputs() -> None:
    for layer in (gr.nn.LayerNorm((2, 3)), gr.nn.RMSNorm(4), gr.nn.GroupNorm(2, 4), gr.nn.BatchNorm2d(4)):
        assert str(layer.weight.dtype) == "float32"
        assert (layer.weight.value == 1).all()
        assert not any(variable.value.any() for name, variable in layer.named_parameters() if name == "bias")


def test_the_last_axes_must_be_those_of_the_layer() -> None:
    with pytest.raises(gr.ShapeError, match=r"LayerNorm\(\(3, 2\).*was called with float32\[5, 3\].*\n.*sizes 3, 2"):
        gr.nn.LayerNorm((3, 2))(gr.placeholder((5, 3)))
    with pytest.raises(gr.ShapeError, match=r"RMSNorm\(\(3, 2\).*was called with float32\[2\]"):
        gr.nn.RMSNorm((3, 2))(gr.placeholder((2,)))
    assert gr.nn.LayerNorm(3)(gr.placeholder(("batch", "n", None))).ndim == 3
    with pytest.raises(gr.ShapeError, match=r"normalized_shape=\(\)"):
        gr.nn.LayerNorm(())


def test_groups_must_divide_the_channels_of_the_layer() -> None:
    with pytest.raises(gr.ShapeError, match="6 channels in 4 groups"):
        gr.nn.GroupNorm(4, 6)
    with pytest.raises(gr.ShapeError, match=r"GroupNorm\(2, 6.*was called with float32\[3, 4\]"):
        gr.nn.GroupNorm(2, 6)(gr.placeholder((3, 4)))


def test_settings_are_shown() -> None:
    assert repr(gr.nn.BatchNorm2d(4, momentum=None, affine=False)) == (
        "BatchNorm2d(4, eps=1e-05, momentum=None, affine=False, track_running_stats=True)"
    )
    assert repr(gr.nn.LayerNorm(4, bias=False)) == "LayerNorm((4,), eps=1e-05, elementwise_affine=True, bias=False)"
    assert repr(gr.nn.RMSNorm(4)) == "RMSNorm((4,), eps=None, elementwise_affine=True)"
    assert repr(gr.nn.GroupNorm(2, 4)) == "GroupNorm(2, 4, eps=1e-05, affine=True)"
