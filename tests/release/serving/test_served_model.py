"""Requests that are answered together do not change each other."""

import pytest

from recbole_mpo.common.errors import DataError
from recbole_mpo.release.new_items import NewText
from recbole_mpo.release.serving.kept_items import KeptItems
from recbole_mpo.release.serving.limits import RequestError
from recbole_mpo.release.serving.served_model import NewItems, Search, ServedModel, Wish


def tokens(answer):
    return [row["item"] for row in answer]


WISHES = [
    Wish(("i3",), 5),
    Wish(("i4", "i6"), 7, exclude=("i0",)),
    Wish((NewText("blue lamp"),), 1, has_why=False),
    Wish(("i3",), 5, exclude=tuple(f"i{number}" for number in range(0, 20, 2))),
    Wish(("i3",), 5, title="blue"),
    Wish(("i3",), 5, among=("i4", "i1")),
    Wish(("i3",), 300),
]


def test_together_is_as_alone(served, stand_in):
    alone = [served.answer([wish])[0] for wish in WISHES]
    stand_in.calls.clear()
    assert served.answer(WISHES) == alone
    # Those of the same filter and a like size share a call.
    assert sorted(stand_in.calls) == [1, 1, 1, 4]
    assert tokens(alone[3]) == ["i1", "i5", "i7", "i9", "i11"]
    assert len(alone[6]) == 19


def test_one_that_cannot_be_answered_does_not_take_the_others_with_it(served):
    wishes = [Wish(("i3",), 2), Wish((NewText("broken"),), 2), Wish(("zz",), 2), Wish(("i4",), 2)]
    first, broken, unknown, last = served.answer(wishes)
    assert tokens(first) == ["i1", "i5"] and tokens(last) == ["i0", "i2"]
    assert isinstance(broken, AssertionError)
    assert isinstance(unknown, RequestError) and unknown.field == "history.0"


def test_searches_and_additions_stand_in_a_batch_as_well(served):
    answers = served.answer([Search("lamp 1", 3), NewItems({"new": "x"}), Wish(("new",), 1), Search("", 1)])
    assert [row["item"] for row in answers[0]] == ["i1", "i10", "i11"]
    assert answers[1] == {"added": 1, "items": 21} and len(answers[2]) == 1
    assert answers[3] == [{"item": "i0", "title": "blue lamp 0"}]


def test_added_items_are_there_after_a_restart(served, tmp_path):
    served.answer([NewItems({"new": "green chair", "newer": "green table"})])
    served.close()
    again = ServedModel("shop", type(served.recommender)(), KeptItems(tmp_path / "shop.items.jsonl"))
    assert (again.items, again.added_items) == (22, 2)
    assert tokens(again.answer([Wish((NewText("green"),), 2)])[0]) == ["new", "newer"]


def test_an_item_that_the_model_has_by_now_is_not_added_again(served, tmp_path, caplog):
    served.answer([NewItems({"i20": "green chair"})])
    served.close()
    again = ServedModel("shop", type(served.recommender)(30), KeptItems(tmp_path / "shop.items.jsonl"))
    assert (again.items, again.added_items) == (30, 0)
    assert "1 of the items" in caplog.text


def test_an_item_that_cannot_be_kept_is_told_and_kept_later(served, monkeypatch):
    new = NewItems({"new": "green chair"})

    def fail(texts):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(served.kept, "write", fail)
        (problem,) = served.answer([new])
    assert (problem.status, problem.code) == (500, "not_kept") and "No space left" in problem.message
    assert not served.kept.path.exists()
    assert served.answer([new]) == [{"added": 1, "items": 21}]
    assert KeptItems(served.kept.path).texts == new.texts


@pytest.mark.parametrize("token, hint", [("I7", "'i7'"), ("i77", "'i7'"), ("completely different", None)])
def test_a_misspelt_token_comes_with_a_like_one(served, token, hint):
    (problem,) = served.answer([Wish((token,))])
    assert (hint is None) == ("did you mean" not in problem.message)
    assert hint is None or hint in problem.message


def test_the_file_stands_beside_the_folder_or_where_it_is_told(stand_in, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "recbole_mpo.release.recommend.Recommender.from_pretrained", lambda folder: stand_in, raising=False
    )
    folder = tmp_path / "models" / "small"
    folder.mkdir(parents=True)
    assert ServedModel.open("shop", folder, None).kept.path == tmp_path / "models" / "small.items.jsonl"
    assert ServedModel.open("shop", folder, tmp_path).kept.path == tmp_path / "shop.items.jsonl"


def test_a_model_that_takes_no_texts_is_served_without(served, stand_in, caplog):
    served.warm_up()
    assert stand_in.calls == [1] and not caplog.text
    stand_in.recommend = lambda *_, **__: raised(DataError("needs ids"))
    served.warm_up()
    assert "shop takes no new texts: needs ids" in caplog.text


def raised(problem):
    raise problem
