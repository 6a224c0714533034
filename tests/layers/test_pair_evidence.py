"""Evidence against its formulas, written out with dense tables in double precision."""

from itertools import product

import pytest
import torch
from scipy import sparse
from torch.func import functional_call

from recbole_mpo.layers.pair_evidence import (
    REPEAT_START,
    Columns,
    ItemEvidence,
    PairEvidence,
    PairTables,
    Recent,
    newest_items,
)

ITEMS, WEIGHTS = 12, [1.0, 0.5, 0.25]
# Histories, the last item first: of the three newest places, an item twice, one beside itself, older ones that have
# no weight of their own, one and no item, and items beyond the tables.
HISTORIES = [[3, 5, 5], [7, 1, 2, 9, 7, 4], [9], [4, 6, 4, 4, 1], [8, 8, 1], [], [10, 40, 2, 33]]
USERS = torch.tensor([4, 0, 1, 9, 3, 2, 5])
WIDTH = 45


def recent_of(histories=HISTORIES, users=None) -> Recent:
    """The histories as rows; where an item does not exist, the id is that of another item."""
    length = max(map(len, histories))
    items = torch.tensor([[*history, *[6] * (length - len(history))] for history in histories])
    exists = torch.arange(length) < torch.tensor([len(history) for history in histories]).unsqueeze(1)
    return Recent(items, exists, users)


@pytest.fixture
def dense():
    """Four tables of pairs [4, N, N]: of evaluation, and of three folds; PAD has no entry."""
    generator = torch.Generator().manual_seed(0)
    tables = torch.rand(4, ITEMS, ITEMS, generator=generator, dtype=torch.float64)
    tables *= torch.rand(4, ITEMS, ITEMS, generator=generator) < 0.5
    tables[:, 0] = tables[:, :, 0] = 0
    tables[:, 8, 8] = 1.5
    return tables


def tables_of(dense) -> PairTables:
    return PairTables.of([sparse.csr_matrix(table.numpy()) for table in dense])


def pairs_of(dense, factor=None) -> PairEvidence:
    return PairEvidence(tables_of(dense), 0.7, WEIGHTS, factor).double()


def pairs_by_loop(dense, histories, users, weight, log_recent, log_factor, width=WIDTH):
    """a g(sum_k w_k T[x_k, j]) of every row and item, with the table that a user reads; 0 for items of the history."""
    rows = []
    for row, history in enumerate(histories):
        # Evaluation reads the first table; user u of three folds that of fold u % 3.
        table = dense[0 if users is None or len(dense) == 1 else 1 + int(users[row]) % (len(dense) - 1)]
        entries = []
        for item in range(width):
            total = torch.zeros((), dtype=torch.float64)
            for age, other in enumerate(history[: len(log_recent)]):
                if other < ITEMS and item < ITEMS and item not in history:
                    total = total + log_recent[age].exp() * table[other, item]
            entries.append(weight * (total if log_factor is None else torch.log(1 + log_factor.exp() * total)))
        rows.append(torch.stack(entries))
    return torch.stack(rows)


def shown(added, width=WIDTH):
    """The entries as logits, with a gradient."""
    logits = torch.zeros(len(HISTORIES), width, dtype=torch.float64)
    return logits.index_put((added.rows, added.columns), added.values, accumulate=True)


def gradients_agree(result, expected, parameters):
    """Also where the gradient of each logit differs."""
    slopes = torch.linspace(-1, 2, result.numel(), dtype=torch.float64).view_as(result)
    torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-9)
    pairs = zip(*(torch.autograd.grad((one * slopes).sum(), parameters) for one in (result, expected)), strict=True)
    for gradient, reference in pairs:
        torch.testing.assert_close(gradient, reference, rtol=1e-6, atol=1e-9)
        assert gradient.any()


