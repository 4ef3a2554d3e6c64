from __future__ import annotations

import hashlib
from importlib import resources

import numpy as np

import graphc as gr

DATA = resources.files("graphc.datasets")


def test_shapes_and_dtypes() -> None:
    houses = gr.datasets.load_house_prices()
    assert houses.features.shape == (506, 13) and houses.features.dtype == np.float64
    assert houses.prices.shape == (506,) and houses.prices.dtype == np.float64
    assert len(houses.feature_names) == 13


def test_columns_are_where_their_names_say() -> None:
    houses = gr.datasets.load_house_prices()
    columns = dict(zip(houses.feature_names, houses.features.T, strict=True))
    assert set(columns["CHAS"]) == {0.0, 1.0}
    assert columns["RM"].min() > 3.5 and columns["RM"].max() < 9.0
    assert columns["LSTAT"].min() == 1.73 and columns["LSTAT"].max() == 37.97
    assert houses.prices.min() == 5.0 and houses.prices.max() == 50.0
    assert np.corrcoef(columns["RM"], houses.prices)[0, 1] > 0.6
    assert np.corrcoef(columns["LSTAT"], houses.prices)[0, 1] < -0.7


def test_the_bytes_are_those_of_the_provenance_note() -> None:
    content = hashlib.sha256(DATA.joinpath("house_prices.csv").read_bytes()).hexdigest()
    assert content in DATA.joinpath("PROVENANCE.md").read_text(encoding="utf-8")


def test_the_provenance_note_explains_every_column() -> None:
    note = DATA.joinpath("PROVENANCE.md").read_text(encoding="utf-8")
    for name in (*gr.datasets.load_house_prices().feature_names, "MEDV"):
        assert f"\n| {name} | " in note


def test_the_caller_owns_the_arrays() -> None:
    first = gr.datasets.load_house_prices()
    first.features[:] = 0.0
    first.prices[:] = 0.0
    again = gr.datasets.load_house_prices()
    assert again.features.max() == 711.0 and again.prices.max() == 50.0
