"""Rule learners after scikit-learn's contract: the fitted model is a list of weighted rules."""

from __future__ import annotations

import json
import numbers
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from . import _native
from ._native import RuleList
from ._progress import Progress, shown

try:
    from scipy import sparse
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state, column_or_1d
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        "the rule learners need scikit-learn 1.6 or newer; install it with `pip install titlecard[sklearn]`"
    ) from error

if TYPE_CHECKING:
    import pandas as pd

#: Version of the files :meth:`RRLClassifier.save` writes.
_VERSION = 1
_FORMAT = "titlecard estimator"
#: Passes over the rows a training makes at least, unless their number is given.
_LEAST_EPOCHS = 60
#: Reductions of the learning rate in a training.
_N_DECAYS = 5


@dataclass(frozen=True)
class Explanation:
    """Why a row has its prediction: each score is the bias plus the weights of the rules that hold."""

    #: What was predicted.
    prediction: Any
    #: Score by output: of classes before the softmax, or the value.
    scores: dict[str, float]
    #: What every row starts with.
    bias: dict[str, float]
    #: Rules that hold, heaviest first: position in ``rules_``, text, weight by output.
    rules: list[tuple[int, str, dict[str, float]]]

    def to_pandas(self) -> pd.DataFrame:
        """A row a term of the sum."""
        from ._tables import need

        rows = [{"rule": "(every row)", **self.bias}] + [{"rule": text, **weights} for _, text, weights in self.rules]
        return need("pandas", "pandas").DataFrame(rows)

    def __str__(self) -> str:
        outputs = list(self.scores)
        lines = [f"{self.prediction}: " + ", ".join(f"{name} {value:.4f}" for name, value in self.scores.items())]
        for text, weights in [("(every row)", self.bias)] + [(text, weights) for _, text, weights in self.rules]:
            lines.append("  " + "  ".join(f"{weights[name]:+.4f}" for name in outputs) + f"  {text}")
        return "\n".join(lines)


