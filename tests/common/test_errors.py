"""One tree of errors, which the command line turns into one line."""

import inspect

import pytest

from recbole_mpo.common import errors

CLASSES = [entry for _, entry in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_every_error_is_of_the_tree_and_says_when_it_is_raised(error):
    assert issubclass(error, errors.RecboleMPOError) and error.__doc__
    assert str(error("what, where, what to do")) == "what, where, what to do"


def test_unusable_features_are_unusable_data():
    assert issubclass(errors.FeatureError, errors.DataError)
    assert not issubclass(errors.CheckpointError, errors.DataError)
