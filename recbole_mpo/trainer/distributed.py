"""Training in several processes: who they are, what each does of a batch, and how they stay the same.

The processes are started by ``torchrun``. Every process builds the same model and packs the same batches, computes its
part, and adds the gradients of the others before each step. The first process alone writes files.
"""

import atexit
import os
from contextlib import contextmanager, redirect_stdout
from datetime import timedelta
from functools import cache

import torch
import torch.distributed as dist
from torch import nn

from recbole_mpo.common.errors import ConfigError, RecboleMPOError
from recbole_mpo.layers.ranks import ALONE, Ranks

# While the first process encodes item texts, which may take long, the others wait for it.
PATIENCE = timedelta(hours=3)
# The ways of weighting tasks whose weights do not depend on the losses of a step.
FIXED_WEIGHTINGS = ("static", "average")


@cache
def joined_ranks() -> Ranks:
    """Return the place of this process among those that ``torchrun`` started, and join them on first use.

    Raises:
        RecboleMPOError: the others cannot be reached.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return ALONE
    if not dist.is_initialized():
        try:
            # Counts and losses are summed on the CPU, gradients on the GPU.
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            dist.init_process_group(backend, timeout=PATIENCE)
        except (RuntimeError, ValueError) as problem:
            raise RecboleMPOError(f"the processes of this job do not find one another: {problem}") from problem
        atexit.register(_leave)
    return Ranks(dist.get_rank(), dist.get_world_size())


def _leave():
    if dist.is_initialized():
        dist.destroy_process_group()


def own_device(ranks: Ranks, device: torch.device) -> torch.device:
    """Return the device of this process: of the GPUs of a machine, each of several processes has its own."""
    if ranks.count == 1 or device.type != "cuda":
        return device
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def told_by_first(ranks: Ranks, make):
    """Return what ``make`` returns in the first process; the others do not call it."""
    if ranks.count == 1:
        return make()
    told = [make() if ranks.is_first else None]
    dist.broadcast_object_list(told, src=0)
    return told[0]


@contextmanager
def first_before_others(ranks: Ranks):
    """Let the first process run the block before the others do, which then find the files that it wrote.

    If the block fails there, the others wait until its process ends.
    """
    if not ranks.is_first:
        ranks.wait()
    yield
    if ranks.is_first:
        ranks.wait()


@contextmanager
def only_first_speaks(ranks: Ranks):
    """Keep the other processes from printing, except on the standard error."""
    if ranks.is_first:
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        yield


@contextmanager
def losses_named(ranks: Ranks):
    """Turn the failure of another process into one line.

    Raises:
        RecboleMPOError: another process has ended.
    """
    try:
        yield
    except RuntimeError as problem:
        if ranks.count == 1 or isinstance(problem, RecboleMPOError) or "peer" not in str(problem):
            raise
        raise RecboleMPOError(
            f"another process of this job has ended ({str(problem).splitlines()[0]}); to continue, give the same "
            "command again with --resume=auto"
        ) from problem


def check_processes(model_class, config, ranks: Ranks):
    """Refuse what several processes cannot do together.

    Raises:
        ConfigError: the model or a setting needs a single process; the message says which.
    """
    if ranks.count == 1:
        return
    if not model_class.shares_batches:
        raise ConfigError(f"{config['model']} is trained by one process: start it without torchrun")
    if config["train_mode"] != "packed":
        raise ConfigError("train_mode=pairwise is for one process: leave train_mode=packed")
    if config["task_weighting"] not in (None, *FIXED_WEIGHTINGS):
        raise ConfigError(
            f"task_weighting={config['task_weighting']} needs the losses of the whole batch, which no process of "
            f"several has: take {' or '.join(FIXED_WEIGHTINGS)}, or start without torchrun"
        )


def check_same_start(ranks: Ranks, model: nn.Module, file_hashes: dict[str, str]):
    """Check that all processes begin with the same data, text features and weights.

    Args:
        ranks: the processes.
        model: the model of this one.
        file_hashes: hash of each file of its data.

    Raises:
        RecboleMPOError: something differs.
    """
    if ranks.count == 1:
        return
    own = (file_hashes, model.item_hash, model.feature_hash)
    has_others = torch.tensor(float(told_by_first(ranks, lambda: own) != own))
    if ranks.sum(has_others) > 0:
        raise RecboleMPOError("the processes of this job have different data or text features: give all the same files")
    sums = torch.stack([weight.detach().double().sum() for weight in model.parameters()])
    differs = (ranks.of_first(sums.clone()) != sums).any().double()
    if ranks.sum(differs) > 0:
        raise RecboleMPOError("the processes of this job have different weights: start all from the same file")


def seed_noise(ranks: Ranks, seed: int, epoch: int):
    """Seed the noise of an epoch, except in the first process, which draws on as a single one would.

    So a resumed job draws the same, and no process but the first needs its state saved.
    """
    if not ranks.is_first:
        torch.manual_seed(hash((seed, epoch, ranks.number)) & 0x7FFFFFFF)


@contextmanager
def adding_gradients(ranks: Ranks, optimizer: torch.optim.Optimizer, clip: dict | None):
    """Add the gradients of all processes before each step that the optimizer takes meanwhile.

    Args:
        ranks: the processes.
        optimizer: the optimizer.
        clip: arguments of ``clip_grad_norm_``, which has to come after the sum; None for no clipping.
    """
    if ranks.count == 1:
        yield
        return
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def add(*_):
        _add_gradients(ranks, parameters)
        if clip:
            nn.utils.clip_grad_norm_(parameters, **clip)

    hook = optimizer.register_step_pre_hook(add)
    try:
        yield
    finally:
        hook.remove()


@torch.no_grad()
def _add_gradients(ranks: Ranks, parameters: list[nn.Parameter]):
    """Replace each gradient by its sum over the processes; what no process has a gradient of gets none."""
    device = parameters[0].device
    has = torch.tensor([float(parameter.grad is not None) for parameter in parameters], device=device)
    chosen = [parameter for parameter, some in zip(parameters, ranks.sum(has).tolist(), strict=True) if some]
    flat = torch.cat(
        [(torch.zeros_like(one) if one.grad is None else one.grad).flatten().to(torch.float32) for one in chosen]
    )
    for parameter, total in zip(chosen, ranks.sum(flat).split([one.numel() for one in chosen]), strict=True):
        parameter.grad = total.view_as(parameter).to(parameter.dtype)