class _RuleEstimator(BaseEstimator):  # type: ignore[misc]
    """What classifier and regressor share: settings, tables, rules, files."""

    rules_: RuleList
    #: Steps a training makes at least, unless the number of epochs is given.
    _least_steps = 2000

    def _settings(self, n_rows: int) -> tuple[str, str]:
        """Settings of training and of cuts as the crate reads them."""
        n_steps = -(-n_rows // max(int(self.batch_size), 1))
        epochs = self.epochs
        if epochs is None:
            epochs = max(_LEAST_EPOCHS, -(-self._least_steps // n_steps))
        seed = _seed(self.random_state)
        nodes = [self.nodes] if isinstance(self.nodes, numbers.Integral) else list(self.nodes)
        activations = {
            "nlaf": {"nlaf": {"alpha": 0.9, "beta": 3.0, "gamma": 3.0}},
            "product": {"product": {"estimated": False}},
        }
        if self.activation not in activations:
            raise ValueError(f"`activation` is {self.activation!r}, expected 'nlaf' or 'product'")
        selection = None
        if self.validation_fraction is not None:
            selection = {"share": float(self.validation_fraction), "every": n_steps}
        config = {
            "nodes": [int(n) for n in nodes],
            "activation": activations[self.activation],
            "skip": bool(self.skip),
            "negate_first": bool(self.negate_first),
            "negate_deeper": bool(self.negate_deeper),
            "committee": int(self.committee),
            "penalty": {"squares": float(self.l2), "absolutes": float(self.l1), "all_parameters": False},
            "learning_rate": float(self.learning_rate),
            "decay": [0.75, max(1, int(epochs) // _N_DECAYS)],
            "epochs": int(epochs),
            "batch_size": int(self.batch_size),
            "selection": selection,
            "n_threads": _n_threads(self.n_jobs),
            "seed": seed,
            **self._own_settings(),
        }
        known_cuts = {"quantiles": "quantiles", "tail-quantiles": "tail_quantiles", "normal": "normal"}
        if self.cuts not in known_cuts:
            raise ValueError(f"`cuts` is {self.cuts!r}, expected one of {', '.join(map(repr, known_cuts))}")
        cuts = {
            "n_cuts": int(self.n_cuts),
            "cuts": known_cuts[self.cuts],
            "negate": bool(self.negate_categories),
            "missing": self.missing,
            "seed": seed,
        }
        for name, value in [("nodes", min(config["nodes"], default=0)), ("epochs", epochs), ("n_cuts", self.n_cuts)]:
            if value < 1:
                raise ValueError(f"`{name}` is {getattr(self, name)!r}, expected positive numbers")
        return json.dumps(config), json.dumps(cuts)

    def _own_settings(self) -> dict[str, Any]:
        return {}

    def _rows(self, X: Any, *, fitting: bool) -> tuple[dict[str, Any], int]:
        """Rows as the compiled half takes them, and their number."""
        if not fitting:
            check_is_fitted(self, "rules_")
        if _is_sparse_frame(X):
            validate_data(self, X, reset=fitting, skip_check_array=True)
            X = check_array(X.sparse.to_coo(), accept_sparse="csr", dtype=np.float64, ensure_all_finite="allow-nan")
        elif hasattr(X, "columns") and hasattr(X, "dtypes") and not sparse.issparse(X) and not _all_numbers(X):
            validate_data(self, X, reset=fitting, skip_check_array=True)
            _check_frame(X)
            cells = [(str(name), _cells(X.iloc[:, at])) for at, name in enumerate(X.columns)]
            if fitting:
                self._truths = False
            elif self._truths:
                raise ValueError(
                    "the model was fitted on a sparse table of 0 and 1, found categories; give the same columns"
                )
            return {"columns": cells}, len(X)
        else:
            X = validate_data(
                self, X, reset=fitting, accept_sparse="csr", dtype=np.float64, ensure_all_finite="allow-nan"
            )
        if fitting:
            # Zeros and ones are truth values as they are: thousands of columns of which few hold stay lists.
            self._truths = bool(sparse.issparse(X) and np.isin(X.data, (0.0, 1.0)).all())
        if self._truths:
            rows = _truth_lists(X)
            return {"lists": (rows.shape[1], rows.indptr.astype(np.int64), rows.indices.astype(np.int64))}, X.shape[0]
        if sparse.issparse(X):
            X = X.toarray()
        return {"columns": list(zip(self._names(), X.T))}, X.shape[0]

    def _names(self) -> list[str]:
        names = getattr(self, "feature_names_in_", None)
        return [f"x{at}" for at in range(self.n_features_in_)] if names is None else [str(name) for name in names]

    def _learn(self, rows: dict[str, Any], n_rows: int, objective: Any, outputs: list[str], **targets: Any) -> None:
        config, cuts = self._settings(n_rows)
        if "lists" in rows:
            rows = {**rows, "names": self._names()}
        with shown(self.progress) as callback:
            self.rules_, losses = _native.fit_rules(
                outputs, config, cuts, json.dumps(objective), **rows, **targets, progress=callback
            )
        #: Mean loss of every epoch.
        self.loss_curve_ = np.asarray(losses)
        self.n_iter_ = len(losses)

    def explain(self, X: Any) -> list[Explanation]:
        """For every row its prediction, its scores, and the rules that hold for it; the sum is exact."""
        rows, _ = self._rows(X, fitting=False)
        scores, fired = self.rules_.explain(**rows)
        outputs = list(self.rules_.outputs)
        bias = dict(zip(outputs, self.rules_.bias.tolist()))
        entries = self.rules_.rows()
        explained = []
        for prediction, values, held in zip(self._predicted(scores), scores.tolist(), fired):
            rules = [(at, entries[at][0], dict(zip(outputs, entries[at][3]))) for at in held]
            rules.sort(key=lambda rule: -max(abs(weight) for weight in rule[2].values()))
            explained.append(Explanation(prediction, dict(zip(outputs, values)), bias, rules))
        return explained

    def _predicted(self, scores: Any) -> Any:
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        # A missing number is a literal of its own.
        tags.input_tags.allow_nan = True
        return tags

    def save(self, path: Union[str, os.PathLike[str]]) -> None:
        """Writes the fitted model as JSON: readable, editable, and safe to load from anywhere (unlike a pickle)."""
        check_is_fitted(self, "rules_")
        params = {name: _plain(value) for name, value in self.get_params().items() if name != "progress"}
        if not isinstance(params["random_state"], (int, type(None))):
            params["random_state"] = None
        saved = {
            "format": _FORMAT,
            "version": _VERSION,
            "estimator": type(self).__name__,
            "params": params,
            "n_features": int(self.n_features_in_),
            "feature_names": [str(name) for name in self.feature_names_in_]
            if hasattr(self, "feature_names_in_")
            else None,
            "truths": self._truths,
            "loss_curve": self.loss_curve_.tolist(),
            **self._extra(),
            "rules": json.loads(self.rules_.to_json()),
        }
        _native.write_file(Path(path), (json.dumps(saved, indent=1) + "\n").encode())

    @classmethod
    def load(cls, path: Union[str, os.PathLike[str]]) -> Any:
        """Reads what :meth:`save` wrote; an edited rule list is checked."""
        text = Path(path).read_text(encoding="utf-8")
        try:
            saved = json.loads(text)
            if saved["format"] != _FORMAT:
                raise ValueError(f"its format is `{saved['format']}`, expected `{_FORMAT}`")
            if saved["version"] > _VERSION:
                raise ValueError(f"it has version {saved['version']}, this package reads up to {_VERSION}; update it")
            if saved["estimator"] != cls.__name__:
                raise ValueError(f"it is a {saved['estimator']}; load it with `{saved['estimator']}.load`")
            params = {name: tuple(value) if isinstance(value, list) else value for name, value in saved["params"].items()}
            model = cls(**params)
            model.rules_ = RuleList.from_json(json.dumps(saved["rules"]))
            model.n_features_in_ = saved["n_features"]
            if saved["feature_names"] is not None:
                model.feature_names_in_ = np.asarray(saved["feature_names"], dtype=object)
            model._truths = saved["truths"]
            model.loss_curve_ = np.asarray(saved["loss_curve"])
            model.n_iter_ = len(model.loss_curve_)
            model._restore(saved)
        except (ValueError, KeyError, TypeError) as error:
            what = f"`{error.args[0]}` is missing" if isinstance(error, KeyError) else error
            raise ValueError(f"`{os.fspath(path)}` is no saved {cls.__name__}: {what}") from error
        return model

    def _extra(self) -> dict[str, Any]:
        return {}

    def _restore(self, saved: dict[str, Any]) -> None:
        raise NotImplementedError


class RRLClassifier(ClassifierMixin, _RuleEstimator):  # type: ignore[misc]
    """Classifier whose model is a list of weighted rules (Rule-based Representation Learner).

    Columns of numbers are cut into literals (``size > 3``), columns of categories (of a data frame) are literals
    (``colour is red``); conjunctions and disjunctions of them are learned by gradients and are discrete whenever the
    model predicts, so ``rules_`` *is* the model. Missing numbers and categories are literals of their own. Sparse tables
    of 0 and 1 are used as they are; other sparse tables are made dense.

    Parameters
    ----------
    nodes : int or sequence of int, default=64
        Conjunctions, and as many disjunctions, of each layer.
    epochs : int or None, default=None
        Passes over the rows; by default at least 60, and enough for 2,000 steps.
    learning_rate : float, default=0.01
        Adam's rate at the start; it falls to a quarter.
    batch_size : int, default=64
        Rows a step.
    n_cuts : int, default=15
        Cuts of each column of numbers, at most.
    cuts : {'quantiles', 'tail-quantiles', 'normal'}, default='quantiles'
        Where cuts are put.
    missing : {'literal', 'mean'}, default='literal'
        What a missing number means.
    negate_categories : bool, default=False
        Whether each category also makes a literal for its absence.
    negate_first, negate_deeper : bool, default=False and True
        Whether the first layer sees the negation of literals, and deeper ones that of rules.
    skip : bool, default=False
        Whether deeper layers also see the layer before the previous one.
    activation : {'nlaf', 'product'}, default='nlaf'
        The soft function behind the logical nodes.
    l1, l2 : float, default=0 and 1e-6
        Penalties: of the absolute logical weights, of the squares of all weights.
    committee : int, default=1
        Networks from different seeds whose mean is the model: steadier, and longer.
    tune_bias : bool, default=False
        Shift the class scores after training so that macro F1 is highest: for rare classes.
    validation_fraction : float or None, default=None
        Share of the rows held out to choose the best epoch by.
    temperature : float, default=0.1
        First value of the trained temperature of the softmax.
    n_jobs : int or None, default=None
        Threads of the training (``-1``: one a core); the result does not depend on it.
    random_state : int, RandomState or None, default=None
        Seed; the same integer gives the same model, bit for bit.
    progress : bool, callable or None, default=False
        Progress bars: see ``titlecard.Workspace``.

    Attributes
    ----------
    rules_ : RuleList
        The model. ``str(rules_)``, ``rules_.to_json()``, ``.to_markdown()``, ``.to_pandas()``; an edited list can be put
        in its place.
    classes_ : ndarray
    loss_curve_ : ndarray
        Mean loss of every epoch.
    n_iter_, n_features_in_, feature_names_in_
        As everywhere in scikit-learn.

    References
    ----------
    Wang et al., NeurIPS 2021 (arXiv:2109.15103) and arXiv:2310.14336.
    """

    def __init__(
        self,
        *,
        nodes: Any = 64,
        epochs: int | None = None,
        learning_rate: float = 0.01,
        batch_size: int = 64,
        n_cuts: int = 15,
        cuts: str = "quantiles",
        missing: str = "literal",
        negate_categories: bool = False,
        negate_first: bool = False,
        negate_deeper: bool = True,
        skip: bool = False,
        activation: str = "nlaf",
        l1: float = 0.0,
        l2: float = 1e-6,
        committee: int = 1,
        tune_bias: bool = False,
        validation_fraction: float | None = None,
        temperature: float = 0.1,
        n_jobs: int | None = None,
        random_state: Any = None,
        progress: Progress = False,
    ) -> None:
        self.nodes = nodes
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_cuts = n_cuts
        self.cuts = cuts
        self.missing = missing
        self.negate_categories = negate_categories
        self.negate_first = negate_first
        self.negate_deeper = negate_deeper
        self.skip = skip
        self.activation = activation
        self.l1 = l1
        self.l2 = l2
        self.committee = committee
        self.tune_bias = tune_bias
        self.validation_fraction = validation_fraction
        self.temperature = temperature
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.progress = progress

    def _own_settings(self) -> dict[str, Any]:
        return {"temperature": float(self.temperature), "tune_bias": bool(self.tune_bias)}

    def fit(self, X: Any, y: Any) -> RRLClassifier:
        """Learns rules from rows ``X`` (array, data frame with categories, sparse matrix) and their classes ``y``."""
        rows, n_rows = self._rows(X, fitting=True)
        y = _checked_targets(self, y, n_rows)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"RRLClassifier needs rows of at least 2 classes, found 1 class: {self.classes_[0]!r}")
        outputs = [str(name) for name in self.classes_.tolist()]
        self._learn(rows, n_rows, "classify", outputs, labels=labels.astype(np.int64).ravel())
        return self

    def decision_function(self, X: Any) -> Any:
        """Scores ``[n_rows, n_classes]``; of two classes the second's minus the first's, ``[n_rows]``."""
        rows, _ = self._rows(X, fitting=False)
        scores = self.rules_.scores(**rows)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict_proba(self, X: Any) -> Any:
        """Probabilities ``[n_rows, n_classes]``: the softmax of the scores."""
        rows, _ = self._rows(X, fitting=False)
        scores = self.rules_.scores(**rows)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return scores / scores.sum(axis=1, keepdims=True)

    def predict_log_proba(self, X: Any) -> Any:
        """Logarithms of :meth:`predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> Any:
        """The class of the highest score of each row."""
        rows, _ = self._rows(X, fitting=False)
        return self._predicted(self.rules_.scores(**rows))

    def _predicted(self, scores: Any) -> Any:
        return self.classes_[np.argmax(scores, axis=1)]

    def _extra(self) -> dict[str, Any]:
        classes = self.classes_.tolist()
        if not all(isinstance(one, (str, int, float, bool)) for one in classes):
            raise ValueError("classes that are no texts or numbers cannot be written as JSON; use pickle")
        return {"classes": classes, "classes_type": self.classes_.dtype.str}

    def _restore(self, saved: dict[str, Any]) -> None:
        kind = saved["classes_type"]
        self.classes_ = np.asarray(saved["classes"], dtype=object if kind.startswith("|O") else np.dtype(kind))
        if len(self.classes_) != len(self.rules_.outputs):
            raise ValueError(f"{len(self.classes_)} classes, but the rules have {len(self.rules_.outputs)} outputs")


class RRLRegressor(RegressorMixin, _RuleEstimator):  # type: ignore[misc]
    """Regressor whose model is a list of weighted rules: a value is the bias plus the weights of the rules that hold.

    Targets are brought to mean 0 and deviation 1 for the training; the weights of ``rules_`` are in units of ``y``.
    Several targets give several weights a rule.

    Parameters
    ----------
    loss : {'squared', 'absolute', 'huber'}, default='squared'
        What is made small; ``huber`` turns from square to absolute at one deviation of ``y``.

    The others are those of :class:`RRLClassifier`, without ``temperature`` and ``tune_bias``; ``learning_rate`` is 0.003,
    ``l2`` 0.001, and trainings make at least 500 steps: values are overfitted sooner than classes.
    """

    _least_steps = 500

    def __init__(
        self,
        *,
        loss: str = "squared",
        nodes: Any = 64,
        epochs: int | None = None,
        learning_rate: float = 0.003,
        batch_size: int = 64,
        n_cuts: int = 15,
        cuts: str = "quantiles",
        missing: str = "literal",
        negate_categories: bool = False,
        negate_first: bool = False,
        negate_deeper: bool = True,
        skip: bool = False,
        activation: str = "nlaf",
        l1: float = 0.0,
        l2: float = 1e-3,
        committee: int = 1,
        validation_fraction: float | None = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        progress: Progress = False,
    ) -> None:
        self.loss = loss
        self.nodes = nodes
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_cuts = n_cuts
        self.cuts = cuts
        self.missing = missing
        self.negate_categories = negate_categories
        self.negate_first = negate_first
        self.negate_deeper = negate_deeper
        self.skip = skip
        self.activation = activation
        self.l1 = l1
        self.l2 = l2
        self.committee = committee
        self.validation_fraction = validation_fraction
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.progress = progress

    def fit(self, X: Any, y: Any) -> RRLRegressor:
        """Learns rules from rows ``X`` and values ``y``, ``[n_rows]`` or ``[n_rows, n_targets]``."""
        losses: dict[str, Any] = {"squared": "squared", "absolute": "absolute", "huber": {"huber": 1.0}}
        if self.loss not in losses:
            raise ValueError(f"`loss` is {self.loss!r}, expected one of {', '.join(map(repr, losses))}")
        rows, n_rows = self._rows(X, fitting=True)
        names = [str(name) for name in y.columns] if getattr(y, "ndim", 1) == 2 and hasattr(y, "columns") else None
        y = _checked_targets(self, y, n_rows, numbers_only=True)
        self._is_flat = y.ndim == 1
        values = y.reshape(n_rows, -1).astype(np.float64)
        means, scales = values.mean(axis=0), values.std(axis=0)
        # What does not vary (but for rounding) is its mean, whatever the rules say.
        scales = np.where(scales > 1e-12 * np.abs(means), scales, 0.0)
        targets = (values - means) / np.where(scales > 0, scales, 1.0)
        if names is None:
            names = ["value"] if values.shape[1] == 1 else [f"y{at}" for at in range(values.shape[1])]
        self._learn(rows, n_rows, {"regress": losses[self.loss]}, names, values=targets)
        self.rules_ = self.rules_.rescaled(scales.tolist(), means.tolist())
        return self

    def predict(self, X: Any) -> Any:
        """The value of each row, ``[n_rows]`` or ``[n_rows, n_targets]``."""
        rows, _ = self._rows(X, fitting=False)
        return self._predicted(self.rules_.scores(**rows))

    def _predicted(self, scores: Any) -> Any:
        return scores[:, 0] if self._is_flat else scores

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags

    def _extra(self) -> dict[str, Any]:
        return {"is_flat": self._is_flat}

    def _restore(self, saved: dict[str, Any]) -> None:
        self._is_flat = bool(saved["is_flat"])


def _checked_targets(estimator: Any, y: Any, n_rows: int, *, numbers_only: bool = False) -> Any:
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
        )
    if numbers_only:
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
    else:
        y = column_or_1d(y, warn=True)
        check_array(y, ensure_2d=False, dtype=None, input_name="y")
    check_consistent_length(y, np.empty(n_rows))
    return y


def _is_sparse_frame(X: Any) -> bool:
    return hasattr(X, "dtypes") and hasattr(X, "columns") and len(X.columns) > 0 and all(
        type(kind).__name__ == "SparseDtype" for kind in X.dtypes
    )


def _all_numbers(frame: Any) -> bool:
    return all(getattr(kind, "kind", "O") in "biuf" and isinstance(kind, np.dtype) for kind in frame.dtypes)


def _check_frame(frame: Any) -> None:
    if len(frame) == 0 or frame.shape[1] == 0:
        raise ValueError(
            f"Found array with {len(frame)} sample(s) and {frame.shape[1]} feature(s) while a minimum of 1 is required."
        )
    if frame.columns.duplicated().any():
        raise ValueError("columns have the same name; rename them")


def _cells(column: Any) -> Any:
    """A column as numbers (NaN says missing) or categories (None says missing)."""
    kind = column.dtype
    is_there = column.notna().to_numpy(dtype=bool)
    if getattr(kind, "kind", "O") in "biuf":
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    values = column.to_numpy(dtype=object)
    if getattr(kind, "kind", "O") in "mM":
        raise ValueError(f"column `{column.name}` holds dates or times; make numbers or categories of them")
    if any(isinstance(value, (list, dict, set, tuple, np.ndarray)) for value in values[is_there][:1000]):
        raise ValueError(f"column `{column.name}` holds lists or objects; make numbers or categories of them")
    if is_there.any() and all(isinstance(value, numbers.Real) for value in values[is_there]):
        return np.array([float(value) if there else np.nan for value, there in zip(values, is_there)])
    return [str(value) if there else None for value, there in zip(values, is_there)]


def _truth_lists(X: Any) -> Any:
    """Rows as lists of the columns that hold; everything must be 0 or 1."""
    rows = sparse.csr_matrix(X, copy=True)
    if not np.isin(rows.data, (0.0, 1.0)).all():
        raise ValueError("the model was fitted on a sparse table of 0 and 1, found other values; give truth values")
    rows.eliminate_zeros()
    rows.sort_indices()
    return rows


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value.item() if hasattr(value, "item") else value


def _seed(random_state: Any) -> int:
    if isinstance(random_state, numbers.Integral) and not isinstance(random_state, bool):
        if random_state < 0:
            raise ValueError(f"`random_state` is {random_state}, expected 0 or a positive number")
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def _n_threads(n_jobs: int | None) -> int:
    if n_jobs is None:
        return 1
    if n_jobs < 0:
        return max(1, (os.cpu_count() or 1) + 1 + int(n_jobs))
    return int(n_jobs)
