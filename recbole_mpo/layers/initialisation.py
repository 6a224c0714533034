"""How the weights of a new model are drawn, module by module.

Shapes: those of each module's weights.
"""

from torch import nn

from recbole_mpo.layers.convolution import Patch, SequenceConvolution


def normal_weights(module: nn.Module, std: float, zero_padding: bool = True) -> None:
    """Draw the weight of one module from a normal distribution around zero; made for ``model.apply``.

    Weights of linear layers, embeddings and convolutions are drawn. Biases of linear layers are set to zero, and
    so is the last matrix of a patch that starts at zero. Any other module stays as it is. ``apply`` visits children
    first, so it reaches a patch after the patch's matrices.

    Args:
        module: the module, changed in place.
        std: standard deviation.
        zero_padding: whether to set the row of an embedding's ``padding_idx`` to zero.
    """
    if isinstance(module, nn.Linear | nn.Embedding | SequenceConvolution):
        module.weight.data.normal_(mean=0.0, std=std)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None and zero_padding:
        module.weight.data[module.padding_idx].zero_()
    if isinstance(module, nn.Linear) and module.bias is not None:
        module.bias.data.zero_()
    if isinstance(module, Patch) and module.starts_at_zero:
        module.up.weight.data.zero_()
