"""`PromptClassifier`: the classifier as a scikit-learn estimator.

In a file of its own because the import of scikit-learn, with SciPy, takes as long as torch's: no command needs it.
"""

from sklearn import exceptions
from sklearn.base import BaseEstimator, ClassifierMixin

from cocoop.classifier import Classifier
from cocoop.errors import NotFittedError


class _NotFittedError(NotFittedError, exceptions.NotFittedError):  # type: ignore[misc]
    pass


class PromptClassifier(Classifier, ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # noqa: D101
    __doc__ = Classifier.__doc__
    _not_fitted = _NotFittedError
