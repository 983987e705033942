"""`PromptClassifier`: the classifier as a scikit-learn estimator.

In a file of its own because the import of scikit-learn, with SciPy, takes as long as torch's: no command needs it.
"""

from __future__ import annotations

from inspect import Parameter, signature
from typing import Any, Self

from sklearn import exceptions
from sklearn.base import BaseEstimator, ClassifierMixin

from cocoop.classifier import Classifier
from cocoop.errors import NotFittedError
from cocoop.old_names import OLD_NAMES, from_old_names


class _NotFittedError(NotFittedError, exceptions.NotFittedError):  # type: ignore[misc]
    pass


class PromptClassifier(Classifier, ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # noqa: D101
    __doc__ = Classifier.__doc__
    _not_fitted = _NotFittedError

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments by name, as scikit-learn asks for them; none has parameters of its own.

        `**others` of a subclass's constructor stand for those of the class above.
        """
        names: dict[str, None] = {}
        for above in type(self).__mro__:
            if "__init__" not in vars(above):
                continue
            _, *taken = signature(vars(above)["__init__"]).parameters.values()
            named = [parameter.name for parameter in taken if parameter.kind != Parameter.VAR_KEYWORD]
            names |= dict.fromkeys(named)
            if above is Classifier or len(named) == len(taken):
                break
        return {name: getattr(self, name) for name in names}

    def set_params(self, **parameters: Any) -> Self:
        """scikit-learn's; takes the constructor's old names, too, for one release."""
        old = {name: parameters.pop(name) for name in OLD_NAMES if name in parameters}
        super().set_params(**parameters)
        for name, value in from_old_names(old, parameters, self.settings).items():
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        """scikit-learn's: a classifier of pictures and paths, not of rows of numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = False, True
        return tags

    def __sklearn_clone__(self) -> Self:
        """An unfitted copy on the same CLIP: scikit-learn's own way would copy the frozen weights."""
        return type(self)(**self.get_params())
