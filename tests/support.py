"""What tests of several rooms build on; fixtures are in conftest.py."""

from functools import cached_property

from recbole_mpo.quick_start.experiment import Experiment


class BuiltRun:
    """An experiment, its data, and one model of it."""

    def __init__(self, experiment: Experiment):
        self.experiment = experiment
        self.spec, self.config = experiment.spec, experiment.config

    @property
    def dataset(self):
        return self.experiment.data.dataset

    @property
    def splits(self):
        return self.experiment.data.splits

    @property
    def loaders(self):
        return self.experiment.data.loaders

    @cached_property
    def model(self):
        return self.experiment.build_model()

    def trainer(self, folder):
        """Return a trainer of the model."""
        return self.experiment.trainer(self.model, folder)


class RestoredRun(BuiltRun):
    """An experiment with the model of a checkpoint."""

    def __init__(self, path, overrides=None):
        experiment, self.model, self.state = Experiment.from_checkpoint(path, overrides)
        super().__init__(experiment)


def built_run(model: str, dataset: str, config_files=(), overrides=None) -> BuiltRun:
    """Return a run of these settings, its parts made on first use."""
    return BuiltRun(Experiment.of(model, dataset, config_files, overrides))
