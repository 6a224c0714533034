"""``merge`` and ``recommend``: a dense model and recommendations from a checkpoint."""

from recbole_mpo.cli.arguments import command, option
from recbole_mpo.cli.kinds import Text, Whole
from recbole_mpo.cli.runs import SETTINGS_OF_CHECKPOINT
from recbole_mpo.common.errors import ConfigError


@command("merge", settings=SETTINGS_OF_CHECKPOINT)
@option("--checkpoint", Text("FILE"), "Checkpoint of a model with MPO layers.", required=True)
@option("--output", Text("FILE"), "Where to write the dense checkpoint.", required=True)
def merge_command(checkpoint, output, settings):
    """Write an MPO checkpoint as the equivalent dense UniSRec."""
    from recbole_mpo.release.merge import merge_checkpoint

    merge_checkpoint(checkpoint, output, settings)
    print(f"wrote {output}")


@command("recommend", settings=SETTINGS_OF_CHECKPOINT)
@option("--checkpoint", Text("FILE"), "Checkpoint of a text model.", required=True)
@option("--items", Text("TOKEN,TOKEN"), "One history: item tokens, oldest first.")
@option("--histories", Text("FILE"), "Instead of --items: a file with one history per line, oldest item first.")
@option("--topk", Whole(least=1), "Recommendations per history.", default=10)
def recommend_command(checkpoint, items, histories, topk, settings):
    """Print recommended items for histories of item tokens."""
    if (items is None) == (histories is None):
        raise ConfigError("recommend needs either --items=token,token or --histories=FILE")
    from recbole_mpo.release.recommend import Recommender, read_histories

    if items is not None:
        token_lists = [[token.strip() for token in items.split(",") if token.strip()]]
    else:
        token_lists = read_histories(histories)
    recommender = Recommender.from_checkpoint(checkpoint, settings)
    for tokens, recommended in zip(token_lists, recommender.recommend(token_lists, topk), strict=True):
        print(recommender.as_text(tokens, recommended))