class TestNewestItems:
    def test_the_last_item_comes_first(self):
        items, exists = newest_items(torch.tensor([[4, 5, 6, 7], [8, 9, 0, 0]]), torch.tensor([4, 2]), 3)
        assert exists.tolist() == [[True, True, True], [True, True, False]]
        assert items[exists].tolist() == [7, 6, 5, 9, 8]

    def test_there_may_be_fewer_places_than_asked_for(self):
        items, exists = newest_items(torch.tensor([[4, 5]]), torch.tensor([1]), 5)
        assert items.shape == (1, 5) and exists.tolist() == [[True, False, False, False, False]] and items[0, 0] == 4

    def test_places_are_those_that_exist(self):
        rows, ages, items = recent_of([[3, 5, 5], [], [9]]).places()
        assert rows.tolist() == [0, 0, 0, 2] and items.tolist() == [3, 5, 5, 9]
        assert [age for row, age in zip(rows.tolist(), ages.tolist(), strict=True) if row == 0] == [0, 1, 2]

    def test_the_newest_and_those_below_an_id_can_be_chosen(self):
        recent = recent_of([[3, 5, 5], [], [9]])
        assert torch.equal(recent.newest(2).items, recent.items[:, :2])
        rows, _, items = recent.newest(2).within(5).places()
        assert rows.tolist() == [0] and items.tolist() == [3]


class TestPairTables:
    def test_hold_the_matrices_one_after_another(self, dense):
        tables = tables_of(dense)
        assert tables.starts.shape == (4, ITEMS + 1)
        held = torch.zeros_like(dense)
        for table, item in product(range(4), range(ITEMS)):
            place = slice(tables.starts[table, item], tables.starts[table, item + 1])
            held[table, item, tables.columns[place]] = tables.values[place].double()
        torch.testing.assert_close(held, dense.float().double(), rtol=0, atol=0)

    def test_may_be_empty(self):
        empty = PairEvidence(PairTables.of([sparse.csr_matrix((ITEMS, ITEMS))] * 2), 1.0, WEIGHTS)
        assert len(empty(recent_of(), Columns(WIDTH)).values) == 0


