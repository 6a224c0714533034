"""Which runs stand together: what must agree, and what a message says of it. Tables: test_table.py."""

import pytest
from report_runs import make_record

from recbole_mpo.common.errors import RecordError
from recbole_mpo.study.protocol import check_protocol, check_same_evaluation, eval_history


def runs(**changes):
    return [(make_record(), "first"), (make_record(), "second"), (make_record(**changes), "third")]


CHANGES = [
    ({"dataset": "other"}, "the dataset: 'tiny' in first, 'other' in third"),
    ({"data__files": {"tiny.inter": "cc"}}, "the interaction files"),
    ({"data__item_num": 30}, "the number of candidate items: 31 in first, 30 in third"),
    ({"data__targets": {"valid": 120, "test": 119}}, "the number of targets"),
    ({"data__test_pairs": "ee"}, "the test pairs: 'dd' in first, 'ee' in third"),
    ({"config__eval_args": {"mode": "uni100"}}, "the split"),
    ({"config__MAX_ITEM_LIST_LENGTH": 20}, "the longest history: 50 in first, 20 in third"),
    ({"config__eval_mode": "recbole"}, "eval_mode: None in first, 'recbole' in third"),
    ({"config__eval_history": "masked"}, "eval_history: 'kept' in first, 'masked' in third"),
]


@pytest.mark.parametrize(("changes", "part"), CHANGES)
def test_a_report_refuses_another_evaluation_and_names_it(changes, part):
    check_same_evaluation(runs())
    with pytest.raises(RecordError) as caught:
        check_same_evaluation(runs(**changes))
    assert f"the records differ in {part}" in str(caught.value)
    assert "one report. Leave one of them out" in str(caught.value) and "--mix" not in str(caught.value)


def sharded(manifest, **data):
    """A record of a run on shards."""
    record = make_record(data__files={"tiny.shards/manifest.json": manifest, "tiny.text": "bb"})
    record["data"].update(data)
    return record


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (sharded("m1", rows_hash="r1"), sharded("m1", rows_hash="r2")),
        (sharded("m1"), sharded("m2")),
        (sharded("m1"), sharded("m1", rows_hash="r1")),
    ],
)
def test_shards_of_other_rows_are_refused(first, second):
    with pytest.raises(RecordError, match="the records differ in the rows of the shards: .* in first, .* in second"):
        check_same_evaluation([(make_record(), "text"), (first, "first"), (second, "second")])


@pytest.mark.parametrize("mix", [True, False])
def test_shards_stand_beside_each_other_and_the_text_file_with_the_same_test_pairs(mix):
    parts = [(sharded(manifest, rows_hash="r1"), manifest) for manifest in ("m1", "m2")]
    check_protocol([*parts, (make_record(), "text")], mix=mix, paired=True)
    other = make_record(data__test_pairs="ee")
    with pytest.raises(RecordError, match="differ in the test pairs: 'dd' in m1, 'ee' in text"):
        check_protocol([*parts, (other, "text")], mix=mix, paired=True)


@pytest.mark.parametrize("item_input", ["id", "text+id", "none"])
def test_a_report_may_hold_several_inputs_and_a_table_only_by_choice(item_input):
    both = runs(item_input=item_input)
    check_same_evaluation(both)
    check_protocol(both, mix=True, paired=True)
    if item_input == "none":
        check_protocol(both, mix=False, paired=True)
    else:
        with pytest.raises(RecordError, match="differ in item_input: 'text' in first"):
            check_protocol(both, mix=False, paired=False)


def test_a_run_that_failed_before_its_data_were_read_stands_beside_every_other():
    check_same_evaluation(runs(data={}, dataset="other"))


def test_a_record_without_the_setting_kept_the_history():
    assert [eval_history(make_record(config__eval_history=value)) for value in (None, "kept", "masked")] == [
        *("kept", "kept"),
        "masked",
    ]
