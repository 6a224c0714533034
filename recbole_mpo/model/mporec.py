"""MPORec and its variants: UniSRec with weight matrices stored as matrix product operators.

Liu, Yao, Gao, Zhao, "Matrix product operator based sequential recommendation model". The variants differ only in the
cores that are trained or inserted (``mpo_strategy`` in their property files).
"""

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.layers.mpo import MPOShape, convert_to_mpo
from recbole_mpo.model.unisrec import UniSRec

# Number of cores inserted when mpo_expand is left out.
DEFAULT_EXPAND = 2


class MPORec(UniSRec):
    """UniSRec with MPO layers, all cores trained; it has slightly more parameters than UniSRec (Algorithm 1).

    The dense weights are initialised first and then decomposed exactly. So, with the same seed, MPORec and UniSRec
    compute the same at the start.

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.

    Raises:
        ConfigError: the MPO settings (``mpo_*``) do not fit the model.
    """

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        if config["mpo_expand"] is not None and config["mpo_strategy"] not in ("expand", "progressive"):
            raise ConfigError(
                f"mpo_expand is set to {config['mpo_expand']}, but mpo_strategy is '{config['mpo_strategy']}': "
                "inserted cores belong to --model=MPORecExpand (mpo_strategy: expand)"
            )
        shape = MPOShape(
            num_cores=config["mpo_num_cores"],
            in_factors=config["mpo_in_factors"],
            out_factors=config["mpo_out_factors"],
            max_bond_dim=config["mpo_max_bond_dim"],
            gauge=config["mpo_gauge"],
            pad=config["mpo_pad"],
        )
        try:
            convert_to_mpo(
                self,
                target_modules=config["mpo_target_modules"],
                strategy=config["mpo_strategy"],
                expand=config["mpo_expand"] or DEFAULT_EXPAND,
                expand_init=config["mpo_expand_init"],
                shape=shape,
            )
        except ValueError as problem:
            hint = "; with item_input=id set mpo_target_modules=all-linear" if not self.uses_text else ""
            raise ConfigError(f"the MPO settings (mpo_*) do not fit the model: {problem}{hint}") from problem

    @classmethod
    def label(cls, name: str, config) -> str:
        """Return the name of a run in tables: as in the paper, with the number t of inserted cores."""
        if config["mpo_strategy"] == "expand":
            name = f"{name} (t = {config['mpo_expand'] or DEFAULT_EXPAND})"
        if config["mpo_strategy"] == "progressive":
            name = f"{name} (progressive)"
        return super().label(name, config)


class MPORecLight(MPORec):
    """MPORec in which all cores but the central one are trained: few parameters, but not a low-rank update.

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.
    """


class MPORecExpand(MPORec):
    """MPORec with ``mpo_expand`` inserted cores, all of them trained (``+ex t`` in the paper).

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.
    """
