"""The users of ml-100k: RecBole's columns without the zip code, and groups of age."""

import pytest

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare.ml100k import prepare_ml100k
from recbole_mpo.data.prepare.ml100k_users import USERS_HEADER, age_group, user_lines

HEADER = "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token"


def test_there_is_a_line_of_each_user(tmp_path):
    lines = (prepare_ml100k(tmp_path) / "ml-100k.user").read_text(encoding="utf-8").splitlines()
    assert lines[:2] == [USERS_HEADER, "1\t24\t18-24\tM\ttechnician"]
    columns = list(zip(*(line.split("\t") for line in lines[1:]), strict=True))
    assert len(set(columns[0])) == 943
    assert sorted(set(columns[2])) == ["18-24", "25-34", "35-44", "45-49", "50-55", "56+", "under 18"]
    assert (columns[3].count("M"), columns[3].count("F"), len(set(columns[4]))) == (670, 273, 21)


@pytest.mark.parametrize(
    ("age", "group"),
    [(7, "under 18"), (17, "under 18"), (18, "18-24"), (24, "18-24"), (25, "25-34"), (49, "45-49"), (55, "50-55")]
    + [(56, "56+"), (73, "56+")],
)
def test_ages_are_grouped_as_in_movielens_1m(age, group):
    assert age_group(age) == group


def test_zip_codes_are_left_out(tmp_path):
    assert user_lines(f"{HEADER}\n5\t33\tF\tother\t15213\n", tmp_path)[1:] == ["5\t33\t25-34\tF\tother"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user_id:token\n", "line 1: expected the header"),
        (f"{HEADER}\n1\t24\tM\n", "line 2: expected 5 columns with an age in years"),
        (f"{HEADER}\n1\told\tM\tother\t1\n", "line 2: expected 5 columns with an age in years"),
    ],
)
def test_another_format_is_named(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        user_lines(content, tmp_path / "ml-100k.user")
