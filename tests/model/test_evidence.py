"""Evidence beside a model: what its tables hold, what training rows see of them, and what it adds to scores."""

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from support import built_run, folder_of

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.layers.pair_evidence import REPEAT_START, Columns, Recent
from recbole_mpo.model.evidence import START, make_evidence
from recbole_mpo.model.objective import make_objective
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.recommend import Recommender

KINDS = ["covisit", "words", "two_hop"]
WEIGHTS = [1.0, 0.5, 0.25, 0.12, 0.06]
# Without noise, so that two ways to the same loss can be compared.
QUIET = {"hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0, "adaptor_dropout_prob": 0.0, "noisy_gating": False}
WHOLE = {"evidence_entries": 1000}


@pytest.fixture
def built(tiny_settings):
    def make(name="UniSRec", **changes):
        return built_run(name, "tiny", (), {**tiny_settings, "evidence": KINDS, **changes})

    return make


def histories_of(train) -> dict[int, list[int]]:
    """The items of each user's training history, from its longest row."""
    found = {}
    rows = train.rows()
    for user, end, length in zip(rows.users.tolist(), rows.ends.tolist(), rows.lengths.tolist(), strict=True):
        history = train.flat_items[end - length : end + 1].tolist()
        found[user] = max(found.get(user, []), history, key=len)
    return found


def counts_by_loop(histories, item_num, window=4) -> np.ndarray:
    counts = np.zeros((item_num, item_num))
    for history in histories:
        for place, item in enumerate(history):
            for distance, later in enumerate(history[place + 1 : place + 1 + window]):
                counts[item, later] += 0.5**distance
                counts[later, item] += 0.5**distance
    return counts


def walks_by_loop(counts) -> np.ndarray:
    step = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
    return step @ step


def tables_by_loop(histories, item_num, window=4) -> dict[str, np.ndarray]:
    counts = counts_by_loop(histories, item_num, window)
    return {"covisit": counts, "two_hop": walks_by_loop(counts)}


def held(pairs, table) -> np.ndarray:
    """One of the tables of a kind of evidence, dense."""
    size = pairs.starts.shape[1] - 1
    dense = np.zeros((size, size))
    for item in range(size):
        place = slice(pairs.starts[table, item], pairs.starts[table, item + 1])
        dense[item, pairs.columns[place]] = pairs.values[place]
    return dense


def cosines_of(texts) -> np.ndarray:
    """scikit-learn's, dense; a text with itself 0."""
    settings = {"token_pattern": r"[^\W_]+", "ngram_range": (1, 2), "min_df": 2, "sublinear_tf": True}
    vectors = TfidfVectorizer(**settings).fit_transform(texts).toarray()
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, 0)
    return cosines


