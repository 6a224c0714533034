"""MPOLinear: a linear layer whose weight is a matrix product operator, and its merge over experts.

Legend: E experts; B rows; n cores; core k is (r, i, o, s) with r and s bond dimensions, i and o input and
output factors; bond k lies between cores k-1 and k; the central core is number n//2. Sources: eq. (1)-(7)
and Algorithm 1 of Liu, Yao, Gao and Zhao, "Matrix product operator based sequential recommendation model".
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mpo.layers.mpo.contract import HALF_TYPES, contract_cores
from recbole_mpo.layers.mpo.decompose import TruncationReport, check_gauge, decompose, expansion_cores, truncated
from recbole_mpo.layers.mpo.factors import choose_factors, core_shapes, resolve_bond_dims, warn_if_light_is_empty
from recbole_mpo.layers.mpo.loading import adopt_checkpoint

EXPANSION_INITS = ("identity", "orthogonal")


class MPOLinear(nn.Module):
    """y = x W^T + bias with W (out, in) contracted from cores (r, i, o, s) at every forward, eq. (6).

    Parameters `cores.0..n-1`, `expansion.0..t-1`, `bias`. A new layer is Xavier on W, then decomposed
    (Algorithm 1); the bias starts at zero. Half precision keeps float32 cores. `expand`, `fold_expansion`,
    `truncate`, `canonicalize` and loading other core shapes replace parameters: build the optimizer after.

    `num_cores` n; `in_factors`/`out_factors` lists of n factors (default: `choose_factors`);
    `max_bond_dim` an int, or one per bond (default: exact, eq. (2)); `gauge` central, symmetric or identity;
    `pad` zero-pads the weight up to the factors' products.
    Raises ValueError where factors, bonds or gauge do not fit.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        num_cores: int = 5,
        in_factors: Sequence[int] | None = None,
        out_factors: Sequence[int] | None = None,
        max_bond_dim: int | Sequence[int] | None = None,
        gauge: str = "central",
        pad: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        factors = choose_factors(in_features, out_features, num_cores, in_factors, out_factors, pad=pad)
        bond_dims = resolve_bond_dims(*factors, max_bond_dim)
        check_gauge(gauge, *factors, bond_dims)
        self.in_features, self.out_features = in_features, out_features
        self.gauge, self.pad = gauge, pad
        self.dense_dtype = dtype or torch.get_default_dtype()
        core_dtype = torch.float32 if self.dense_dtype in HALF_TYPES else self.dense_dtype
        self.cores = nn.ParameterList(
            torch.empty(shape, device=device, dtype=core_dtype) for shape in core_shapes(*factors, bond_dims)
        )
        self.expansion = nn.ParameterList()
        self.expansion_bond, self.expansion_init = 0, "identity"
        self.register_parameter(
            "bias", nn.Parameter(torch.empty(out_features, device=device, dtype=dtype)) if bias else None
        )
        self._held_weight: Tensor | None = None
        if self.cores[0].device.type != "meta":
            self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Xavier uniform on W, decomposed; expansion cores as `expand` starts them; bias zero."""
        self._refuse_while_held("reset_parameters")
        weight = torch.empty(self.out_features, self.in_features, dtype=self.cores[0].dtype)
        _copy(self.cores, self.decompose_dense(nn.init.xavier_uniform_(weight)))
        _copy(self.expansion, self.initial_expansion())
        if self.bias is not None:
            self.bias.zero_()

    @classmethod
    def from_linear(
        cls,
        linear: nn.Linear,
        *,
        num_cores: int = 5,
        in_factors: Sequence[int] | None = None,
        out_factors: Sequence[int] | None = None,
        max_bond_dim: int | Sequence[int] | None = None,
        gauge: str = "central",
        pad: bool = False,
    ) -> "MPOLinear":
        """The map of `linear`, with its bias, device, dtype and mode; a frozen weight gives frozen cores.

        Raises TypeError for another module, ValueError for factors that do not fit or a non-finite weight.
        """
        if not isinstance(linear, nn.Linear):
            raise TypeError(f"from_linear takes an nn.Linear, got {type(linear).__name__}")
        weight, bias = linear.weight, linear.bias
        layer = cls(
            linear.in_features,
            linear.out_features,
            bias is not None,
            num_cores=num_cores,
            in_factors=in_factors,
            out_factors=out_factors,
            max_bond_dim=max_bond_dim,
            gauge=gauge,
            pad=pad,
            device="meta",  # no Xavier draw: converting must not move the random number stream
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
        """i_k of each core."""
        return tuple(core.shape[1] for core in self.cores)

    @property
    def out_factors(self) -> tuple[int, ...]:
        """o_k of each core."""
        return tuple(core.shape[2] for core in self.cores)

    @property
    def bond_dims(self) -> tuple[int, ...]:
        """d_1 .. d_{n-1}."""
        return tuple(core.shape[3] for core in self.cores)[:-1]

    @property
    def num_cores(self) -> int:
        """n, expansion cores not counted."""
        return len(self.cores)

    @property
    def central_index(self) -> int:
        """n // 2, counted from 0."""
        return len(self.cores) // 2

    def auxiliary_parameters(self) -> Iterator[nn.Parameter]:
        """Every core but the central one, expansion cores included: what the light strategy trains."""
        for k, core in enumerate(self.cores):
            if k != self.central_index:
                yield core
        yield from self.expansion

    def merge(self) -> Tensor:
        """The dense weight (out, in), contracted afresh; differentiable."""
        return self._cut(contract_cores(list(self.cores), list(self.expansion), self.expansion_bond))

    @property
    def weight(self) -> Tensor:
        """The dense weight (out, in): the held one inside `merged(model)`, else `merge()`."""
        if self._held_weight is None:
            return self.merge()
        if self.training or torch.is_grad_enabled():
            raise RuntimeError("merged() holds this weight for evaluation: no training, no gradients")
        return self._held_weight

    def forward(self, x: Tensor) -> Tensor:
        """(B, in) -> (B, out), in x's dtype; leading axes are free."""
        weight, bias = self.weight, self.bias
        if x.is_floating_point():
            weight, bias = weight.to(x.dtype), None if bias is None else bias.to(x.dtype)
        return F.linear(x, weight, bias)

    def to_linear(self) -> nn.Linear:
        """A plain `nn.Linear` with the merged weight; trainable unless every core is frozen."""
        weight = self.dense_weight()
        linear = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        linear.weight = nn.Parameter(weight, requires_grad=any(core.requires_grad for core in self.cores))
        if self.bias is not None:
            linear.bias = nn.Parameter(self.bias.detach().clone(), requires_grad=self.bias.requires_grad)
        return linear.train(self.training)

    @torch.no_grad()
    def dense_weight(self) -> Tensor:
        """The merged weight (out, in) as a dense checkpoint stores it: no graph, half precision restored."""
        core_dtype = self.cores[0].dtype
        restored = self.dense_dtype in HALF_TYPES and core_dtype == torch.float32
        # cloned because a single core may merge to a view of itself
        dense = self.merge().clone(memory_format=torch.contiguous_format)
        return dense.to(self.dense_dtype if restored else core_dtype)

    def freeze_central(self) -> None:
        """Freeze the central core, so that the others train (light). Raises ValueError for an even n."""
        if self.num_cores % 2 == 0:
            raise ValueError(f"{self.num_cores} cores have no central one to freeze: num_cores must be odd")
        warn_if_light_is_empty(self.in_factors, self.out_factors, self.bond_dims, stacklevel=2)
        self.cores[self.central_index].requires_grad_(False)

    def unfreeze(self) -> None:
        """Train every core."""
        self.cores.requires_grad_(True)
        self.expansion.requires_grad_(True)

    @torch.no_grad()
    def expand(self, t: int, init: str = "identity", bond: int | None = None) -> None:
        """Insert t cores (d, 1, 1, d) on one bond, by default the smaller central one; W stays as it is.

        `identity` is exact; `orthogonal` draws rotations whose product is the identity, so that the cores
        do not share one gradient. Raises ValueError for a bond that does not exist or differs from before.
        """
        self._refuse_while_held("expand")
        if t < 1:
            raise ValueError(f"expand needs at least one core, got {t}")
        if init not in EXPANSION_INITS:
            raise ValueError(f"expansion init must be one of {', '.join(EXPANSION_INITS)}; got {init!r}")
        if self.num_cores == 1:
            raise ValueError("a single core has no bond to expand")
        if bond is None:
            bond = self.expansion_bond or self._smaller_central_bond()
        if not 1 <= bond < self.num_cores:
            raise ValueError(f"bond {bond} does not exist: there are bonds 1 to {self.num_cores - 1}")
        if len(self.expansion) and bond != self.expansion_bond:
            raise ValueError(f"expansion cores sit on bond {self.expansion_bond}: fold_expansion() first")
        self.expansion_bond, self.expansion_init = bond, init
        trainable = any(core.requires_grad for core in self.cores)
        for core in expansion_cores(t, self.bond_dims[bond - 1], init):
            self.expansion.append(nn.Parameter(core.to(self.cores[0]), requires_grad=trainable))

    def _smaller_central_bond(self) -> int:
        bonds = [k for k in (self.central_index, self.central_index + 1) if 1 <= k < self.num_cores]
        return min(bonds, key=lambda k: self.bond_dims[k - 1])

    @torch.no_grad()
    def fold_expansion(self) -> None:
        """Absorb the expansion cores into the auxiliary core next to them; W stays as it is."""
        self._refuse_while_held("fold_expansion")
        if not len(self.expansion):
            return
        matrices = [core.cpu().double().squeeze(2).squeeze(1) for core in self.expansion]
        onto_left = self.expansion_bond <= self.central_index
        index = self.expansion_bond - 1 if onto_left else self.expansion_bond
        folded = self.cores[index].cpu().double()
        for matrix in matrices if onto_left else reversed(matrices):
            folded = torch.tensordot(folded, matrix, 1) if onto_left else torch.tensordot(matrix, folded, 1)
        core = self.cores[index]
        self.cores[index] = nn.Parameter(folded.to(core), requires_grad=core.requires_grad)
        self.expansion, self.expansion_bond = nn.ParameterList(), 0

    def truncate(
        self, max_bond_dim: int | Sequence[int] | None = None, max_error: float | None = None
    ) -> TruncationReport:
        """Cut bonds by TT-SVD, folding expansion cores in first; errors are relative to the norm of W.

        `max_bond_dim` caps the bonds; `max_error` spends the given relative Frobenius error, an equal part
        of its square on each bond. The error lies between the largest and the root of the summed squares
        of the bonds' discarded norms; the latter is the report's bound. Padding counts as part of W.
        """
        self._refuse_while_held("truncate")
        if (max_bond_dim is None) == (max_error is None):
            raise ValueError("truncate takes exactly one of max_bond_dim and max_error")
        if max_error is not None and not 0 <= max_error < 1:
            raise ValueError(f"max_error is relative to the weight's norm: between 0 and 1, got {max_error}")
        limits = resolve_bond_dims(self.in_factors, self.out_factors, max_bond_dim)
        self.fold_expansion()
        caps = [min(now, limit) for now, limit in zip(self.bond_dims, limits, strict=True)]
        self.gauge = "central" if self.gauge == "identity" else self.gauge
        factors = (self.in_factors, self.out_factors)
        cores, report = truncated(self._padded_weight(), *factors, caps, self.gauge, max_error or 0.0)
        self.replace_cores(cores)
        return report

    def canonicalize(self, gauge: str = "central") -> None:
        """Rewrite the cores in another gauge, folding expansion cores in first; W and the bonds stay."""
        self._refuse_while_held("canonicalize")
        check_gauge(gauge, self.in_factors, self.out_factors, self.bond_dims)
        self.fold_expansion()
        weight = self._padded_weight()
        self.replace_cores(decompose(weight, self.in_factors, self.out_factors, self.bond_dims, gauge))
        self.gauge = gauge

    @property
    def holds_weight(self) -> bool:
        """Whether `merged(model)` holds this layer's weight now."""
        return self._held_weight is not None

    def hold_weight(self) -> None:
        """Compute the weight once and use it until `release_weight`."""
        self._held_weight = self.merge().detach()

    def release_weight(self) -> None:
        """Drop the held weight."""
        self._held_weight = None

    def _refuse_while_held(self, action: str) -> None:
        if self._held_weight is not None:
            raise RuntimeError(f"{action} changes the cores whose weight merged() holds: leave it first")

    def __getstate__(self) -> dict:
        # deepcopy and pickle come through here
        return {**self.__dict__, "_held_weight": None}

    def _apply(self, fn, recurse=True):
        self._refuse_while_held("moving or casting the layer")
        return super()._apply(fn, recurse)

    def _cut(self, padded: Tensor) -> Tensor:
        return padded[..., : self.out_features, : self.in_features] if self.pad else padded

    def _padded_weight(self) -> Tensor:
        return contract_cores([core.detach().cpu().double() for core in self.cores])

    def decompose_dense(self, weight: Tensor) -> list[Tensor]:
        """Float64 cores of a dense weight (out, in) in this layer's factors, bonds and gauge."""
        return decompose(weight, self.in_factors, self.out_factors, self.bond_dims, self.gauge)

    def initial_expansion(self) -> list[Tensor]:
        """Float64 values to which the present expansion cores start: their product is the identity."""
        size = self.bond_dims[self.expansion_bond - 1] if len(self.expansion) else 0
        return expansion_cores(len(self.expansion), size, self.expansion_init)

    def replace_cores(self, values: Sequence[Tensor]) -> None:
        """New parameters of the given shapes and values, in the cores' device, dtype and requires_grad."""
        self.cores = nn.ParameterList(
            nn.Parameter(value.to(core).contiguous(), requires_grad=core.requires_grad)
            for core, value in zip(self.cores, values, strict=True)
        )

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ):
        """Accept a dense `weight`, an unexpanded checkpoint, and cores of other bond dimensions."""
        self._refuse_while_held("loading a checkpoint")
        problem = adopt_checkpoint(self, state_dict, prefix)
        if problem is not None:
            error_msgs.append(f"{prefix.rstrip('.') or 'MPOLinear'}: {problem}")
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def extra_repr(self) -> str:
        """Sizes, factors, bonds, parameters against the dense layer, and what is trained."""
        params = sum(core.numel() for core in (*self.cores, *self.expansion))
        share = 100 * params / (self.in_features * self.out_features)
        parts = [
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}",
            f"in_factors={_compact(self.in_factors)}, out_factors={_compact(self.out_factors)}",
            f"bond_dims={_compact(self.bond_dims)}",
            f"expansion={len(self.expansion)}@bond{self.expansion_bond}" if len(self.expansion) else "",
            f"params={params} ({share:.1f}% of dense), trainable={self._trainable()}",
        ]
        return ", ".join(part for part in parts if part)

    def _trainable(self) -> str:
        trained = [core.requires_grad for core in (*self.cores, *self.expansion)]
        if all(trained) or not any(trained):
            return "all" if all(trained) else "none"
        auxiliary = all(core.requires_grad for core in self.auxiliary_parameters())
        return "auxiliary" if auxiliary else "some"


def _compact(values: Sequence[int]) -> str:
    return f"({','.join(map(str, values))})"


@torch.no_grad()
def _copy(parameters: nn.ParameterList, values: Sequence[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)
