"""UniSRec's parts: what its settings choose among."""

import pytest
import torch
from support import built_run

from recbole_mpo.common.errors import ConfigError

IDS = {"item_input": "text+id"}
FIXED = {"hidden_dropout_prob": 0, "attn_dropout_prob": 0, "adaptor_dropout_prob": 0, "noisy_gating": False}


def unisrec(settings, **changes):
    return built_run("UniSRec", "tiny", (), {**settings, **FIXED, **changes})


def test_with_ids_in_the_scores_training_starts_from_the_text_model(tiny_settings):
    text, both = unisrec(tiny_settings), unisrec(tiny_settings, **IDS)
    text.model.load_state_dict({name: both.model.state_dict()[name] for name in text.model.state_dict()})
    batch = next(iter(text.loaders[0]))
    torch.testing.assert_close(text.model.calculate_loss(batch), both.model.calculate_loss(batch))
    names = set(both.model.state_dict()) - set(text.model.state_dict())
    assert names == {f"item_ids.{name}" for name in ("table", "bias", "query.weight", "query.bias")}


@pytest.mark.parametrize("loss", ["full", "chunked", "sampled"])
def test_every_loss_trains_the_ids(tiny_settings, loss):
    run = unisrec(tiny_settings, **IDS, loss=loss)
    optimizer = torch.optim.SGD(run.model.parameters(), lr=1.0)
    for batch in run.loaders[0]:
        optimizer.zero_grad()
        run.model.calculate_loss(batch).backward()
        optimizer.step()
    assert all(parameter.any() for parameter in run.model.item_ids.parameters())


def test_equal_texts_get_scores_of_their_own(tiny_settings, tiny_path):
    path = tiny_path / "tiny" / "tiny.text"
    header, first, second, *rest = path.read_text().splitlines()
    second = "\t".join([second.split("\t")[0], first.split("\t")[1]])
    path.write_text("\n".join([header, first, second, *rest]) + "\n")
    one, other = (line.split("\t")[0] for line in (first, second))
    for changes, differ in (({}, False), (IDS, True)):
        run = unisrec(tiny_settings, **changes)
        optimizer = torch.optim.Adam(run.model.parameters(), lr=0.1)
        for batch in run.loaders[0]:
            optimizer.zero_grad()
            run.model.calculate_loss(batch).backward()
            optimizer.step()
        rows = next(iter(run.loaders[1]))[0]
        scores = run.model.eval().full_sort_predict(rows)
        numbers = [list(run.model.item_tokens).index(token) for token in (one, other)]
        assert (not torch.equal(*scores[:, numbers].t())) == differ


def test_ids_on_both_sides_are_added_to_the_vectors(tiny_settings):
    model = unisrec(tiny_settings, **IDS, id_side="both").model.eval()
    text = unisrec(tiny_settings).model.eval()
    text.load_state_dict({name: model.state_dict()[name] for name in text.state_dict()})
    expected = text.encode_items() + model.item_embedding.weight
    torch.testing.assert_close(model.encode_items()[1:], expected[1:])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id_side": "both"}, "id_side has no effect without item_input=text"),
        ({"id_size": 3}, "id_size has no effect without item_input=text"),
        ({**IDS, "id_side": "both", "id_size": 3}, "id_size has no effect without id_side=output"),
        ({**IDS, "id_side": "input"}, "id_side is 'input'; choose one of output, both"),
    ],
)
def test_settings_of_ids_that_nothing_reads_are_refused(tiny_settings, changes, message):
    with pytest.raises(ConfigError) as refused:
        unisrec(tiny_settings, **changes)
    assert str(refused.value).startswith(message)
