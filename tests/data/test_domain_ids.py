"""Ids of joined datasets carry their domain, and one file names the domains."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_mpo.data.domain_ids import domain_of, joined_id, read_domains


@given(st.integers(0, 99), st.text(max_size=9))
def test_an_id_tells_its_domain_whatever_the_token(domain, token):
    assert domain_of(joined_id(domain, token)) == domain
    assert joined_id(domain, token) == f"{domain}-{token}"


@pytest.mark.parametrize("content, domains", [("Food,Home,CDs", ["Food", "Home", "CDs"]), ("One\n", ["One"])])
def test_domains_are_named_in_order(tmp_path, content, domains):
    (tmp_path / "FHC").mkdir()
    (tmp_path / "FHC" / "FHC.pt_datasets").write_text(content)
    assert read_domains(tmp_path, "FHC") == domains


def test_a_dataset_of_one_domain_is_its_own(tmp_path):
    assert read_domains(tmp_path, "Pantry") == ["Pantry"]
