"""The routes: what goes in, what comes out, and one form of all errors."""

import json
import random
import threading

import pytest

from recbole_mpo.release.serving.kept_items import KeptItems
from recbole_mpo.release.serving.limits import Limits
from recbole_mpo.release.serving.served_model import ServedModel

pytest.importorskip("fastapi", reason="needs the extra [serve]")
pytest.importorskip("prometheus_client", reason="needs the extra [serve]")


class TestRecommend:
    def test_items_come_with_titles_scores_and_their_parts(self, client, stand_in):
        found = client("/recommend", {"history": ["i3", "i5"], "k": 4}).json
        assert found["model"] == "shop" and len(found["items"]) == 4
        for item in found["items"]:
            assert item["title"] == stand_in.titles[item["item"]]
            assert item["why"] == stand_in.parts(["i3", "i5"], item["item"])
            assert item["score"] == pytest.approx(sum(item["why"].values()))
        assert [item["item"] for item in found["items"]] == ["i1", "i7", "i9", "i11"]

    def test_texts_may_be_part_of_a_history(self, client):
        found = client("/recommend", {"history": [{"text": "a blue thing"}], "k": 1}).json
        assert found["items"][0]["item"] == "i0"

    def test_excluded_items_are_left_out_and_k_is_kept(self, client):
        found = client("/recommend", {"history": ["i3"], "k": 3, "exclude": ["i1", "i7", "gone"]}).json
        assert [item["item"] for item in found["items"]] == ["i5", "i9", "i11"]

    @pytest.mark.parametrize(
        "wanted, items",
        [
            ({"title_contains": "BLUE"}, ["i0", "i2"]),
            ({"items": ["i4", "gone", "i9"]}, ["i9", "i4"]),
            ({"items": ["i4", "i9"], "title_contains": "blue"}, ["i4"]),
            ({"title_contains": "green"}, []),
            (None, ["i1", "i5"]),
        ],
    )
    def test_a_filter_says_what_may_be_recommended(self, client, wanted, items):
        found = client("/recommend", {"history": ["i3"], "k": 2, "filter": wanted}).json
        assert [item["item"] for item in found["items"]] == items

    def test_reasons_can_be_left_out(self, client):
        (item,) = client("/recommend", {"history": ["i3"], "k": 1, "why": False}).json["items"]
        assert set(item) == {"item", "title", "score"}

    def test_models_are_asked_by_name(self, served, client_of, tmp_path):
        from recbole_mpo.release.serving.app import make_app

        other = ServedModel("small", type(served.recommender)(3), KeptItems(tmp_path / "small.jsonl"))
        client = client_of(make_app([served, other], is_local=True))
        found = client("/recommend", {"history": ["i1"], "k": 50, "model": "small"}).json
        assert found["model"] == "small" and {item["item"] for item in found["items"]} == {"i0", "i2"}
        names = [(row["name"], row["default"], row["items"]) for row in client("/models").json["models"]]
        assert names == [("shop", True, 20), ("small", False, 3)]
        error = client("/recommend", {"history": ["i1"], "model": "smal"}).error
        assert (error["code"], error["field"]) == ("unknown_model", "model") and "'small'" in error["message"]


class TestItems:
    def test_added_items_are_ranked_searched_and_part_of_histories(self, client):
        added = client("/items", {"items": [{"item": "new", "text": "green chair"}]})
        assert added.json == {"added": 1, "items": 21}
        found = client("/recommend", {"history": [{"text": "green"}], "k": 1}).json["items"]
        assert [item["item"] for item in found] == ["new"]
        assert client("/items?query=chair").json == {"items": [{"item": "new", "title": "green chair"}]}
        assert client("/recommend", {"history": ["new"], "k": 100}).status == 200
        assert client("/models").json["models"][0]["added"] == 1

    def test_the_same_request_twice_does_what_it_says(self, client, served):
        body = {"items": [{"item": "new", "text": "green chair"}]}
        assert [client("/items", body).json["items"] for _ in range(2)] == [21, 21]
        assert served.kept.path.read_text(encoding="utf-8").count("\n") == 1

    def test_an_item_of_the_model_is_not_replaced(self, client):
        answer = client("/items", {"items": [{"item": "fresh", "text": "x"}, {"item": "i3", "text": "y"}]})
        assert answer.status == 409
        assert (answer.error["code"], answer.error["field"]) == ("item_exists", "items.1.item")
        assert client("/models").json["models"][0]["items"] == 20

    def test_recommendations_go_on_while_items_are_added(self, client, stand_in):
        from concurrent.futures import ThreadPoolExecutor

        begun, gate, add = threading.Event(), threading.Event(), stand_in.add_items

        def add_slowly(texts):
            begun.set()
            assert gate.wait(20)
            add(texts)

        stand_in.add_items = add_slowly
        with ThreadPoolExecutor(1) as pool:
            added = pool.submit(client, "/items", {"items": [{"item": "new", "text": "green chair"}]})
            assert begun.wait(20)
            assert client("/recommend", {"history": ["i1"]}).status == 200
            assert client("/recommend", {"history": ["new"]}).error["code"] == "unknown_item"
            gate.set()
            assert added.result(20).json == {"added": 1, "items": 21}
        assert client("/recommend", {"history": ["new"]}).status == 200

    def test_a_search_without_words_shows_the_first_items(self, client):
        assert [item["item"] for item in client("/items?limit=2").json["items"]] == ["i0", "i1"]


