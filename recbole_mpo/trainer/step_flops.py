"""Floating point operations of one training step, counted as torch dispatches them."""

import copy

from torch.utils.flop_counter import FlopCounterMode

from recbole_mpo.layers.ranks import ALONE
from recbole_mpo.trainer.random_state import restore_rng_state, rng_state


def step_flops(model, batch, device) -> int:
    """Return the floating point operations of one forward and backward pass: matrix products and attention.

    A multiplication with its addition counts as two. Weights, and the random numbers of what follows, stay as they are.
    Where several processes share a batch, the whole of it is counted.

    Args:
        model: a model that trains on packed batches.
        batch: a ``PackedBatch``.
        device: where the model is.
    """
    state, was_training = rng_state(device), model.training
    # A copy, because several tasks keep means of what they measured; alone, because others wait for nothing here.
    objective, ranks = model.objective, model.ranks
    model.objective, model.ranks = copy.deepcopy(objective), ALONE
    try:
        model.train()
        with FlopCounterMode(display=False) as counter:
            model.calculate_loss(batch.to(device)).backward()
    finally:
        model.zero_grad(set_to_none=True)
        model.objective, model.ranks = objective, ranks
        model.train(was_training)
        restore_rng_state(state, device, "of no file")
    return int(counter.get_total_flops())
