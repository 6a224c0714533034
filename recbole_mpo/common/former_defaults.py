"""What versions did that a setting was added to later, where today's default does otherwise.

Records and checkpoints of these versions do not have the setting.
"""

from recbole_mpo.common.schema import read_schema


def with_former_defaults(settings: dict, model: str) -> dict:
    """Return the settings of a record or checkpoint, completed where its version did otherwise than today's defaults.

    Any other setting that is absent did what today's default does.

    Args:
        settings: the settings that were written, which are not changed.
        model: canonical name of the model.
    """
    uses = read_schema().uses
    completed = dict(settings)
    # Ids were added to the item vectors before they could stand in the scores alone.
    if settings.get("item_input") == "text+id" and uses(model, "id_side"):
        completed.setdefault("id_side", "both")
    # The variants of MPORec were told apart by their class at first.
    if uses(model, "mpo_strategy") and settings.get("mpo_strategy") is None:
        completed.pop("mpo_strategy", None)
    return completed