class TestErrors:
    @pytest.mark.parametrize(
        "body, status, code, field",
        [
            ("{", 400, "invalid_json", None),
            ("", 400, "invalid_json", None),
            ('{"history": ["i1"], "k": NaN}', 400, "invalid_json", None),
            ('{"history": ["i1"], "k": Infinity}', 400, "invalid_json", None),
            ('{"history": ["i1"], "k": 1e999}', 422, "invalid_request", "k"),
            ('{"history": ["i1"], "k": 1' + "0" * 5000 + "}", 400, "invalid_json", None),
            ("[" * 100_000, 400, "invalid_json", None),
            ('{"history": ' + "[" * 500 + "]" * 500 + "}", 422, "invalid_request", "history.0"),
            ('{"history": ["\\ud800"]}', 422, "invalid_request", "history.0"),
            (b'{"history": ["\xff"]}', 400, "invalid_json", None),
            ("[]", 422, "invalid_request", None),
            ("null", 422, "invalid_request", None),
            ('{"k": 3}', 422, "invalid_request", "history"),
            ('{"history": []}', 422, "invalid_request", "history"),
            ('{"history": "i1"}', 422, "invalid_request", "history"),
            ('{"history": [7]}', 422, "invalid_request", "history.0"),
            ('{"history": [""]}', 422, "invalid_request", "history.0"),
            ('{"history": ["i1", {"text": ""}]}', 422, "invalid_request", "history.1.text"),
            ('{"history": ["i1", {"txt": "a"}]}', 422, "invalid_request", "history.1.text"),
            ('{"history": ["i1"], "k": "3"}', 422, "invalid_request", "k"),
            ('{"history": ["i1"], "k": 2.5}', 422, "invalid_request", "k"),
            ('{"history": ["i1"], "k": true}', 422, "invalid_request", "k"),
            ('{"history": ["i1"], "k": 0}', 422, "invalid_request", "k"),
            ('{"history": ["i1"], "k": 1001}', 422, "too_large", "k"),
            ('{"history": ["i1"], "topk": 3}', 422, "invalid_request", "topk"),
            ('{"history": ["i1"], "filter": {"title": "a"}}', 422, "invalid_request", "filter.title"),
            ('{"history": ["i1"], "filter": {"items": []}}', 422, "invalid_request", "filter.items"),
            ('{"history": ["i1"], "filter": {"items": ["zz"]}}', 422, "unknown_item", "filter.items.0"),
            ('{"history": ["i1", "j2"]}', 422, "unknown_item", "history.1"),
            (json.dumps({"history": ["i1"] * 1001}), 422, "too_large", "history"),
            (json.dumps({"history": [{"text": "a" * 10_001}]}), 422, "too_large", "history.0.text"),
            (json.dumps({"history": ["i1"], "exclude": ["i1"] * 10_001}), 422, "too_large", "exclude"),
            (b'{"history": ["' + b"a" * (1 << 20), 413, "too_large", None),
        ],
    )
    def test_bad_requests_name_what_is_wrong(self, client, body, status, code, field):
        answer = client("/recommend", body if isinstance(body, bytes) else body.encode())
        assert (answer.status, answer.error["code"], answer.error["field"]) == (status, code, field)

    @pytest.mark.parametrize(
        "items, code, field",
        [
            ([], "invalid_request", "items"),
            ([{"item": "a"}], "invalid_request", "items.0.text"),
            ([{"item": "", "text": "x"}], "invalid_request", "items.0.item"),
            ([{"item": "a", "text": "x"}, {"item": "a", "text": "y"}], "invalid_request", "items.1.item"),
            ([{"item": "a", "text": "x" * 10_001}], "too_large", "items.0.text"),
            ([{"item": str(number), "text": "x"} for number in range(101)], "too_large", "items"),
        ],
    )
    def test_bad_items_are_not_added(self, client, items, code, field):
        error = client("/items", {"items": items}).error
        assert (error["code"], error["field"]) == (code, field)
        assert client("/models").json["models"][0]["added"] == 0

    def test_an_unknown_token_comes_with_a_suggestion(self, client):
        message = client("/recommend", {"history": ["i1", "I17"]}).error["message"]
        assert message == "history.1: unknown item 'I17' (did you mean 'i17'?)"

    @pytest.mark.parametrize(
        "path, method, status, code",
        [
            ("/recommendations", "GET", 404, "not_found"),
            ("/docs", "GET", 404, "not_found"),
            ("/models/", "GET", 404, "not_found"),
            ("/%ff%00", "GET", 404, "not_found"),
            ("/recommend", "GET", 405, "method_not_allowed"),
            ("/items", "DELETE", 405, "method_not_allowed"),
            ("/items?limit=0", "GET", 422, "invalid_request"),
            ("/items?limit=x", "GET", 422, "invalid_request"),
            ("/items?model=x", "GET", 422, "unknown_model"),
        ],
    )
    def test_wrong_paths_methods_and_queries(self, client, path, method, status, code):
        answer = client(path, method=method)
        assert (answer.status, answer.error["code"]) == (status, code)

    def test_what_fails_inside_is_told_without_its_trace(self, client, caplog):
        answer = client("/recommend", {"history": [{"text": "broken"}]})
        assert answer.status == 500 and answer.error["code"] == "internal"
        assert "AssertionError" in caplog.text

    def test_two_hundred_malformed_requests_get_an_error_each(self, client):
        draw = random.Random(3)
        whole = b'{"history": ["i1", {"text": "a lamp"}], "k": 3, "exclude": ["i2"], "filter": {"items": ["i4"]}}'
        statuses = set()
        for _ in range(200):
            content = bytearray(whole)
            for _ in range(draw.randint(1, 4)):
                place = draw.randrange(len(content))
                content[place : place + draw.randint(0, 6)] = draw.randbytes(draw.randint(0, 4))
            answer = client(draw.choice(["/recommend", "/items"]), bytes(content))
            assert answer.status in (200, 400, 422), content
            if answer.status != 200:
                assert answer.error["message"], content
            statuses.add(answer.status)
        assert {400, 422} <= statuses
        assert client("/recommend", {"history": ["i1"]}).status == 200