class TestPairEvidence:
    @pytest.mark.parametrize("factor", [None, 5.0])
    @pytest.mark.parametrize("users", [None, USERS])
    @pytest.mark.parametrize("tables", [4, 2, 1])
    def test_what_is_added_is_the_formula_and_so_are_the_gradients(self, dense, factor, users, tables):
        dense = dense[:tables].float().double()
        evidence = pairs_of(dense, factor)
        added = evidence(recent_of(users=users), Columns(WIDTH))
        learned = evidence.weight, evidence.log_recent, evidence.log_factor
        expected = pairs_by_loop(dense, HISTORIES, users, *learned)
        gradients_agree(shown(added), expected, list(evidence.parameters()))

    def test_gradients_are_finite_differences(self, dense):
        evidence = pairs_of(dense, 5.0)
        names = [name for name, _ in evidence.named_parameters()]

        def added(*values):
            arguments = recent_of(users=USERS), Columns(WIDTH)
            return functional_call(evidence, dict(zip(names, values, strict=True)), arguments).values

        assert names == ["weight", "log_recent", "log_factor"]
        assert torch.autograd.gradcheck(added, list(evidence.parameters()))

    def test_weights_and_factor_stay_positive(self, dense):
        evidence = pairs_of(dense, 5.0)
        with torch.no_grad():
            evidence.log_recent.fill_(-3.0), evidence.log_factor.fill_(-2.0)
        assert (evidence(recent_of(), Columns(WIDTH)).values > 0).all()

    @pytest.mark.parametrize("users", [None, USERS])
    def test_no_place_occurs_twice_and_none_is_of_the_history(self, dense, users):
        added = pairs_of(dense)(recent_of(users=users), Columns(WIDTH))
        places = list(zip(added.rows.tolist(), added.columns.tolist(), strict=True))
        assert len(set(places)) == len(places) and 5 not in added.rows
        assert not any(item in HISTORIES[row] for row, item in places)

    @pytest.mark.parametrize("factor", [None, 5.0])
    def test_columns_may_be_chosen_and_in_any_order(self, dense, factor):
        evidence, ids = pairs_of(dense, factor), torch.tensor([0, 7, 2, 11, 4])
        of_item = torch.full((WIDTH,), -1)
        of_item[ids] = torch.arange(5)
        whole = shown(evidence(recent_of(users=USERS), Columns(WIDTH)))
        chosen = evidence(recent_of(users=USERS), Columns(5, of_item))
        gradients_agree(shown(chosen, 5), whole[:, ids], list(evidence.parameters()))

    def test_items_beyond_the_columns_are_left_out(self, dense):
        """Tables of words know items that only have text, which are candidates in recommendations alone."""
        evidence = pairs_of(dense, 5.0)
        whole = shown(evidence(recent_of(), Columns(WIDTH)))
        added = evidence(recent_of(), Columns(7))
        assert added.columns.max() < 7 and torch.equal(shown(added, 7), whole[:, :7])

    def test_other_tables_are_read_from_then_on(self, dense):
        evidence = pairs_of(dense)
        names = list(evidence.state_dict())
        evidence.use(tables_of(dense[2:3]))
        expected = pairs_of(dense[2:3])(recent_of(), Columns(WIDTH))
        for users in (None, USERS):
            assert torch.equal(shown(evidence(recent_of(users=users), Columns(WIDTH))), shown(expected))
        assert list(evidence.state_dict()) == names == ["weight", "log_recent", "log_factor"][: len(names)]

    def test_a_copy_reads_other_tables_with_the_same_weights(self, dense):
        evidence = pairs_of(dense[:1])
        recent = recent_of()
        before = shown(evidence(recent, Columns(WIDTH)))
        other = evidence.reading(tables_of(dense[1:2]))
        assert torch.equal(shown(evidence(recent, Columns(WIDTH))), before)
        found, expected = (one(recent, Columns(WIDTH)) for one in (other, pairs_of(dense[1:2])))
        torch.testing.assert_close(shown(found), shown(expected), rtol=1e-6, atol=1e-9)
        assert other.weight is evidence.weight and other.log_recent is evidence.log_recent

    def test_tables_of_training_come_after_that_of_evaluation(self, dense):
        whole, evidence = pairs_of(dense), pairs_of(dense[:1])
        evidence.use_in_training(tables_of(dense[1:]))
        assert evidence.values.dtype == torch.float64 and evidence.starts.shape == whole.starts.shape
        for users in (None, USERS):
            arguments = recent_of(users=users), Columns(WIDTH)
            assert torch.equal(shown(evidence(*arguments)), shown(whole(*arguments)))
        assert list(evidence.state_dict()) == list(whole.state_dict())

    def test_tables_move_with_the_module_and_are_not_stored(self, dense):
        evidence = pairs_of(dense).to("meta")
        assert {evidence.starts.device.type, evidence.columns.device.type, evidence.values.device.type} == {"meta"}
        assert list(evidence.state_dict()) == ["weight", "log_recent"]


