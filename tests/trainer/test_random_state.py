"""The random generators as plain data: put back, they draw what they would have drawn."""

import random

import numpy as np
import pytest
import torch

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.trainer import random_state

CPU = torch.device("cpu")


def test_random_generators_come_back():
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    np.random.normal()  # leaves a second normal waiting in NumPy's state
    state = random_state.rng_state(CPU)
    expected = (torch.rand(3).tolist(), np.random.normal(size=3).tolist(), random.random())
    random_state.restore_rng_state(state, CPU, "last.pth")
    assert (torch.rand(3).tolist(), np.random.normal(size=3).tolist(), random.random()) == expected


@pytest.mark.parametrize("waiting", [False, True])
def test_they_come_back_through_a_file_that_runs_no_code(tmp_path, waiting):
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    if waiting:
        np.random.normal(), random.gauss(0, 1)  # each leaves a second normal waiting
    torch.save(random_state.rng_state(CPU), tmp_path / "state.pth")

    def draws():
        return (
            *(random.random(), random.gauss(0, 1)),
            *(np.random.normal(), np.random.randint(10**9), np.random.permutation(9).tolist()),
            *(torch.rand(3).tolist(), torch.randperm(9).tolist()),
        )

    expected = draws()
    random.seed(4), np.random.seed(4), torch.manual_seed(4)
    random_state.restore_rng_state(torch.load(tmp_path / "state.pth", weights_only=True), CPU, "last.pth")
    assert draws() == expected


def test_taking_the_state_draws_nothing():
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    random_state.rng_state(CPU)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected


def test_the_state_is_plain_data():
    state = random_state.rng_state(CPU)
    assert set(state) == {"python", "numpy", "torch", "cuda", "threads"}
    assert state["cuda"] is None and state["threads"] == torch.get_num_threads()
    assert state["numpy"]["keys"].dtype == torch.int64
    assert state["numpy"]["keys"].shape == (624,) and {type(state["numpy"][key]) for key in ("position", "gauss")} == {
        int,
        float,
    }


def test_the_same_thread_count_says_nothing(caplog):
    random_state.restore_rng_state(random_state.rng_state(CPU), CPU, "last.pth")
    assert not caplog.text


def test_another_thread_count_warns(caplog):
    state = random_state.rng_state(CPU)
    random_state.restore_rng_state({**state, "threads": state["threads"] + 1}, CPU, "last.pth")
    assert "rounding may differ" in caplog.text


@pytest.mark.parametrize(
    "changes",
    [
        {"python": (3, (1, 2), None)},
        {"python": (9, tuple(range(625)), None)},
        {"torch": torch.zeros(9, dtype=torch.uint8)},
        {"torch": torch.full((5056,), 255, dtype=torch.uint8)},
    ],
)
def test_a_state_that_a_generator_refuses_is_one_line(changes):
    state = {**random_state.rng_state(CPU), **changes}
    with pytest.raises(CheckpointError, match="^checkpoint a/last.pth has a state of the random generators that"):
        random_state.restore_rng_state(state, CPU, "a/last.pth")