class TestTables:
    def test_hold_what_a_loop_over_training_histories_counts(self, built):
        one = built(**WHOLE, evidence_folds=3)
        train, kinds = one.splits[0], one.model.evidence.kinds
        assert all(len(pairs.starts) == 1 for pairs in kinds.values()), "nothing is trained yet"
        one.model.evidence.make_training_tables()
        histories = histories_of(train)
        for table in range(4):
            seen = [items for user, items in histories.items() if table == 0 or user % 3 != table - 1]
            for kind, expected in tables_by_loop(seen, train.item_num).items():
                assert len(kinds[kind].starts) == 4
                np.testing.assert_allclose(held(kinds[kind], table), expected, rtol=1e-6, atol=1e-7)

    @pytest.mark.parametrize("window", [1, 2])
    def test_the_window_is_a_setting(self, built, window):
        one = built(**WHOLE, evidence_window=window, evidence=["covisit"])
        expected = counts_by_loop(histories_of(one.splits[0]).values(), one.model.n_items, window)
        assert np.array_equal(held(one.model.evidence.kinds["covisit"], 0), expected)

    def test_words_are_cosines_of_the_items_texts(self, built):
        one = built(**WHOLE, evidence=["words"])
        texts = one.splits[0].item_texts()
        assert texts[0] == "" and len(texts) == one.model.n_items and all(texts[1:])
        words = one.model.evidence.kinds["words"]
        assert len(words.starts) == 1, "words come from no row, so that all rows may see them"
        np.testing.assert_allclose(held(words, 0), cosines_of(texts), rtol=1e-6, atol=1e-7)

    def test_the_largest_entries_are_kept(self, built):
        whole, few = built(**WHOLE), built(evidence_entries=3)
        for one in (whole, few):
            one.model.evidence.make_training_tables()
        for kind, pairs in few.model.evidence.kinds.items():
            assert (pairs.starts.diff() <= 3).all()
            for table in range(len(pairs.starts)):
                every, kept = held(whole.model.evidence.kinds[kind], table), held(pairs, table)
                largest = -np.sort(-every)[:, :3]
                np.testing.assert_allclose(-np.sort(-kept)[:, :3], largest, rtol=1e-6, atol=1e-7)
                assert (np.isclose(kept, every, rtol=1e-6) | (kept == 0)).all()

    def test_the_hash_is_of_counts_and_texts(self, built):
        hashes = {built(**changes).model.counts_hash for changes in (
            {"evidence": ["covisit"]}, {"evidence": ["covisit"], "evidence_window": 1},
            {"name": "SASRecCE", "evidence": ["words"]},
        )}  # fmt: skip
        assert len(hashes) == 3
        one = built(evidence=["covisit"])
        assert one.model.counts_hash == make_evidence(one.config, one.splits[0]).hash
        assert built(evidence=["two_hop"]).model.counts_hash == one.model.counts_hash


def dense_evidence(model, recent, tables):
    """What evidence adds, from tables [N, N] by kind that a row reads: a function of the row and its user."""
    added = np.zeros((len(recent.items), model.n_items))
    for row in range(len(added)):
        history = recent.items[row][recent.exists[row]].tolist()
        user = None if recent.users is None else int(recent.users[row])
        for kind, table in tables(user).items():
            weight, factor = START[kind]
            sums = sum(w * table[item] for w, item in zip(WEIGHTS, history, strict=False))
            added[row] += weight * (sums if factor is None else np.log1p(factor * sums))
        added[row, history] = REPEAT_START
    return added


def whole_evidence(model, recent) -> torch.Tensor:
    with torch.no_grad():
        zeros = torch.zeros(len(recent.items), model.n_items, dtype=torch.float64)
        return model.evidence(recent, Columns(model.n_items)).add_to(zeros)


