"""Measured courses beside their exact twins, as tables hold them."""

import csv

import numpy as np


def rows(path):
    """Those of a table, as it writes them."""
    return list(csv.DictReader(path.open()))


def near_twins(measured, exact, near):
    """Asserts that each row of `exact` is one of `measured`, a row a seed there, and no cell or generation is missing.

    `near` says how far a metric's mean over seeds may be from the exact one, where that is a number: not every row has
    one, but some have.
    """
    columns = list(exact[0])
    cell = columns[: columns.index("generation") + 1]
    assert set(columns) <= set(measured[0]) and near.keys() <= set(columns)
    found = {}
    for row in measured:
        found.setdefault(tuple(row[column] for column in cell), []).append(row)
    assert [tuple(row[column] for column in cell) for row in exact] == list(found)
    assert all(any(row[metric] != "nan" for row in exact) for metric in near)
    for row, same in zip(exact, found.values(), strict=True):
        for metric, most in near.items():
            if row[metric] == "nan":
                continue
            away = np.mean([float(one[metric]) for one in same]) - float(row[metric])
            assert abs(away) <= most, f"{metric} is {away} from its twin at {row}"