class TestState:
    def test_health(self, client):
        assert client("/health").json == {"status": "ok"}

    def test_the_description_is_whole_and_names_the_form_of_errors(self, client):
        described = client("/openapi.json").json
        assert set(described["paths"]) == {"/recommend", "/items", "/models", "/health", "/metrics"}
        references = set(json.dumps(described).split('"#/components/schemas/')[1:])
        names = {reference.partition('"')[0] for reference in references}
        assert {"RecommendBody", "ErrorBody", "Filter"} <= names <= set(described["components"]["schemas"])

    def test_measurements_count_routes_statuses_batches_and_items(self, client):
        client("/recommend", {"history": ["i1"]})
        client("/recommend", {"history": ["zz"]})
        client("/made-up-by-a-client")
        text = client("/metrics").body.decode()
        for line in (
            'recbole_mpo_requests_total{route="/recommend",status="200"} 1.0',
            'recbole_mpo_requests_total{route="/recommend",status="422"} 1.0',
            'recbole_mpo_requests_total{route="other",status="404"} 1.0',
            'recbole_mpo_request_seconds_count{route="/recommend"} 2.0',
            'recbole_mpo_batch_size_count{model="shop"} 2.0',
            'recbole_mpo_queue_length{model="shop"} 0.0',
            'recbole_mpo_items{model="shop"} 20.0',
        ):
            assert line in text.splitlines()
        assert "made-up" not in text

    def test_a_full_queue_is_told_with_the_time_to_try_again(self, served, stand_in, client_of):
        from concurrent.futures import ThreadPoolExecutor

        from recbole_mpo.release.serving.app import make_app

        client = client_of(make_app([served], Limits(max_queue=2, max_batch=1)))
        stand_in.gate.clear()
        with ThreadPoolExecutor(8) as pool:
            answers = [pool.submit(client, "/recommend", {"history": ["i1"]}) for _ in range(8)]
            # One is being answered and two wait.
            full = [answer.result(20) for answer in answers if _is_refused(answer)]
            stand_in.gate.set()
            assert [answer.result(20).status for answer in answers].count(200) == 3
        assert len(full) == 5
        assert {(answer.status, answer.error["code"], answer.headers["Retry-After"]) for answer in full} == {
            (503, "busy", "1")
        }

    def test_a_request_that_takes_too_long_is_given_up(self, served, stand_in, client_of):
        from recbole_mpo.release.serving.app import make_app

        client = client_of(make_app([served], Limits(timeout=0.1)))
        stand_in.gate.clear()
        answer = client("/recommend", {"history": ["i1"]})
        stand_in.gate.set()
        assert (answer.status, answer.error["code"]) == (504, "timeout")
        assert client("/recommend", {"history": ["i1"]}).status == 200


def _is_refused(answer) -> bool:
    """Whether a request was refused; those that are accepted wait for the gate."""
    try:
        return answer.result(1).status == 503
    except TimeoutError:
        return False