class TestLeak:
    """No training row finds itself in a table, and what it reads is what others leave."""

    def test_every_training_row_reads_tables_counted_without_the_users_of_its_fold(self, built):
        folds = 5
        one = built(**WHOLE, evidence_folds=folds)
        model, train = one.model, one.splits[0]
        histories, words = histories_of(train), cosines_of(train.item_texts())
        fresh = {
            fold: {"words": words, **tables_by_loop(
                [items for user, items in histories.items() if user % folds != fold], train.item_num
            )}
            for fold in range(folds)
        }  # fmt: skip
        rows = 0
        for batch in one.loaders[0]:
            recent = Recent(*batch.newest_items(batch.items.shape[1]), batch.users)
            expected = dense_evidence(model, recent, lambda user: fresh[user % folds])
            found = model.evidence_of(batch).add_to(torch.zeros(len(batch), model.n_items)).detach().double().numpy()
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
            # The row is the user's own: its history and its target stand one after another in the user's.
            for row, (user, target) in enumerate(zip(batch.users.tolist(), batch.targets.tolist(), strict=True)):
                history = recent.items[row][recent.exists[row]].tolist()[::-1]
                places = range(len(histories[user]) - len(history))
                assert any(histories[user][at : at + len(history) + 1] == [*history, target] for at in places)
            rows += len(batch)
        assert rows == len(train.rows())

    @pytest.mark.parametrize("entries", [1000, 4])
    def test_a_targets_evidence_is_that_of_data_in_which_its_user_never_was(self, built, tiny_path, entries):
        """Users of one fold are taken out of the files, and everything is counted again."""
        folds = 4
        one = built(evidence_folds=folds, evidence_entries=entries, evidence=["covisit", "two_hop"])
        one.model.evidence.make_training_tables()
        names = one.dataset.field2id_token["item_id"]
        fold_of = {token: number % folds for number, token in enumerate(one.dataset.field2id_token["user_id"])}
        path = tiny_path / "tiny" / "tiny.inter"
        header, *lines = path.read_text().splitlines()
        # Items are numbered by appearance, so that they are compared by token.
        for fold in range(folds):
            keeps = [line for line in lines if fold_of[line.split("\t")[0]] != fold]
            path.write_text("\n".join([header, *keeps]) + "\n")
            other = built(evidence_folds=folds, evidence_entries=1000, evidence=["covisit", "two_hop"])
            renamed = {token: number for number, token in enumerate(other.dataset.field2id_token["item_id"])}
            order = np.array([renamed.get(token, 0) for token in names])
            for kind, pairs in other.model.evidence.kinds.items():
                whole = held(pairs, 0)[np.ix_(order, order)]
                kept = held(one.model.evidence.kinds[kind], 1 + fold)
                if entries == 1000:
                    np.testing.assert_allclose(kept, whole, rtol=1e-6, atol=1e-7)
                assert np.allclose(np.where(kept > 0, whole, 0), kept, rtol=1e-6) and kept.any()
        path.write_text("\n".join([header, *lines]) + "\n")

    def test_users_of_dealt_parts_go_with_their_targets(self, built):
        one = built()
        batch = next(iter(one.loaders[0]))
        whole = sorted(evidence_rows(one.model, batch))
        parts = [batch.dealt(number, 3) for number in range(3)]
        assert sorted(sum((evidence_rows(one.model, part) for part in parts), [])) == whole


def evidence_rows(model, batch) -> list[tuple]:
    """Of each target: user, target, and what evidence adds to all items."""
    added = model.evidence_of(batch).add_to(torch.zeros(len(batch), model.n_items)).tolist()
    return list(zip(batch.users.tolist(), batch.targets.tolist(), map(tuple, added), strict=True))


def losses_and_gradients(one, loss):
    model, batch = one.model.double(), next(iter(one.loaders[0]))
    model.objective = built_objective(one, loss)
    model.zero_grad()
    value = model.calculate_loss(batch)
    value.backward()
    return value.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def built_objective(one, loss):
    return make_objective({**one.config.final_config_dict, "loss": loss, "sampled_items": 10**6}, one.splits[0])


