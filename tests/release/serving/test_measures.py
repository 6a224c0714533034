"""Measurements in Prometheus' form."""

import pytest

pytest.importorskip("prometheus_client", reason="needs the extra [serve]")


def test_servers_in_one_process_count_apart():
    from recbole_mpo.release.serving.measures import Measures

    first, second = Measures(), Measures()
    first.answered("/recommend", 200, 0.004)
    line = 'recbole_mpo_requests_total{route="/recommend",status="200"} 1.0'
    assert line in first.as_text().decode() and line not in second.as_text().decode()
    assert 'recbole_mpo_request_seconds_bucket{le="0.005",route="/recommend"} 1.0' in first.as_text().decode()


def test_items_and_queues_are_read_when_they_are_asked_for(served):
    from recbole_mpo.release.serving.measures import Measures

    measures, queue = Measures(), []
    measures.watch("shop", served, [queue, [3]])
    queue += [1, 2]
    text = measures.as_text().decode()
    assert 'recbole_mpo_queue_length{model="shop"} 3.0' in text and 'recbole_mpo_items{model="shop"} 20.0' in text
    assert "process_resident_memory_bytes" in text
