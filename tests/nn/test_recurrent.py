from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr
from tests.support import calls_made

Array = np.ndarray

KINDS = ["RNN", "LSTM", "GRU"]


def flat(made: Any) -> list[Any]:
    """The arrays, values or tensors in nested tuples."""
    return [item for part in made for item in flat(part)] if isinstance(made, tuple) else [made]


def modules(name: str, *sizes: int, dtype: str = "float64", **options: Any) -> tuple[gr.nn.Module, torch.nn.Module]:
    """Our module and PyTorch's with the same weights."""
    torch.manual_seed(5)
    theirs = getattr(torch.nn, name)(*sizes, dtype=getattr(torch, dtype), **options)
    ours = getattr(gr.nn, name)(*sizes, dtype=dtype, **options)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def states(name: str, *shape: int) -> tuple[Array, ...]:
    return tuple(numbers(*shape, seed=7 + part) for part in range(2 if name.startswith("LSTM") else 1))


def as_argument(parts: Sequence[Any]) -> Any:
    return None if not parts else parts[0] if len(parts) == 1 else tuple(parts)


def forward_and_backward(
    module: gr.nn.Module,
    x: Array,
    state: Sequence[Array],
    axes: tuple[Any, ...] | None = None,
    compiled: bool = False,
    **options: Any,
) -> list[Array]:
    """Results, and the gradients of their sum with random weights by input, state and parameters.

    ``axes``, symbols for instance, stand for the sizes of the input but for the last one, and for equal ones of states.
    """
    weight = module.parameters()[0]
    sizes = x.shape[:-1] if axes is None else axes
    first = gr.placeholder((*sizes, x.shape[-1]), weight.dtype)
    known = dict(zip(x.shape[:-1], sizes, strict=True)) if axes else {}
    begin = [gr.placeholder([known.get(n, n) for n in part.shape], weight.dtype) for part in state]
    outputs = flat(module(first, as_argument(begin), **options))
    cotangents = [gr.placeholder(output.shape, output.dtype) for output in outputs]
    loss = sum(gr.sum(output * cotangent) for output, cotangent in zip(outputs, cotangents, strict=True))
    wanted = [*outputs, *gr.grad(loss, [first, *begin, *module.parameters()])]
    arrays = [np.asarray(array, weight.dtype.numpy) for array in (x, *state)]
    shapes = [array.shape for array in gr.evaluate(outputs, dict(zip([first, *begin], arrays, strict=True)))]
    arrays += [numbers(*shape, seed=20 + k).astype(weight.dtype.numpy) for k, shape in enumerate(shapes)]
    inputs = [first, *begin, *cotangents]
    found: list[Array] = (
        gr.compile(inputs, wanted)(*arrays) if compiled else gr.evaluate(wanted, dict(zip(inputs, arrays, strict=True)))
    )
    return found


def torch_forward_and_backward(
    module: torch.nn.Module, call: Callable[..., Any], x: Array, state: Sequence[Array]
) -> list[Array]:
    tensors = [torch.tensor(array, requires_grad=True) for array in (x, *state)]
    outputs = flat(call(tensors[0], as_argument(tensors[1:])))
    loss = sum((o * torch.tensor(numbers(*o.shape, seed=20 + k))).sum() for k, o in enumerate(outputs))
    gradients = torch.autograd.grad(loss, [*tensors, *module.parameters()])
    return [tensor.detach().numpy() for tensor in (*outputs, *gradients)]


def close(found: Sequence[Array], expected: Sequence[Array], tolerance: float = 1e-11) -> None:
    assert len(found) == len(expected)
    for place, (actual, wanted) in enumerate(zip(found, expected, strict=True)):
        assert actual.shape == wanted.shape, place
        np.testing.assert_allclose(actual, wanted, tolerance, tolerance, err_msg=f"result {place}")