class TestTraining:
    @pytest.mark.parametrize("loss", ["chunked", "sampled"])
    def test_the_losses_are_one_where_all_items_are_drawn(self, built, loss, monkeypatch):
        monkeypatch.setattr("recbole_mpo.model.objective.CHUNK_LOGITS", 500)
        one = built(**QUIET)
        (full, expected), (value, gradients) = (losses_and_gradients(one, name) for name in ("full", loss))
        torch.testing.assert_close(value, full, rtol=1e-9, atol=1e-9)
        assert gradients.keys() == expected.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, expected[name], rtol=1e-6, atol=1e-8, msg=name)
        moved = {name for name in gradients if name.startswith("evidence.") and gradients[name].any()}
        assert moved == {name for name in gradients if name.startswith("evidence.")} and len(moved) == 9

    def test_the_loss_is_that_of_scores_with_dense_evidence(self, built):
        one = built(**QUIET)
        model, batch = one.model.double(), next(iter(one.loaders[0]))
        vectors = model.encode_items()
        scores = model.score(model.predicting_states(vectors, batch.items, batch), vectors)
        recent = Recent(*batch.newest_items(batch.items.shape[1]), batch.users)
        expected = torch.nn.functional.cross_entropy(scores + whole_evidence(model, recent), batch.targets).detach()
        torch.testing.assert_close(model.calculate_loss(batch).detach(), expected, rtol=1e-6, atol=1e-6)

    def test_evidence_has_its_own_learning_rate_and_can_be_frozen(self, built):
        changes = {"learning_rate": 0.002, "evidence_lr_multiplier": 5.0}
        groups = built(**changes).trainer("run").optimizer.param_groups
        assert [len(group["params"]) for group in groups if group["lr"] == pytest.approx(0.01)] == [9]
        frozen = built(freeze=["evidence"]).model
        still = {name for name, parameter in frozen.named_parameters() if not parameter.requires_grad}
        assert still == {name for name, _ in frozen.named_parameters() if name.startswith("evidence.")} != set()

    def test_evidence_that_is_not_fitted_yet_changes_nothing(self, built):
        one = built(evidence_fit="late")
        batch, rows = next(iter(one.loaders[0])), one.splits[2][np.arange(5)]
        assert one.model.evidence_of(batch) is None
        scores = torch.zeros(5, one.model.n_items)
        arguments = rows["item_id_list"], rows["item_length"]
        assert one.model.add_evidence(scores, *arguments) is scores and not scores.any()
        one.model.evidence.is_fitted.fill_(True)
        assert one.model.add_evidence(scores, *arguments).any()


class TestScores:
    @pytest.mark.parametrize("strength", [1.0, 2.0])
    @torch.no_grad()
    def test_evaluation_adds_exactly_the_evidence_of_all_training_rows(self, built, strength):
        one = built(**WHOLE, evidence_strength=strength)
        model, train = one.model.eval(), one.splits[0]
        rows = one.splits[2][np.arange(len(one.splits[2]))]
        vectors = model.encode_items()
        plain = model.score(model.encode_histories(vectors, rows), vectors)
        tables = tables_by_loop(histories_of(train).values(), train.item_num) | {
            "words": cosines_of(train.item_texts())
        }
        items, lengths = rows["item_id_list"], rows["item_length"]
        newest = torch.stack([row.roll(-int(n)).flip(0) for row, n in zip(items, lengths, strict=True)])
        recent = Recent(newest, torch.arange(items.shape[1]) < lengths.unsqueeze(1))
        expected = strength * dense_evidence(model, recent, lambda user: tables)
        found = (model.full_sort_predict(rows) - plain).double().numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)

    @torch.no_grad()
    def test_items_of_a_history_that_have_no_id_are_passed_over(self, built):
        model = built().model.eval()
        scores = torch.zeros(1, model.n_items + 5)
        model.add_evidence(scores, torch.tensor([[4, 5, model.n_items + 3]]), torch.tensor([3]))
        # The other two keep their age, and the item is one of the history.
        recent = Recent(torch.tensor([[4, 5, 4]]), torch.tensor([[False, True, True]]))
        expected = model.evidence(recent, Columns(model.n_items + 5)).add_to(torch.zeros_like(scores))
        expected[0, model.n_items + 3] = model.evidence.strength * model.evidence.repeats[0]
        torch.testing.assert_close(scores, expected)
        assert scores.any()

    def test_words_reach_items_that_only_have_text(self, built, tiny_path):
        """And the model that recommends them ranks the others as before."""
        path = tiny_path / "tiny" / "tiny.text"
        path.write_text(path.read_text() + "cold\tred lamp number 3.\n")
        one = built(**WHOLE, evidence=["covisit", "words"])
        model, rows = one.model.eval(), one.splits[2][np.arange(9)]
        with torch.no_grad():
            before = model.full_sort_predict(rows)
        recommender = Recommender.of(one.experiment, model)
        with torch.no_grad():
            assert torch.equal(model.full_sort_predict(rows), before)
        row = recommender.row_of["cold"]
        assert row == model.n_items == len(recommender.tokens) - 1
        texts = [*one.splits[0].item_texts(), "red lamp number 3."]
        settings = {"token_pattern": r"[^\W_]+", "ngram_range": (1, 2), "min_df": 2, "sublinear_tf": True}
        vectors = TfidfVectorizer(**settings).fit(texts[:-1]).transform(texts).toarray()
        states = recommender_states(recommender, ["i3"])
        cold = (model.queries(states) @ recommender.scores.candidates.t())[0, row].item()
        expected = cold + model.evidence.strength * START["words"][0] * vectors[recommender.row_of["i3"]] @ vectors[row]
        scores = {one.token: one.score for one in recommender.recommend([["i3"]], topk=100)[0]}
        assert scores["cold"] == pytest.approx(expected, abs=1e-4) and expected > cold

    @pytest.mark.parametrize("loss", ["full", "sampled"])
    def test_run_checkpoint_evaluation_and_recommendations_agree(self, tiny_settings, loss):
        settings = {**tiny_settings, "evidence": KINDS, "loss": loss, "learning_rate": 0.01}
        record = run("MPORec", "tiny", (), settings)
        assert record["params"]["by_group"]["evidence"] == {"total": 26, "trainable": 26}
        path = folder_of(record) / "best.pth"
        state = torch.load(path, weights_only=True)["state_dict"]
        assert state["evidence.kinds.covisit.weight"] != START["covisit"][0] and state["evidence.is_fitted"]
        assert not any(name.endswith(("starts", "columns", "values")) for name in state)
        assert evaluate_checkpoint(path) == {split: record[split] for split in ("valid", "test")}
        recommender = Recommender.from_checkpoint(path)
        model, history = recommender.model, [recommender.row_of[token] for token in ("i3", "i4")]
        rows = {"item_id_list": torch.tensor([history]), "item_length": torch.tensor([2])}
        scores = model.full_sort_predict(rows)[0]
        scores[[0, *history]] = -torch.inf
        best = recommender.recommend([["i3", "i4"]], topk=3)[0]
        assert [one.token for one in best] == [recommender.tokens[row] for row in scores.topk(3).indices]
        assert [one.score for one in best] == pytest.approx(scores.topk(3).values.tolist(), abs=1e-4)


