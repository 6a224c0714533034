"""Several datasets as one keep every user's history, and the domain of everything."""

from collections import Counter

import pytest

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.data.domain_ids import domain_of, read_domains
from recbole_mpo.data.histories import read_dataset_histories
from recbole_mpo.data.prepare.joined_domains import prepare_domains
from recbole_mpo.text.item_text import read_dataset_text


@pytest.fixture
def data_path(tmp_path, make_dataset):
    for seed, name in enumerate(("one", "two")):
        make_dataset(tmp_path, name, users=10 + seed, items=20, seed=seed)
    return tmp_path


def test_ids_carry_their_domain_and_histories_stay(data_path):
    folder, total = prepare_domains("both", ["two", "one"], data_path)
    whole = read_dataset_histories(data_path, "both")
    assert read_domains(data_path, "both") == ["two", "one"] and read_domains(data_path, "one") == ["one"]
    assert {domain_of(token) for token in [*whole.user_tokens, *whole.item_tokens]} == {0, 1}
    pairs = Counter(zip(whole.user_tokens[whole.users], whole.item_tokens[whole.items], strict=True))
    for number, name in enumerate(("two", "one")):
        one = read_dataset_histories(data_path, name)
        names = zip(one.user_tokens[one.users], one.item_tokens[one.items], strict=True)
        expected = Counter((f"{number}-{user}", f"{number}-{item}") for user, item in names)
        assert {pair: count for pair, count in pairs.items() if domain_of(pair[0]) == number} == expected
    assert total.users == 21 and total.interactions == len(whole.items)
    both, one = (read_dataset_text(path) for path in (folder / "both.text", data_path / "one" / "one.text"))
    assert both.texts[both.tokens.index("1-i7")] == one.texts[one.tokens.index("i7")]
    assert "| 0 | two | 11 |" in (folder / "README.md").read_text()


@pytest.mark.parametrize("domains", [["one"], ["one", "one"], ["one", "both"]])
def test_domains_must_be_several_different_others(data_path, domains):
    with pytest.raises(ConfigError, match="two or more different datasets"):
        prepare_domains("both", domains, data_path)


def test_a_missing_domain_or_text_is_named(data_path):
    with pytest.raises(DataError, match="'three' not found"):
        prepare_domains("both", ["one", "three"], data_path)
    (data_path / "two" / "two.text").unlink()
    with pytest.raises(DataError, match=r"two\.text: cannot read the item texts"):
        prepare_domains("both", ["one", "two"], data_path)
    assert not (data_path / "both").exists()
