"""What reads an attribute off an image's features: learnt from real training images, by patients."""

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MOST_VALUES = 10  # of an attribute whose numbers are taken for names
FOLDS = 5
#: Inverse strengths of the penalty of the logistic regression; strengths of that of the linear one.
INVERSES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
STRENGTHS = (1.0, 10.0, 1e2, 1e3, 1e4)


def is_continuous(values: Sequence[str]) -> bool:
    """Return whether an attribute's values are all finite numbers, and more than 10 different ones."""
    try:
        numbers = np.array([float(value) for value in values])
    except ValueError:
        return False
    return bool(np.isfinite(numbers).all()) and len(np.unique(numbers)) > MOST_VALUES


def fitted(features: np.ndarray, values: np.ndarray, groups: np.ndarray, continuous: bool, seed: int) -> GridSearchCV:
    """Return a model whose ``predict`` reads ``values`` (n,), indices or numbers, off features (n, d).

    Features are standardised. Logistic regression, multinomial, with classes weighted alike; ridge regression for what
    is ``continuous``. The penalty is that with the best balanced accuracy, or squared error, in cross-validation that
    keeps ``groups`` (n,) together; the strongest of equals. ``seed`` below 2**32 deals the groups into folds.
    """
    folds = min(FOLDS, len(np.unique(groups)))
    kind = GroupKFold if continuous else StratifiedGroupKFold
    splits = kind(folds, shuffle=True, random_state=seed)
    if continuous:
        model, name, penalties, score = Ridge(), "ridge__alpha", STRENGTHS[::-1], "neg_mean_squared_error"
    else:
        model = LogisticRegression(class_weight="balanced", max_iter=500, tol=1e-3)
        name, penalties, score = "logisticregression__C", INVERSES, "balanced_accuracy"
    search = GridSearchCV(make_pipeline(StandardScaler(), model), {name: list(penalties)}, scoring=score, cv=splits)
    with warnings.catch_warnings():
        # Weak penalties may not converge where they are not chosen; a fold may lack a value.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
        return search.fit(features, values, groups=groups)
