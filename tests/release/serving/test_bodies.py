"""Bodies of requests, turned into what a model is asked."""

import pytest

from recbole_mpo.release.new_items import NewText
from recbole_mpo.release.serving.bodies import ItemsBody, RecommendBody
from recbole_mpo.release.serving.limits import Limits, RequestError
from recbole_mpo.release.serving.served_model import NewItems, Wish


def wish_of(limits=None, **content):
    return RecommendBody.model_validate(content).as_wish(limits or Limits())


def test_a_body_becomes_a_wish():
    assert wish_of(history=["a"]) == Wish(("a",))
    whole = wish_of(
        history=["a", {"text": "b"}], k=3, exclude=["c"], filter={"items": ["d"], "title_contains": "e"}, why=False
    )
    assert whole == Wish(("a", NewText("b")), 3, ("c",), "e", ("d",), False)


def test_items_become_texts_by_token():
    body = ItemsBody.model_validate({"items": [{"item": "a", "text": "x"}, {"item": "b", "text": "y"}]})
    assert body.as_new_items(Limits()) == NewItems({"a": "x", "b": "y"})


@pytest.mark.parametrize(
    "limits, field",
    [
        (Limits(history=1), "history"),
        (Limits(text_length=0), "history.1.text"),
        (Limits(k=9), "k"),
        (Limits(tokens=0), "exclude"),
    ],
)
def test_each_limit_is_named_by_its_field(limits, field):
    if field == "exclude":
        content = {"history": ["a"], "exclude": ["b"]}
    else:
        content = {"history": ["a", {"text": "b"}]}
    with pytest.raises(RequestError) as caught:
        wish_of(limits, **content)
    assert caught.value.field == field
