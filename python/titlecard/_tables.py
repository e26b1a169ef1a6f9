"""Small tables and reports, as data frames where pandas is installed."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Dict, List

if TYPE_CHECKING:
    import pandas as pd

    from ._native import RuleList


def need(module: str, extra: str) -> Any:
    """Imports an optional package, or says how to install it."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.split(".")[0]
        raise ImportError(f"this needs {name}; install it with `pip install titlecard[{extra}]`") from error


class Rows(List[Dict[str, Any]]):
    """Rows of an answer, one dictionary each."""

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a data frame."""
        return need("pandas", "pandas").DataFrame(list(self))

    def _repr_html_(self) -> str:
        if not self:
            return "<i>no row</i>"
        columns = list(self[0])
        head = "".join(f"<th>{escape(column)}</th>" for column in columns)
        cells = ("".join(f"<td>{escape(_shown(row.get(column)))}</td>" for column in columns) for row in self)
        return f"<table><tr>{head}</tr>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>"


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class Report(Dict[str, Any]):
    """What a step came to: a dictionary, printed as the program prints it."""

    def __init__(self, text: str, data: dict[str, Any]) -> None:
        super().__init__(data)
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text


def rules_frame(rules: RuleList) -> pd.DataFrame:
    """A row a rule that adds to a score, heaviest first; the first row is what every row of data starts with."""
    outputs = list(rules.outputs)
    bias = {"rule": "(every row)", "logic": "", "n_terms": 0, "support": 1.0}
    rows = [{**bias, **dict(zip(outputs, rules.bias.tolist()))}]
    scored = [row for row in rules.rows() if row[3]]
    scored.sort(key=lambda row: -max(abs(weight) for weight in row[3]))
    for text, logic, n_terms, weights, support in scored:
        row = {"rule": text, "logic": logic, "n_terms": n_terms, "support": support}
        rows.append({**row, **dict(zip(outputs, weights))})
    rows += [
        {"rule": f"{name} (times its value)", "logic": "", "n_terms": 1, "support": 1.0, outputs[0]: weight}
        for name, weight in rules.linear
    ]
    return need("pandas", "pandas").DataFrame(rows)


def rules_html(rules: RuleList) -> str:
    """The rules as a table, heaviest first; rules that never held in training are left out."""
    outputs = list(rules.outputs)
    rows = Rows([{"rule": "(every row)", "support": None, **dict(zip(outputs, rules.bias.tolist()))}])
    scored = [row for row in rules.rows() if row[3] and row[4] != 0]
    scored.sort(key=lambda row: -max(abs(weight) for weight in row[3]))
    for text, _, _, weights, support in scored:
        rows.append({"rule": text, "support": support, **dict(zip(outputs, weights))})
    return rows._repr_html_()
