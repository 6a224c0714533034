"""Weights in fewer bits: float16, int8 and int4. They are computed with in float32, once read.

torchao chooses the numbers and scales of int8 and int4. It is needed to compress, not to use what was compressed.
"""

import warnings

import torch
from torch import Tensor, nn

from recbole_mpo.common.errors import ConfigError, DependencyError
from recbole_mpo.common.quiet_imports import quiet_import
from recbole_mpo.layers.mpo.linear import MPOLinear
from recbole_mpo.release.compress.context import Context, matrices
from recbole_mpo.release.compress.method import WEIGHT_BITS, Method
from recbole_mpo.release.compress.stored_forms import Form, half, int4

# Largest number of columns that share a scale in int4.
GROUP = 64


@torch.no_grad()
def fp16(model: nn.Module, strength: None, context: Context) -> nn.Module:
    """Round all weights of adaptor and Transformer to float16; return the model."""
    for name, parameter in model.named_parameters():
        _use(parameter, half(parameter), name, context)
    return model


@torch.no_grad()
def int8(model: nn.Module, strength: None, context: Context) -> nn.Module:
    """Round the matrices to int8 with a scale per row, by torchao's ``Int8WeightOnlyConfig``; return the model.

    Raises:
        DependencyError: torchao is missing.
        ConfigError: the model has no matrix to quantise.
    """
    torchao = _torchao()
    for name, parameter, layer in _quantised(model, lambda width: torchao.Int8WeightOnlyConfig(), context, "int8"):
        quantised = layer.weight
        form = Form("int8", {"codes": quantised.qdata, "scales": quantised.scale.float()})
        _use(parameter, form, name, context)
    return model


@torch.no_grad()
def int4_weights(model: nn.Module, strength: None, context: Context) -> nn.Module:
    """Round the matrices to int4 with a scale per group of columns, by torchao; return the model.

    torchao keeps each number in a byte of its own, so that int4 takes as much as int8; here two share a byte.

    Raises:
        DependencyError: torchao is missing.
        ConfigError: the model has no matrix to quantise.
    """
    torchao = _torchao()

    def settings(width: int):
        group = max(size for size in range(1, GROUP + 1) if width % size == 0)
        return torchao.IntxWeightOnlyConfig(
            weight_dtype=torch.int4, granularity=torchao.granularity.PerGroup(group), version=2
        )

    for name, parameter, layer in _quantised(model, settings, context, "int4"):
        quantised = layer.weight
        _use(parameter, int4(quantised.qdata, quantised.scale.float()), name, context)
    return model


def _torchao():
    try:
        with quiet_import():
            from torchao import quantization
    except ImportError as problem:
        raise DependencyError(
            'int8 and int4 need torchao: pip install "recbole-mpo[quant]", or choose fp16 or int8-fast'
        ) from problem
    return quantization


def _quantised(model: nn.Module, settings_of, context: Context, method: str):
    """Yield name, parameter and a quantised layer of each matrix; cores are taken as matrices of their rows."""
    torchao = _torchao()
    parameters = _weights(model)
    if not parameters:
        raise ConfigError(f"method {method} found no matrix to quantise")
    for name, parameter in parameters.items():
        holder = nn.Sequential(_as_linear(parameter))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torchao.quantize_(holder, settings_of(holder[0].in_features))
        # torchao passes over what it cannot quantise without a word.
        if type(holder[0].weight.data) is Tensor or type(holder[0].weight) is nn.Parameter:
            raise ConfigError(f"method {method}: torchao left {name} as it was")
        yield name, parameter, holder[0]
    context.notes[method] = {"matrices": len(parameters)}


def _weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the matrices and cores of the compressed layers by name."""
    weights = {}
    for name, layer in matrices(model).items():
        if isinstance(layer, MPOLinear):
            weights |= {f"{name}.cores.{number}": core for number, core in enumerate(layer.cores)}
        else:
            inner = {f"{name}.{key}".rstrip("."): part for key, part in layer.named_modules()}
            weights |= {f"{key}.weight": part.weight for key, part in inner.items() if isinstance(part, nn.Linear)}
    return weights


def _as_linear(parameter: nn.Parameter) -> nn.Linear:
    matrix = parameter.detach().flatten(1)
    linear = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False, device="meta")
    linear.weight = nn.Parameter(matrix.clone(), requires_grad=False)
    return linear


def _use(parameter: nn.Parameter, form: Form, name: str, context: Context):
    """Let the model compute with what will be stored."""
    context.forms[name] = form
    parameter.copy_(form.decode().view(parameter.shape))


_EXPANDED = "; computed with in float32"
FP16 = Method("fp16", WEIGHT_BITS, fp16, "", "float16" + _EXPANDED)
INT8 = Method("int8", WEIGHT_BITS, int8, "", "int8 with a float32 scale per row" + _EXPANDED)
INT4 = Method("int4", WEIGHT_BITS, int4_weights, "", "int4, two in a byte, a float32 scale per group" + _EXPANDED)
