"""scikit-learn's own checks of an estimator, all of them, none skipped by us."""

from __future__ import annotations

from typing import Any

from sklearn.utils.estimator_checks import parametrize_with_checks

from titlecard import RRLClassifier, RRLRegressor


# Fewer nodes than by default, for time alone: the contract does not depend on them.
@parametrize_with_checks([RRLClassifier(nodes=16), RRLRegressor(nodes=16)])
def test_estimator(estimator: Any, check: Any) -> None:
    check(estimator)
