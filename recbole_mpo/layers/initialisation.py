"""How the weights of a new model are drawn, module by module.

Shapes: those of the modules' own weights.
"""

from torch import nn

from recbole_mpo.layers.convolution import CausalConvolution, Patch


def normal_weights(module: nn.Module, std: float, zero_padding: bool = True) -> None:
    """Draw the weight of one module from a normal distribution around zero, for ``model.apply``.

    Linear layers, embeddings and causal convolutions are drawn, biases of linear layers zeroed, and the last matrix
    of a patch that starts at zero; any other module stays as it is. ``apply`` goes children first, so a patch is met
    after its matrices.

    Args:
        std: standard deviation.
        zero_padding: zero the row of an embedding's ``padding_idx``.
    """
    if isinstance(module, nn.Linear | nn.Embedding | CausalConvolution):
        module.weight.data.normal_(mean=0.0, std=std)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None and zero_padding:
        module.weight.data[module.padding_idx].zero_()
    if isinstance(module, nn.Linear) and module.bias is not None:
        module.bias.data.zero_()
    if isinstance(module, Patch) and module.starts_at_zero:
        module.up.weight.data.zero_()
