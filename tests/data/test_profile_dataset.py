"""Users and their classes: who is in which part, which items a row has, and what a file of users must hold."""

import hashlib

import numpy as np
import pytest
from data.profiles import write_users
from model.baselines.peterrec_runs import small_settings
from support import built_run

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.profile_dataset import part_of, profile_statistics
from recbole_mpo.data.sequences import training_windows


@pytest.fixture
def make(tiny_settings, tiny_path):
    """Builds a run on classes of the users of ``tiny``."""
    write_users(tiny_path)
    settings = {**small_settings(tiny_settings), "train_stage": "finetune", "finetune_mode": "PeterZero"}

    def build(column="shelf", dataset="tiny", **changes):
        return built_run("PeterRec", dataset, (), {**settings, "user_profile": column, **changes})

    return build


def users_of(split):
    return split.id2token("user_id", split.inter_feat["user_id"].numpy()).tolist()


class TestParts:
    def test_a_part_follows_from_the_token_alone(self):
        """Seven, one and two of ten; golden values, so that it is the same in all versions."""
        assert [part_of(f"u{number}") for number in range(8)] == [2, 0, 0, 2, 2, 0, 0, 0]
        counts = np.bincount([part_of(str(number)) for number in range(10_000)])
        np.testing.assert_allclose(counts / 10_000, [0.7, 0.1, 0.2], atol=0.02)
        number = int.from_bytes(hashlib.sha256("é".encode()).digest()[:8], "big") % 10
        assert part_of("é") == (0 if number < 7 else 1 if number == 7 else 2)

    def test_they_are_disjoint_and_the_same_for_all_columns_and_seeds(self, make):
        parts = [users_of(split) for split in make().splits]
        assert sorted(sum(parts, [])) == sorted(f"u{user}" for user in range(40))
        for other in (make("sex"), make(seed=3)):
            assert [sorted(users_of(split)) for split in other.splits] == [sorted(part) for part in parts]

    def test_more_users_move_nobody(self, make, tiny_path, make_dataset):
        make_dataset(tiny_path, "more", users=60, seed=2)
        write_users(tiny_path, "more", users=60)
        few, many = make().splits, make(dataset="more").splits
        assert all(set(users_of(part)) <= set(users_of(larger)) for part, larger in zip(few, many, strict=True))

    def test_shares_of_the_users_to_train_on_are_nested_and_leave_the_others(self, make):
        whole, half, few = (make(train_users=share).splits for share in (1.0, 0.5, 0.2))
        assert set(users_of(few[0])) < set(users_of(half[0])) < set(users_of(whole[0]))
        assert [users_of(split) for split in few[1:]] == [users_of(split) for split in whole[1:]]


class TestRows:
    @pytest.mark.parametrize("longest", [50, 4])
    def test_a_row_has_the_newest_items_of_a_user_and_the_class(self, make, tiny_path, longest):
        built = make(MAX_ITEM_LIST_LENGTH=longest)
        lines = [line.split("\t") for line in (tiny_path / "tiny" / "tiny.inter").read_text().splitlines()[1:]]
        lines.sort(key=lambda line: int(line[2]))
        dataset = built.dataset
        assert dataset.field2id_token["shelf"].tolist() == ["[PAD]", "low", "middle", "top"]
        for split in built.splits:
            rows = split[np.arange(len(split))]
            for number, user in enumerate(users_of(split)):
                length = int(rows["item_length"][number])
                items = dataset.id2token("item_id", rows["item_id_list"][number, :length].numpy()).tolist()
                assert items == [item for name, item, _ in lines if name == user][-longest:]
                expected = ("top", "middle", "low")[int(user[1:]) % 3]
                assert dataset.id2token("shelf", int(rows["item_id"][number])) == expected

    def test_a_batch_predicts_a_class_after_each_history(self, make):
        built = make()
        train = built.splits[0]
        windows = training_windows(train.rows(), 50)
        assert (windows.targets == 1).all() and len(windows) == len(train)
        seen = {}
        for batch in built.loaders[0]:
            ends = batch.positions.flatten()[batch.predicting]
            seen |= {user: (int(end) + 1, target) for user, end, target in zip(
                batch.users.tolist(), ends, batch.targets.tolist(), strict=True)}  # fmt: skip
        users, lengths = (train.inter_feat[field].tolist() for field in ("user_id", "item_length"))
        assert seen == dict(zip(users, zip(lengths, train.classes().tolist(), strict=True), strict=True))

    def test_users_without_a_class_are_left_out_and_counted(self, make, tiny_path, caplog):
        write_users(tiny_path, absent=(3, 7))
        left = {user for split in make().splits for user in users_of(split)}
        assert left == {f"u{user}" for user in range(40)} - {"u3", "u7"}
        assert "2 of 40 users have no shelf in tiny.user and are left out" in caplog.text

    def test_of_a_repeated_user_the_first_line_counts(self, make, tiny_path):
        path = write_users(tiny_path)
        path.write_text(path.read_text() + "u1\ttop\tM\t20\tyes\n")
        built = make()
        counts = profile_statistics(built.dataset, built.splits)["classes"]
        assert counts == {"low": 13, "middle": 13, "top": 14}

    def test_statistics_say_what_the_largest_class_would_get(self, make):
        built = make("sex")
        facts = profile_statistics(built.dataset, built.splits)
        assert (facts["column"], facts["classes"]) == ("sex", {"F": 20, "M": 20})
        numbers = [["MF"[int(user[1:]) % 2] for user in users_of(split)] for split in built.splits]
        largest = max("FM", key=numbers[0].count)
        assert facts["majority"] == {
            "class": largest,
            "valid": numbers[1].count(largest) / len(numbers[1]),
            "test": numbers[2].count(largest) / len(numbers[2]),
        }
        assert built.splits[0].target_popularity().tolist() == [0, numbers[0].count("F"), numbers[0].count("M")]


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("column", "message"),
        [
            ("hat", r"tiny.user has no column 'hat:token' for user_profile .* columns of classes are shelf, sex, same"),
            ("age", r"tiny.user has no column 'age:token' for user_profile"),
            ("user_id", r"tiny.user has no column 'user_id:token' for user_profile beside user_id"),
            ("same", "same has 1 different values for the users of tiny; there is nothing to predict"),
        ],
    )
    def test_a_column_without_classes_is_named(self, make, column, message):
        with pytest.raises(DataError, match=message):
            make(column).splits  # noqa: B018

    def test_an_absent_file_is_named(self, make, tiny_path):
        (tiny_path / "tiny" / "tiny.user").unlink()
        with pytest.raises(DataError, match="tiny.user, which does not exist: write a file with the col"):
            make().splits  # noqa: B018

    def test_a_part_without_users_is_named(self, make, tiny_path):
        write_users(tiny_path, absent=range(4, 40))
        with pytest.raises(DataError, match="tiny has too few users whose shelf is known"):
            make().splits  # noqa: B018