# --- cells -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [(), (1,), (4,)], ids=["unbatched", "one", "four"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cells_equal_pytorch(name: str, bias: bool, batch: tuple[int, ...]) -> None:
    ours, theirs = modules(name, 3, 5, bias=bias)
    x = numbers(*batch, 3)
    for state in (states(name, *batch, 5), ()):
        close(forward_and_backward(ours, x, state), torch_forward_and_backward(theirs, theirs, x, state))


def test_nonlinearities() -> None:
    x, state = numbers(4, 3), states("RNN", 4, 5)
    ours, theirs = modules("RNNCell", 3, 5, nonlinearity="relu")
    close(forward_and_backward(ours, x, state), torch_forward_and_backward(theirs, theirs, x, state))
    ours = gr.nn.RNNCell(3, 5, nonlinearity="sigmoid", dtype="float64")
    weights = ours.state_dict()
    inner = x @ weights["weight_ih"].T + weights["bias_ih"] + state[0] @ weights["weight_hh"].T + weights["bias_hh"]
    np.testing.assert_allclose(gr.evaluate(ours(x, state[0])), 1 / (1 + np.exp(-inner)), rtol=1e-12)
    with pytest.raises(gr.GraphError, match="nonlinearity='selu'") as caught:
        gr.nn.RNNCell(3, 5, nonlinearity="selu")
    assert "'tanh' or 'relu' or 'sigmoid'" in str(caught.value)


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cells_compiled_for_any_batch(name: str) -> None:
    cell = getattr(gr.nn, name)(3, 4, rng=1)
    for batch in (1, 5, 0):
        x, state = numbers(batch, 3), states(name, batch, 4)
        close(
            forward_and_backward(cell, x, state, ("batch",), compiled=True),
            forward_and_backward(cell, x, state),
            tolerance=2e-6,
        )


def test_cells_take_more_axes_before_the_last() -> None:
    cell = gr.nn.LSTMCell(3, 4, dtype="float64")
    x, (h, c) = numbers(2, 5, 3), states("LSTM", 2, 5, 4)
    found = gr.evaluate(list(cell(x, (h, c))))
    rows = gr.evaluate(list(cell(x.reshape(10, 3), (h.reshape(10, 4), c.reshape(10, 4)))))
    close(found, [row.reshape(2, 5, 4) for row in rows], tolerance=1e-14)


# --- layers ----------------------------------------------------------------------------------------

OPTIONS: list[dict[str, Any]] = [
    {},
    {"bias": False},
    {"batch_first": True},
    {"bidirectional": True},
    {"num_layers": 3},
    {"num_layers": 2, "bidirectional": True, "batch_first": True},
    {"num_layers": 2, "bidirectional": True, "bias": False},
]


def start_of(name: str, options: dict[str, Any], *batch: int) -> tuple[Array, ...]:
    return states(name, options.get("num_layers", 1) * (1 + options.get("bidirectional", False)), *batch, 4)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: " ".join(options) or "plain")
@pytest.mark.parametrize("name", KINDS)
def test_layers_equal_pytorch(name: str, options: dict[str, Any]) -> None:
    ours, theirs = modules(name, 3, 4, **options)
    x = numbers(2, 6, 3) if options.get("batch_first") else numbers(6, 2, 3)
    for state in (start_of(name, options, 2), ()):
        close(forward_and_backward(ours, x, state), torch_forward_and_backward(theirs, theirs, x, state))


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "batch_first": True}], ids=["plain", "both ways"])
@pytest.mark.parametrize("name", KINDS)
def test_one_sequence_without_a_batch(name: str, options: dict[str, Any]) -> None:
    ours, theirs = modules(name, 3, 4, **options)
    x = numbers(6, 3)
    for state in (start_of(name, options), ()):
        close(forward_and_backward(ours, x, state), torch_forward_and_backward(theirs, theirs, x, state))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("shape", [(1, 2), (5, 1), (1, 1), (4, 0)], ids=str)
