"""`PromptClassifier`: the classifier as a scikit-learn estimator.

In a file of its own because the import of scikit-learn, with SciPy, takes as long as torch's: no command needs it.
"""

from sklearn.base import BaseEstimator, ClassifierMixin

from cocoop.classifier import Classifier


class PromptClassifier(Classifier, ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # noqa: D101
    __doc__ = Classifier.__doc__