@torch.no_grad()
def recommender_states(recommender, tokens):
    history = torch.tensor([[recommender.row_of[token] for token in tokens]])
    return recommender.model.encode_sequences(recommender.scores.item_vectors, history, torch.tensor([len(tokens)]))


def test_none_is_made_where_none_is_asked_for(tiny_settings):
    plain = built_run("UniSRec", "tiny", (), tiny_settings)
    assert make_evidence(plain.config, plain.splits[0]) is None
    assert plain.model.evidence is None and plain.model.counts_hash is None
    assert plain.model.evidence_of(next(iter(plain.loaders[0]))) is None
    scores = torch.zeros(1, 3)
    assert plain.model.add_evidence(scores, None, None) is scores


def test_one_kind_may_be_given_by_its_name(built):
    assert list(built(evidence="words").model.evidence.kinds) == ["words"]


def test_the_earlier_name_is_pointed_out(tiny_settings):
    with pytest.raises(ConfigError, match=r"UniSRec does not use memory \(it has evidence\)"):
        built_run("UniSRec", "tiny", (), {**tiny_settings, "memory": "covisit"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_mode": "pairwise"}, "evidence is counted in whole histories: leave train_mode=packed"),
        ({"evidence": ["words", "words"]}, "evidence names a kind twice: words, words"),
        ({"evidence": ["memory"]}, "evidence names 'memory'; choose from covisit, words, two_hop"),
        ({"evidence_folds": 1}, "evidence_folds"),
        ({"recent_weights": [1.0, 0]}, "with evidence each of recent_weights must be above 0"),
    ],
)
def test_what_evidence_cannot_work_with_is_said(built, changes, message):
    with pytest.raises(ConfigError, match=message):
        built(**changes).model  # noqa: B018