def test_short_and_small(name: str, shape: tuple[int, int]) -> None:
    ours, theirs = modules(name, 3, 4, bidirectional=True)
    x, state = numbers(*shape, 3), states(name, 2, shape[1], 4)
    close(forward_and_backward(ours, x, state), torch_forward_and_backward(theirs, theirs, x, state))


def test_relu_and_sigmoid_layers() -> None:
    ours, theirs = modules("RNN", 3, 4, nonlinearity="relu", num_layers=2)
    x, state = numbers(6, 2, 3), states("RNN", 2, 2, 4)
    close(forward_and_backward(ours, x, state), torch_forward_and_backward(theirs, theirs, x, state))
    layer = gr.nn.RNN(3, 4, nonlinearity="sigmoid", dtype="float64")
    cell = gr.nn.RNNCell(3, 4, nonlinearity="sigmoid", dtype="float64")
    cell.load_state_dict({name.removesuffix("_l0"): array for name, array in layer.state_dict().items()})
    h: Any = state[0][0]
    for step in range(6):
        h = cell(x[step], h)
    close(gr.evaluate([layer(x, state[0][:1])[1][0]]), gr.evaluate([h]), tolerance=1e-14)


@pytest.mark.parametrize("compiled", [False, True], ids=["interpreted", "compiled"])
@pytest.mark.parametrize("name", KINDS)
def test_no_time_steps_leave_the_state_as_it_is(name: str, compiled: bool) -> None:
    layer = getattr(gr.nn, name)(3, 4, num_layers=2, bidirectional=True, dtype="float64")
    state = states(name, 4, 2, 4)
    for axes in ((0, 2), ("time", "batch")):
        found = forward_and_backward(layer, numbers(0, 2, 3), state, axes, compiled)
        parts = len(state)
        assert found[0].shape == (0, 2, 8)
        close(found[1 : 1 + parts], state, tolerance=0)
        assert found[1 + parts].shape == (0, 2, 3)
        close(found[2 + parts : 2 + 2 * parts], [numbers(*state[0].shape, seed=21 + k) for k in range(parts)], 0)
        assert not any(gradient.any() for gradient in found[2 + 2 * parts :])


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: " ".join(options) or "plain")
@pytest.mark.parametrize("name", KINDS)
def test_compiled_for_any_batch_and_time(name: str, options: dict[str, Any]) -> None:
    layer = getattr(gr.nn, name)(3, 4, rng=2, **options)
    axes = ("batch", "time") if options.get("batch_first") else ("time", "batch")
    x, state = numbers(*((5, 6) if options.get("batch_first") else (6, 5)), 3), start_of(name, options, 5)
    expected = forward_and_backward(layer, x, state)
    close(forward_and_backward(layer, x, state, axes), expected, tolerance=1e-6)
    close(forward_and_backward(layer, x, state, axes, compiled=True), expected, tolerance=5e-6)
    close(forward_and_backward(layer, x, state, compiled=True), expected, tolerance=5e-6)


