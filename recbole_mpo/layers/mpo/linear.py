"""MPOLinear: a linear layer whose weight is a matrix product operator.

Legend: B rows; n cores; core k is (r, i, o, s) with r and s bond dimensions, i and o input and
output factors; bond k lies between cores k-1 and k; the central core is number n//2.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mpo.layers.mpo.contract import HALF_TYPES, contract_cores
from recbole_mpo.layers.mpo.decompose import check_gauge, decompose
from recbole_mpo.layers.mpo.describe import describe_cores
from recbole_mpo.layers.mpo.expansion import check_expansion, choose_bond, expansion_cores, fold
from recbole_mpo.layers.mpo.factors import check_has_centre, core_shapes, resolve_bond_dims, warn_if_light_is_empty
from recbole_mpo.layers.mpo.held_weight import HeldWeight
from recbole_mpo.layers.mpo.loading import adopt_checkpoint
from recbole_mpo.layers.mpo.shape import MPOShape
from recbole_mpo.layers.mpo.truncation import TruncationReport, check_limits, truncated


class MPOLinear(HeldWeight, nn.Module):
    """Linear layer ``y = x W^T + bias`` with W (out, in) contracted from cores (r, i, o, s), eq. (6).

    The parameters are ``cores.0..n-1``, ``expansion.0..t-1`` and ``bias``. In a new layer W is drawn from Xavier's
    uniform distribution and then decomposed (Algorithm 1); the bias starts at zero. ``expand``, ``fold_expansion``,
    ``truncate``, ``canonicalize`` and loading other core shapes replace parameters: build the optimizer afterwards.
    Inside ``merged``, these and ``reset_parameters`` raise ``RuntimeError``.

    Args:
        in_features: size of an input.
        out_features: size of an output.
        bias: whether to add a bias.
        shape: the ``MPOShape``; the default one when left out.
        device: device of the parameters.
        dtype: type of the dense weight; the cores of a half-precision layer are float32.
        **shape_keywords: fields of the ``MPOShape``, instead of ``shape``.

    Raises:
        ValueError: factors, bonds or gauge do not fit the sizes.
        TypeError: a keyword is unknown, or ``shape`` and keywords are both given.

    Source: eq. (1)-(7) and Algorithm 1 of Liu, Yao, Gao and Zhao, "Matrix product operator based sequential
    recommendation model".
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        shape: MPOShape | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **shape_keywords,
    ) -> None:
        super().__init__()
        shape = MPOShape.collect(shape, shape_keywords)
        dims = core_shapes(*shape.resolve(in_features, out_features))
        self.in_features, self.out_features = in_features, out_features
        self.gauge, self.pad = shape.gauge, shape.pad
        self.dense_dtype = dtype or torch.get_default_dtype()
        core_dtype = torch.float32 if self.dense_dtype in HALF_TYPES else self.dense_dtype
        self.cores = nn.ParameterList(torch.empty(dim, device=device, dtype=core_dtype) for dim in dims)
        self.expansion = nn.ParameterList()
        self.expansion_bond, self.expansion_init = 0, "identity"
        self.register_parameter(
            "bias", nn.Parameter(torch.empty(out_features, device=device, dtype=dtype)) if bias else None
        )
        if self.cores[0].device.type != "meta":
            self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw W from Xavier's uniform distribution, decompose it, and reset expansion cores and bias."""
        self.refuse_while_held("reset_parameters")
        weight = torch.empty(self.out_features, self.in_features, dtype=self.cores[0].dtype)
        _copy(self.cores, self.decompose_dense(nn.init.xavier_uniform_(weight)))
        _copy(self.expansion, self.initial_expansion())
        if self.bias is not None:
            self.bias.zero_()

    @classmethod
    def from_linear(cls, linear: nn.Linear, *, shape: MPOShape | None = None, **shape_keywords) -> "MPOLinear":
        """Return an MPO layer that computes the same as ``linear``, with its bias, device, dtype and mode.

        A frozen weight gives frozen cores.

        Args:
            linear: the layer to convert.
            shape: the ``MPOShape``; the default one when left out.
            **shape_keywords: fields of the ``MPOShape``, instead of ``shape``.

        Raises:
            TypeError: ``linear`` is not an ``nn.Linear``, or the keywords are wrong.
            ValueError: the shape does not fit, or the weight is not finite.
        """
        if not isinstance(linear, nn.Linear):
            raise TypeError(f"from_linear takes an nn.Linear, got {type(linear).__name__}")
        weight, bias = linear.weight, linear.bias
        layer = cls(
            linear.in_features,
            linear.out_features,
            bias is not None,
            shape=MPOShape.collect(shape, shape_keywords),
            device="meta",  # so that no random numbers are drawn: converting must not change the generator
            dtype=weight.dtype,
        )
        if weight.device.type != "meta":
            cores = layer.decompose_dense(weight)
            layer.to_empty(device=weight.device)
            _copy(layer.cores, cores)
        layer.cores.requires_grad_(weight.requires_grad)
        if bias is not None:
            layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=bias.requires_grad)
        return layer.train(linear.training)

    @property
    def in_factors(self) -> tuple[int, ...]:
        """Input factors i_k of the n cores."""
        return tuple(core.shape[1] for core in self.cores)

    @property
    def out_factors(self) -> tuple[int, ...]:
        """Output factors o_k of the n cores."""
        return tuple(core.shape[2] for core in self.cores)

    @property
    def bond_dims(self) -> tuple[int, ...]:
        """Bond dimensions d_1 .. d_{n-1}."""
        return tuple(core.shape[3] for core in self.cores)[:-1]

    @property
    def num_cores(self) -> int:
        """Number of cores n, without expansion cores."""
        return len(self.cores)

    @property
    def central_index(self) -> int:
        """Index of the central core, n // 2."""
        return len(self.cores) // 2

    def auxiliary_parameters(self) -> Iterator[nn.Parameter]:
        """Yield all cores but the central one, expansion cores included: those that the light strategy trains."""
        for k, core in enumerate(self.cores):
            if k != self.central_index:
                yield core
        yield from self.expansion

    def merge(self) -> Tensor:
        """Return the dense weight (out, in), contracted from the cores; differentiable."""
        return self.cut_padding(contract_cores(list(self.cores), list(self.expansion), self.expansion_bond))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x W^T + bias`` (B, out) of ``x`` (B, in), in the type of ``x``; any leading axes are allowed."""
        weight, bias = self.weight, self.bias
        if x.is_floating_point():
            weight, bias = weight.to(x.dtype), None if bias is None else bias.to(x.dtype)
        return F.linear(x, weight, bias)

    def to_linear(self) -> nn.Linear:
        """Return a plain ``nn.Linear`` with the merged weight, which is trainable unless all cores are frozen."""
        weight = self.dense_weight()
        linear = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        linear.weight = nn.Parameter(weight, requires_grad=any(core.requires_grad for core in self.cores))
        if self.bias is not None:
            linear.bias = nn.Parameter(self.bias.detach().clone(), requires_grad=self.bias.requires_grad)
        return linear.train(self.training)

    @torch.no_grad()
    def dense_weight(self) -> Tensor:
        """Return the merged weight (out, in) without gradient, in the layer's type, as a dense checkpoint stores it."""
        core_dtype = self.cores[0].dtype
        restored = self.dense_dtype in HALF_TYPES and core_dtype == torch.float32
        # Cloned because a single core may merge to a view of itself.
        dense = self.merge().clone(memory_format=torch.contiguous_format)
        return dense.to(self.dense_dtype if restored else core_dtype)

    def freeze_central(self) -> None:
        """Freeze the central core, so that only the others are trained (the strategy ``light``).

        Raises:
            ValueError: the number of cores is even.
        """
        check_has_centre(self.num_cores)
        warn_if_light_is_empty(self.in_factors, self.out_factors, self.bond_dims, stacklevel=2)
        self.cores[self.central_index].requires_grad_(False)

    def unfreeze(self) -> None:
        """Make every core trainable."""
        self.cores.requires_grad_(True)
        self.expansion.requires_grad_(True)

    @torch.no_grad()
    def expand(self, t: int, init: str = "identity", bond: int | None = None) -> None:
        """Insert expansion cores (d, 1, 1, d) on one bond; W does not change.

        Args:
            t: number of cores to insert.
            init: ``identity`` (exact), or ``orthogonal``: rotations whose product is the identity, so that the cores
                do not all have the same gradient.
            bond: number of the bond; the smaller bond of the central core when left out.

        Raises:
            ValueError: ``t`` is below 1, ``init`` is unknown, the bond does not exist, or another bond is expanded.
        """
        self.refuse_while_held("expand")
        check_expansion(t, init)
        self.expansion_bond = choose_bond(self.bond_dims, bond, self.expansion_bond)
        self.expansion_init = init
        trainable = any(core.requires_grad for core in self.cores)
        for core in expansion_cores(t, self.bond_dims[self.expansion_bond - 1], init):
            self.expansion.append(nn.Parameter(core.to(self.cores[0]), requires_grad=trainable))

    @torch.no_grad()
    def fold_expansion(self) -> None:
        """Absorb the expansion cores into the auxiliary core next to them; W does not change."""
        self.refuse_while_held("fold_expansion")
        if not len(self.expansion):
            return
        index, folded = fold(self.cores, self.expansion, self.expansion_bond)
        core = self.cores[index]
        self.cores[index] = nn.Parameter(folded.to(core), requires_grad=core.requires_grad)
        self.expansion, self.expansion_bond = nn.ParameterList(), 0

    def truncate(
        self, max_bond_dim: int | Sequence[int] | None = None, max_error: float | None = None
    ) -> TruncationReport:
        """Reduce the bonds by TT-SVD, after folding in expansion cores; give exactly one of the two limits.

        Errors are relative to the norm of W, and padding counts as part of W. The error is at least the largest
        discarded norm of a bond, and at most the root of the sum of their squares (the report's ``bound``).

        Args:
            max_bond_dim: largest dimension of every bond, or one per bond.
            max_error: largest relative Frobenius error; each bond may use an equal part of its square.

        Returns:
            The error, its bound, the new bonds and the number of core entries.

        Raises:
            ValueError: none or both of the limits are given, or one does not fit.
        """
        self.refuse_while_held("truncate")
        check_limits(max_bond_dim, max_error)
        limits = resolve_bond_dims(self.in_factors, self.out_factors, max_bond_dim)
        self.fold_expansion()
        caps = [min(now, limit) for now, limit in zip(self.bond_dims, limits, strict=True)]
        self.gauge = "central" if self.gauge == "identity" else self.gauge
        factors = (self.in_factors, self.out_factors)
        cores, report = truncated(self._padded_weight(), *factors, caps, self.gauge, max_error or 0.0)
        self.replace_cores(cores)
        return report

    def canonicalize(self, gauge: str = "central") -> None:
        """Rewrite the cores in another gauge, after folding in expansion cores; W and the bonds do not change.

        Args:
            gauge: ``central``, ``symmetric`` or ``identity``, as in ``MPOShape``.

        Raises:
            ValueError: the gauge is unknown, or needs larger bonds.
        """
        self.refuse_while_held("canonicalize")
        check_gauge(gauge, self.in_factors, self.out_factors, self.bond_dims)
        self.fold_expansion()
        weight = self._padded_weight()
        self.replace_cores(decompose(weight, self.in_factors, self.out_factors, self.bond_dims, gauge))
        self.gauge = gauge

    def cut_padding(self, padded: Tensor) -> Tensor:
        """Return the part (..., out, in) of contracted weights without the rows and columns that ``pad`` added."""
        return padded[..., : self.out_features, : self.in_features] if self.pad else padded

    def _padded_weight(self) -> Tensor:
        return contract_cores([core.detach().cpu().double() for core in self.cores])

    def decompose_dense(self, weight: Tensor) -> list[Tensor]:
        """Return float64 cores of a dense weight (out, in), with this layer's factors, bonds and gauge."""
        return decompose(weight, self.in_factors, self.out_factors, self.bond_dims, self.gauge)

    def initial_expansion(self) -> list[Tensor]:
        """Return float64 initial values of the present expansion cores, whose product is the identity."""
        size = self.bond_dims[self.expansion_bond - 1] if len(self.expansion) else 0
        return expansion_cores(len(self.expansion), size, self.expansion_init)

    def replace_cores(self, values: Sequence[Tensor]) -> None:
        """Replace the cores by new parameters with these values; device, type and ``requires_grad`` stay the same."""
        self.cores = nn.ParameterList(
            nn.Parameter(value.to(core).contiguous(), requires_grad=core.requires_grad)
            for core, value in zip(self.cores, values, strict=True)
        )

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ):
        """Load a state dict; it may have a dense ``weight``, no expansion cores, or other bond dimensions."""
        self.refuse_while_held("loading a checkpoint")
        problem = adopt_checkpoint(self, state_dict, prefix)
        if problem is not None:
            error_msgs.append(f"{prefix.rstrip('.') or 'MPOLinear'}: {problem}")
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def extra_repr(self) -> str:
        """Return sizes, factors, bonds, number of parameters and trained cores, for ``print(layer)``."""
        sizes = f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        dense_size = self.in_features * self.out_features
        return f"{sizes}, {describe_cores(self.cores, self.expansion, self.expansion_bond, dense_size)}"


@torch.no_grad()
def _copy(parameters: nn.ParameterList, values: Sequence[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)
