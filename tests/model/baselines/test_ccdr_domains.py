"""CCDR between two domains: what they share, what is aligned and taught, and what the graphs may know."""

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from model.baselines.two_domains import batch_of, experiment, taught, two_domain_settings, write_domain

from recbole_mpo.model.baselines import ccdr
from recbole_mpo.quick_start.recorded_run import run


@pytest.fixture
def settings(tiny_settings, tmp_path):
    """Settings of a run on ``few``, with ``many`` as its source."""
    return two_domain_settings(tiny_settings, tmp_path / "data")


def test_a_run_with_a_source_counts_what_is_aligned(settings, capsys):
    record = run("CCDR", "few", (), settings)
    assert record["status"] == "completed" and record["test"]["hit@10"] > 0
    said = capsys.readouterr().out
    assert "CCDR between few and many; aligned: user 0, brand 0, category 0, word 9, cluster " in said
    assert "aligned users: 0, so the loss between users is off" in said and "nothing is aligned" not in said


def test_domains_that_share_nothing_are_warned_of(settings, caplog):
    experiment(settings, ccdr_align=["brand"]).model  # noqa: B018
    assert "nothing is aligned between few and many: all losses between them are off" in caplog.text


def taught_rows(model, loss) -> dict[str, set[str]]:
    """Of each domain's table which kinds of rows a loss teaches."""
    names = taught(model, loss) - {"kind_embedding.weight"}
    found = {}
    for domain, own in model.domains.items():
        rows = own.embedding.weight.grad
        if f"domains.{domain}.embedding.weight" in names:
            parts = {"items": rows[: own.item_num], "shared": rows[own.item_num :]}
            found[domain] = {kind for kind, part in parts.items() if part.any()}
            names.remove(f"domains.{domain}.embedding.weight")
    assert not names
    return found


def test_losses_between_domains_teach_the_rows_they_should(settings):
    torch.manual_seed(0)
    model = experiment(settings, ccdr_fan_out=[], hidden_dropout_prob=0.0).model.train()
    losses = model.inter_losses()
    assert losses.keys() == {"taxonomy", "neighbour"}
    assert taught_rows(model, losses["taxonomy"]) == {"target": {"shared"}, "source": {"shared"}}
    assert taught_rows(model, model.inter_losses()["neighbour"]) == {"target": {"items"}, "source": {"shared"}}


def test_users_of_the_same_name_are_aligned_and_contrasted(settings, tmp_path):
    write_domain(tmp_path / "data", "same", 40, 2, "u")
    model = experiment(settings, ccdr_source="same", ccdr_inter_nodes=2).model
    torch.manual_seed(0)
    assert [list(model.inter_losses()) for _ in range(5)] == [["user", "taxonomy", "neighbour"]] * 5


def aligned_margin(model) -> float:
    """Mean cosine of a word in one domain with itself in the other, less that with other words."""
    model.eval()
    own = {name: model.aligned_taxonomy + model.domains[name].item_num for name in ("source", "target")}
    source, target = (F.normalize(model.encode_nodes(name, nodes)[0], dim=1) for name, nodes in own.items())
    cosines = source @ target.t()
    others = ~torch.eye(len(cosines), dtype=torch.bool)
    return (cosines.diagonal().mean() - cosines[others].mean()).item()


@pytest.mark.parametrize("permuted", [False, True])
def test_aligned_nodes_come_together_unless_others_are_aligned(settings, monkeypatch, permuted):
    torch.manual_seed(0)
    parts = experiment(settings, ccdr_align=["word"])
    model, batch = parts.model.train(), batch_of(parts)
    if permuted:
        inter, right = model.inter_losses, ccdr.contrast

        def wrong():
            with monkeypatch.context() as patch:
                patch.setattr(ccdr, "contrast", lambda first, second, *rest: right(first, second.roll(1, 0), *rest))
                return inter()

        monkeypatch.setattr(model, "inter_losses", wrong)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        sum(model.calculate_loss(batch)).backward()
        optimizer.step()
    margin = aligned_margin(model)
    assert margin < 0.1 if permuted else margin > 0.3


def test_rows_of_valid_and_test_change_nothing_in_the_graph(settings, tmp_path):
    before = experiment(settings)
    for name in ("few", "many"):
        path = tmp_path / "data" / name / f"{name}.inter"
        frame = pd.read_csv(path, sep="\t", dtype=str)
        user, item, _ = frame.columns
        newest = frame.groupby(user).tail(2).index
        frame.loc[newest, item] = frame.loc[newest, item].to_numpy()[::-1]
        frame.to_csv(path, sep="\t", index=False)
    after = experiment(settings)
    names = [one.dataset.field2id_token["item_id"].tolist() for one in (before, after)]
    # Items are numbered by first appearance anywhere, so edges are compared by token.
    edges = [edges_by_token(one.model, tokens) for one, tokens in zip((before, after), names, strict=True)]
    assert edges[0] == edges[1]
    # The source's items are numbered by the reader of categories, in order of name.
    source = [edges_by_token(one.model, list(map(str, range(51))), "source") for one in (before, after)]
    assert source[0] == source[1]


def edges_by_token(model, tokens, domain="target"):
    own = model.domains[domain]
    table, names = own.neighbours, [*tokens, *(f"shared {node}" for node in range(len(own.kinds) - len(tokens)))]
    rows = torch.repeat_interleave(table.degrees).tolist()
    weights = table.cumulative.diff().round(decimals=6).tolist()
    columns = table.neighbours.tolist()
    return {(names[row], names[column], value) for row, column, value in zip(rows, columns, weights, strict=True)}


def test_without_anything_shared_there_is_still_the_target(settings, tmp_path):
    """Also with a source too small to have training pairs, and without texts, which nothing needs."""
    (tmp_path / "data" / "short").mkdir()
    rows = "".join(f"w{user}\t{item}\t{item}\n" for user in range(3) for item in (1, 2))
    header = "user_id:token\titem_id:token\ttimestamp:float\n"
    (tmp_path / "data" / "short" / "short.inter").write_text(header + rows, encoding="utf-8")
    # The loss between neighbours and that between views of items; then the softmax alone.
    for changes, count in (({"ccdr_align": []}, 2), ({"ccdr_align": ["user"]}, 2), ({"ccdr_align": "user"}, 2),
                           ({"ccdr_align": [], "ccdr_intra_weight": 0, "ccdr_match_loss": "ce"}, 1)):  # fmt: skip
        for source in ("short", None):
            parts = experiment(settings, ccdr_source=source, **changes)
            losses = parts.model.calculate_loss(batch_of(parts))
            assert len(losses) == count and all(loss.isfinite() and loss > 0 for loss in losses)