def test_one_compiled_function_serves_all_sizes() -> None:
    layer = gr.nn.LSTM(3, 4, batch_first=True, bidirectional=True, rng=3)
    x = gr.placeholder(("batch", "time", 3))
    output, (h, c) = layer(x)
    function = gr.compile([x], [output, h, c, gr.grad(gr.sum(output * output), layer.weight_hh_l0)])
    for batch, time in [(2, 5), (1, 1), (7, 3), (3, 0), (0, 4), (2, 40), (2, 5)]:
        array = numbers(batch, time, 3, seed=batch + time).astype(np.float32)
        values = gr.constant(array)
        output, (h, c) = layer(values)
        wanted = [output, h, c, gr.grad(gr.sum(output * output), layer.weight_hh_l0)]
        close(function(array), gr.evaluate(wanted), tolerance=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_second_derivatives_equal_pytorchs(name: str) -> None:
    ours, theirs = modules(name, 3, 4, num_layers=2, bidirectional=True)
    array, weights = numbers(5, 2, 3), numbers(5, 2, 3, seed=1)
    x = gr.placeholder((5, 2, 3), "float64")
    gradient = gr.grad(gr.sum(ours(x)[0] ** 2), x)
    second = gr.grad(gr.sum(gradient * weights), [x, *ours.parameters()])
    tensor = torch.tensor(array, requires_grad=True)
    (first,) = torch.autograd.grad((theirs(tensor)[0] ** 2).sum(), [tensor], create_graph=True)
    expected = torch.autograd.grad((first * torch.tensor(weights)).sum(), [tensor, *theirs.parameters()])
    close(gr.evaluate(second, {x: array}), [each.numpy() for each in expected])
    close(gr.compile([x], second)(array), [each.numpy() for each in expected])


@pytest.mark.parametrize("name", KINDS)
def test_a_scan_of_a_cell_is_the_layer(name: str) -> None:
    layer, cell = getattr(gr.nn, name)(3, 4, rng=5), getattr(gr.nn, f"{name}Cell")(3, 4)
    cell.load_state_dict({key.removesuffix("_l0"): array for key, array in layer.state_dict().items()})
    x = gr.placeholder(("time", "batch", 3))

    def step(state: Any, x: gr.Value) -> tuple[Any, gr.Value]:
        new = cell(x, state)
        return new, flat(new)[0]

    start = [gr.zeros((x.shape[1], 4)) for _ in states(name, 1)]
    outputs = [gr.scan(step, as_argument(start), x)[1], layer(x)[0]]
    parameters = [cell.parameters(), layer.parameters()]
    wanted = [gr.grad(gr.sum(o**2), by) for o, by in zip(outputs, parameters, strict=True)]
    array = numbers(6, 2, 3).astype(np.float32)
    found = gr.compile([x], [outputs[0], *wanted[0]])(array)
    close(found, gr.compile([x], [outputs[1], *wanted[1]])(array), tolerance=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_two_halves_of_a_sequence_are_the_whole(name: str) -> None:
    layer = getattr(gr.nn, name)(3, 4, num_layers=2, dtype="float64")
    x = numbers(7, 2, 3)
    output, final = layer(x)
    first, state = layer(x[:3])
    second, end = layer(x[3:], state)
    close(gr.evaluate([gr.concatenate([first, second]), *flat(end)]), gr.evaluate([output, *flat(final)]), 1e-13)


def test_the_state_of_an_array_without_names_meets_the_batch() -> None:
    layer = gr.nn.GRU(3, 4, dtype="float64")
    x, (h,) = numbers(5, 2, 3), states("GRU", 1, 2, 4)
    expected = gr.evaluate(layer(x, h)[0])
    for shapes in [((5, None, 3), (1, 2, 4)), ((None, 2, 3), (1, None, 4)), ((None, None, 3), (1, None, 4))]:
        a, b = (gr.placeholder(shape, "float64") for shape in shapes)
        np.testing.assert_allclose(gr.evaluate(layer(a, b)[0], {a: x, b: h}), expected, rtol=1e-12)
        np.testing.assert_allclose(gr.compile([a, b], layer(a, b)[0])(x, h), expected, rtol=1e-12)


def test_dtypes_meet() -> None:
    layer = gr.nn.LSTM(3, 4)
    output, (h, c) = layer(numbers(5, 2, 3))
    assert {str(value.dtype) for value in (output, h, c)} == {"float64"}
    x = numbers(5, 2, 3).astype(np.float32)
    assert str(layer(x)[0].dtype) == "float32"
    state = (np.zeros((1, 2, 4)), np.zeros((1, 2, 4), np.float32))
    output, (h, c) = layer(x, state)
    assert {str(value.dtype) for value in (output, h, c)} == {"float64"}
    assert gr.evaluate(output).dtype == np.float64


# --- sequences of different lengths ----------------------------------------------------------------


def packed(theirs: Any, lengths: Sequence[int], total: int) -> Callable[..., Any]:
    def call(x: torch.Tensor, state: Any) -> Any:
        sequence = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
        output, final = theirs(sequence, state)
        return torch.nn.utils.rnn.pad_packed_sequence(output, total_length=total)[0], final

    return call


@pytest.mark.parametrize("name", KINDS)
def test_lengths_equal_packed_sequences(name: str) -> None:
    lengths = [3, 6, 1, 5]
    ours, theirs = modules(name, 3, 4, num_layers=2, bidirectional=True)
    x, state = numbers(7, 4, 3), states(name, 4, 4, 4)
    expected = torch_forward_and_backward(theirs, packed(theirs, lengths, 7), x, state)
    for step, length in [(t, length) for t in range(7) for length in lengths if t >= length]:
        x[step, lengths.index(length)] = np.nan
    close(forward_and_backward(ours, x, state, lengths=np.array(lengths)), expected)
    close(forward_and_backward(ours, x, state, ("time", 4), lengths=np.array(lengths), compiled=True), expected)


def test_lengths_beyond_the_axis() -> None:
    layer = gr.nn.GRU(3, 4, bidirectional=True, batch_first=True, dtype="float64")
    x = numbers(3, 5, 3)
    output, final = gr.evaluate(list(layer(x, lengths=np.array([9, 0, -2]))))
    whole, end = gr.evaluate(list(layer(x)))
    close([output[0], final[:, 0]], [whole[0], end[:, 0]], tolerance=1e-14)
    assert not output[1:].any() and not final[:, 1:].any()


def test_the_length_of_one_sequence() -> None:
    layer = gr.nn.LSTM(3, 4, dtype="float64")
    x = numbers(5, 3)
    output, (h, c) = layer(x, lengths=3)
    wanted, (end, cell) = layer(x[:3])
    close(gr.evaluate([output[:3], h, c]), gr.evaluate([wanted, end, cell]), tolerance=1e-14)
    assert not gr.evaluate(output[3:]).any()


# --- dropout ---------------------------------------------------------------------------------------


def test_dropout_acts_between_layers_in_training() -> None:
    x = numbers(5, 2, 3)
    ours, theirs = modules("LSTM", 3, 4, num_layers=2, dropout=0.5)
    theirs.eval()
    expected = torch_forward_and_backward(theirs, theirs, x, ())
    close(forward_and_backward(ours.eval(), x, ()), expected)
    assert np.abs(gr.evaluate(ours.train()(x)[0]) - expected[0]).max() > 1e-3
    single, same = modules("LSTM", 3, 4)
    close(gr.evaluate([single(x)[0]]), [same(torch.tensor(x))[0].detach().numpy()])


def test_all_dropped_leaves_the_next_layer_without_input() -> None:
    layer = gr.nn.RNN(3, 4, num_layers=2, dropout=1.0, dtype="float64")
    output, final = gr.evaluate(list(layer(numbers(5, 2, 3))))
    above = gr.nn.RNN(4, 4, dtype="float64")
    above.load_state_dict({name: layer.state_dict()[name.replace("l0", "l1")] for name in above.state_dict()})
    expected, end = gr.evaluate(list(above(np.zeros((5, 2, 4)))))
    close([output, final[1:]], [expected, end], tolerance=1e-14)
    assert final[0].any()


def test_dropout_draws_from_its_generator() -> None:
    def draw(seed: int) -> Array:
        layer = gr.nn.GRU(3, 4, num_layers=2, dropout=0.5, rng=1, generator=gr.random.Generator(seed))
        array: Array = gr.evaluate(layer(numbers(5, 2, 3))[0])
        return array

    np.testing.assert_array_equal(draw(1), draw(1))
    assert not np.array_equal(draw(1), draw(2))


# --- parameters ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_names_and_shapes_are_pytorchs(name: str) -> None:
    for options in OPTIONS:
        ours, theirs = modules(name, 3, 4, **options)
        expected = {key: tuple(tensor.shape) for key, tensor in theirs.state_dict().items()}
        assert {key: array.shape for key, array in ours.state_dict().items()} == expected
        assert [key for key, _ in ours.named_parameters()] == list(expected)
        assert [parameter.name for parameter in ours.parameters()] == list(expected)
    cell, their_cell = modules(f"{name}Cell", 3, 4)
    assert list(cell.state_dict()) == list(their_cell.state_dict())
    assert getattr(gr.nn, name)(3, 4, bias=False).bias_ih_l0 is None


@pytest.mark.parametrize("name", [*KINDS, "RNNCell", "LSTMCell", "GRUCell"])
def test_weights_start_within_pytorchs_range(name: str) -> None:
    layer = getattr(gr.nn, name)(100, 64, rng=4)
    for parameter in layer.parameters():
        assert str(parameter.dtype) == "float32"
        array = parameter.value
        assert 0.11 < np.abs(array).max() <= 0.125
        assert array.std() == pytest.approx(0.125 / 3**0.5, rel=0.15)
    again = getattr(gr.nn, name)(100, 64, rng=4)
    for key, array in again.state_dict().items():
        np.testing.assert_array_equal(array, layer.state_dict()[key])


def test_a_weight_may_be_replaced() -> None:
    layer, other = gr.nn.GRU(3, 4, dtype="float64"), gr.nn.GRU(3, 4, dtype="float64")
    layer.weight_hh_l0 = other.weight_hh_l0
    assert layer.parameters()[1] is other.weight_hh_l0
    x = numbers(5, 2, 3)
    gradient = gr.grad(gr.sum(layer(x)[0]), other.weight_hh_l0)
    assert gr.evaluate(gradient).any()


def test_repr_and_summary() -> None:
    assert repr(gr.nn.LSTMCell(3, 4)) == "LSTMCell(3, 4)"
    assert (
        repr(gr.nn.RNNCell(3, 4, bias=False, nonlinearity="relu")) == "RNNCell(3, 4, bias=False, nonlinearity='relu')"
    )
    assert repr(gr.nn.RNN(3, 4, nonlinearity="sigmoid")) == "RNN(3, 4, nonlinearity='sigmoid')"
    layer = gr.nn.GRU(3, 4, num_layers=2, bias=False, batch_first=True, dropout=0.1, bidirectional=True)
    options = "num_layers=2, bias=False, batch_first=True, dropout=0.1, bidirectional=True"
    assert repr(layer) == f"GRU(3, 4, {options})"
    lines = gr.nn.LSTM(3, 4).summary(gr.placeholder(("time", "batch", 3))).splitlines()
    assert "float32[time, batch, 4], float32[1, batch, 4], float32[1, batch, 4]" in lines[2]
    assert lines[-1] == "144 parameters, 576 bytes"


def test_nodes_stand_in_the_scopes_of_layers_and_directions() -> None:
    output, final = gr.nn.GRU(3, 4, num_layers=2, bidirectional=True)(gr.placeholder((5, 2, 3)))
    scopes = {node.scope for node in gr.Graph.of((), [output, final]).nodes if node.inputs}
    assert scopes == {"gru", "gru/l0", "gru/l0_reverse", "gru/l1", "gru/l1_reverse"}


# --- errors ----------------------------------------------------------------------------------------


def test_inputs_that_do_not_fit() -> None:
    x = gr.placeholder(("batch", 5))
    with pytest.raises(gr.ShapeError, match=r"LSTMCell\(3, 4\) was called with float32\[batch, 5\]") as caught:
        gr.nn.LSTMCell(3, 4)(x)
    assert "input_size" in str(caught.value)
    assert caught.value.location.filename == __file__
    with pytest.raises(gr.ShapeError, match="last axis of size 3"):
        gr.nn.GRUCell(3, 4)(1.0)
    with pytest.raises(gr.ShapeError, match=r"GRU\(3, 4\) was called with float32\[batch, time, 5\]"):
        gr.nn.GRU(3, 4)(gr.placeholder(("batch", "time", 5)))
    with pytest.raises(gr.ShapeError, match=r"\(time, batch, input_size\), or \(time, input_size\)"):
        gr.nn.GRU(3, 4)(gr.placeholder(3))
    with pytest.raises(gr.ShapeError, match=r"\(batch, time, input_size\)"):
        gr.nn.GRU(3, 4, batch_first=True)(gr.placeholder((1, 2, 3, 3)))


def test_states_that_do_not_fit() -> None:
    x = gr.placeholder(("time", "batch", 3))
    with pytest.raises(gr.ShapeError, match=r"state of shape \(1, batch, 4\)") as caught:
        gr.nn.GRU(3, 4)(x, np.zeros((2, 5, 4), np.float32))
    assert "leave the state out" in str(caught.value)
    assert caught.value.location.filename == __file__
    with pytest.raises(gr.ShapeError, match=r"state of shape \(4, 2, 4\)"):
        gr.nn.GRU(3, 4, num_layers=2, bidirectional=True)(np.zeros((5, 2, 3)), np.zeros((2, 2, 4)))
    with pytest.raises(gr.ShapeError, match=r"state of shape \(1, 4\)"):
        gr.nn.GRU(3, 4)(np.zeros((5, 3)), np.zeros((1, 1, 4)))
    with pytest.raises(gr.ShapeError, match=r"state of shape \(2, 4\)"):
        gr.nn.RNNCell(3, 4)(np.zeros((2, 3)), np.zeros(4))
    for wrong in (np.zeros((1, 2, 4)), (np.zeros((1, 2, 4)),)):
        with pytest.raises(gr.ShapeError, match=r"a tuple \(h, c\)"):
            gr.nn.LSTM(3, 4)(np.zeros((5, 2, 3)), wrong)


def test_lengths_that_do_not_fit() -> None:
    layer, x = gr.nn.GRU(3, 4), np.zeros((5, 2, 3))
    with pytest.raises(gr.ShapeError, match=r"one length for each sequence: \(2,\)"):
        layer(x, lengths=np.array([1, 2, 3]))
    with pytest.raises(gr.ShapeError, match=r"lengths of shape \(\)"):
        layer(x, lengths=3)
    with pytest.raises(gr.DTypeError, match="lengths of dtype float64"):
        layer(x, lengths=np.array([1.0, 2.0]))


def test_sizes_that_no_layer_has() -> None:
    with pytest.raises(gr.GraphError, match="num_layers=0"):
        gr.nn.GRU(3, 4, num_layers=0)
    with pytest.raises(gr.ShapeError):
        gr.nn.LSTM(-3, 4)
    with pytest.raises(gr.GraphError, match=r"rate=1\.5"):
        gr.nn.LSTM(3, 4, num_layers=2, dropout=1.5)(np.zeros((5, 2, 3)))


# --- size ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}], ids=["one layer", "two both ways"])
@pytest.mark.parametrize("name", KINDS)
def test_compile_time_and_plan_do_not_grow_with_the_steps(name: str, options: dict[str, Any]) -> None:
    def measured(steps: int) -> tuple[int, int, int]:
        layer = getattr(gr.nn, name)(3, 4, rng=1, **options)
        x = gr.placeholder((steps, 2, 3))
        loss = gr.sum(layer(x)[0] ** 2)
        updates = gr.optim.SGD(0.1).updates(loss, layer.parameters())
        function = gr.compile([x], loss, updates)
        calls = calls_made(lambda: gr.compile([x], loss, updates).plan)
        return len(function.graph.nodes), len(function.plan.steps), calls

    measured(8)  # makes the kernels
    *sizes, calls = measured(8)
    assert measured(512) == (*sizes, pytest.approx(calls, rel=0.03))
