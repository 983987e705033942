"""`PromptClassifier`: the classifier as a scikit-learn estimator.

In a file of its own because the import of scikit-learn, with SciPy, takes as long as torch's: no command needs it.
"""

from typing import Any, Self

from sklearn import exceptions
from sklearn.base import BaseEstimator, ClassifierMixin

from cocoop.arguments import OLD_NAMES, from_old_names
from cocoop.classifier import Classifier
from cocoop.errors import NotFittedError


class _NotFittedError(NotFittedError, exceptions.NotFittedError):  # type: ignore[misc]
    pass


class PromptClassifier(Classifier, ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # noqa: D101
    __doc__ = Classifier.__doc__
    _not_fitted = _NotFittedError

    def set_params(self, **parameters: Any) -> Self:
        """scikit-learn's; takes the constructor's old names, too, for one release."""
        old = {name: parameters.pop(name) for name in OLD_NAMES if name in parameters}
        super().set_params(**parameters)
        for name, value in from_old_names(old, self.get_params()).items():
            setattr(self, name, value)
        return self