class TestItemEvidence:
    @pytest.fixture
    def evidence(self, dense):
        kinds = {"covisit": pairs_of(dense, 5.0), "words": pairs_of(dense[3:])}
        module = ItemEvidence(kinds, newest=3, strength=1.5).double()
        with torch.no_grad():
            module.repeats.copy_(torch.tensor([-1.0, 0.5, -0.25, -3.0]))
        return module

    @pytest.mark.parametrize("users", [None, USERS])
    def test_kinds_add_up_and_items_of_the_history_have_one_weight_by_their_newest_place(self, dense, evidence, users):
        dense = dense.float().double()
        one, two = evidence.kinds["covisit"], evidence.kinds["words"]
        expected = pairs_by_loop(dense, HISTORIES, users, one.weight, one.log_recent, one.log_factor)
        expected = expected + pairs_by_loop(dense[3:], HISTORIES, users, two.weight, two.log_recent, None)
        for row, history in enumerate(HISTORIES):
            for item in set(history):
                # A place further back than the third has the weight of all older ones.
                weight = evidence.repeats[min(history.index(item), 3)]
                expected = expected.index_put((torch.tensor(row), torch.tensor(item)), weight)
        expected = expected * (1.5 if users is None else 1.0)
        added = evidence(recent_of(users=users), Columns(WIDTH))
        gradients_agree(shown(added), expected, list(evidence.parameters()))

    def test_parts_by_kind_add_up_to_all(self, evidence):
        recent = recent_of()
        parts = {name: shown(part) for name, part in evidence.parts(recent, Columns(WIDTH)).items()}
        assert list(parts) == [*evidence.kinds, "repeats"]
        torch.testing.assert_close(sum(parts.values()), shown(evidence(recent, Columns(WIDTH))))

    def test_a_copy_reads_other_tables_of_some_kinds(self, dense, evidence):
        recent, name = recent_of(), next(iter(evidence.kinds))
        before = {kind: shown(part) for kind, part in evidence.parts(recent, Columns(WIDTH)).items()}
        other = evidence.reading({name: tables_of(dense[3:])})
        after = {kind: shown(part) for kind, part in other.parts(recent, Columns(WIDTH)).items()}
        assert [kind for kind in before if not torch.equal(before[kind], after[kind])] == [name]
        again = {kind: shown(part) for kind, part in evidence.parts(recent, Columns(WIDTH)).items()}
        assert all(torch.equal(before[kind], again[kind]) for kind in before)
        assert other.repeats is evidence.repeats and other.strength == evidence.strength

    def test_columns_may_be_chosen(self, evidence):
        ids = torch.tensor([7, 4, 40, 2])
        of_item = torch.full((WIDTH,), -1)
        of_item[ids] = torch.arange(4)
        whole = shown(evidence(recent_of(), Columns(WIDTH)))
        gradients_agree(
            shown(evidence(recent_of(), Columns(4, of_item)), 4), whole[:, ids], list(evidence.parameters())
        )

    def test_items_beyond_the_columns_are_left_out(self, evidence):
        whole = shown(evidence(recent_of(), Columns(WIDTH)))
        assert torch.equal(shown(evidence(recent_of(), Columns(9)), 9), whole[:, :9])

    def test_where_it_starts_and_what_is_stored(self, dense):
        evidence = ItemEvidence({"words": pairs_of(dense)}, newest=3)
        assert evidence.repeats.tolist() == [REPEAT_START] * 4 and evidence.strength == 1.0 and evidence.is_fitted
        assert evidence.kinds["words"].weight.item() == pytest.approx(0.7)
        assert evidence.kinds["words"].log_recent.exp().tolist() == pytest.approx(WEIGHTS)
        assert pairs_of(dense, 5.0).log_factor.exp().item() == pytest.approx(5)
        stored = {"repeats", "is_fitted", "kinds.words.weight", "kinds.words.log_recent"}
        assert set(evidence.state_dict()) == stored
        late = ItemEvidence({"words": pairs_of(dense)}, newest=3, trains_jointly=False)
        assert not late.is_fitted and not any(parameter.requires_grad for parameter in late.parameters())

    def test_tables_of_training_are_made_once_and_when_a_row_of_training_comes(self, dense):
        made = []

        def training():
            made.append(1)
            return {"covisit": tables_of(dense[1:])}

        kinds = {"covisit": pairs_of(dense[:1]), "words": pairs_of(dense[3:])}
        evidence, columns = ItemEvidence(kinds, newest=3, training=training).double(), Columns(WIDTH)
        whole = ItemEvidence({"covisit": pairs_of(dense), "words": pairs_of(dense[3:])}, newest=3).double()
        assert torch.equal(shown(evidence(recent_of(), columns)), shown(whole(recent_of(), columns))) and not made
        for _ in range(2):
            arguments = recent_of(users=USERS), columns
            assert torch.equal(shown(evidence(*arguments)), shown(whole(*arguments))) and made == [1]
        assert torch.equal(shown(evidence(recent_of(), columns)), shown(whole(recent_of(), columns)))

    def test_what_was_learned_can_be_forgotten(self, dense):
        evidence = ItemEvidence({"words": pairs_of(dense), "covisit": pairs_of(dense, 5.0)}, newest=3).float()
        start = {name: value.clone() for name, value in evidence.state_dict().items()}
        with torch.no_grad():
            for parameter in evidence.parameters():
                parameter.add_(1.0)
        evidence.reset()
        assert all(torch.equal(value, start[name]) for name, value in evidence.state_dict().items())
