"""The optimiser Muon, which takes a network further than Adam in as many steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
BETAS = 0.9, 0.99  # of Adam
EPSILON = 1e-8
# Coefficients of a polynomial that brings singular values from (0, 1] near 1, repeated five times.
QUINTIC, REPEATS = (3.4445, -4.7750, 2.0315), 5
ADAMS_SIZE = 0.2  # the root mean square of Adam's steps, in learning rates, is about that


class Muon(torch.optim.Optimizer):
    """Muon for the kernels of hidden layers, Adam for everything else.

    A hidden layer's step is its momentum with all singular values brought near 1, so that it goes
    as far in the directions that gradients seldom show as in the others (Jordan et al., "Muon: An
    optimizer for hidden layers in neural networks", 2024). It is scaled to be as large as a step
    of Adam (Liu et al., "Muon is scalable for LLM training", 2025), so one learning rate serves
    both. `torch.optim.Muon` takes matrices alone; a kernel (K, C_in, C_out) is one of K C_in rows.

    Args:
        groups: groups of parameters, each with `hidden`: whether they are kernels of hidden layers.
    """

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        super().__init__(groups, {"lr": 1e-3, "hidden": False})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        for group in self.param_groups:
            update = self._muon if group["hidden"] else self._adam
            for parameter in group["params"]:
                if parameter.grad is not None:
                    update(parameter, parameter.grad, group["lr"])

    def _muon(self, kernel: nn.Parameter, gradient: Tensor, rate: float) -> None:
        state = self.state[kernel]
        if not state:
            state["momentum"] = torch.zeros_like(kernel)
        momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        matrix = gradient.lerp(momentum, MOMENTUM).flatten(0, 1)  # Nesterov's
        size = ADAMS_SIZE * max(matrix.shape) ** 0.5
        kernel.add_(orthogonalized(matrix).reshape_as(kernel), alpha=-rate * size)

    def _adam(self, parameter: nn.Parameter, gradient: Tensor, rate: float) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"], state["square"] = (torch.zeros_like(parameter) for _ in range(2))
        state["step"] += 1
        moments = (state["mean"], gradient), (state["square"], gradient.square())
        mean, square = (
            moment.lerp_(value, 1 - beta) / (1 - beta ** state["step"])
            for (moment, value), beta in zip(moments, BETAS, strict=True)
        )
        parameter.addcdiv_(mean, square.sqrt() + EPSILON, value=-rate)


def is_hidden(parameter: nn.Parameter) -> bool:
    """Whether it is the kernel of a convolution from several channels to several."""
    return parameter.ndim == 3 and min(parameter.shape[1:]) > 1


def orthogonalized(matrix: Tensor) -> Tensor:
    """A matrix (R, C) with the same singular vectors, and singular values of 0.7 to 1.2.

    The polynomial is computed of the Gram matrix, which is small, in float64.
    """
    if matrix.shape[0] < matrix.shape[1]:
        return orthogonalized(matrix.T).T
    gram = (matrix.T @ matrix).double()
    gram = gram / gram.trace().clamp(min=torch.finfo(torch.float32).tiny)
    one = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    total = one
    a, b, c = QUINTIC
    for _ in range(REPEATS):
        factor = a * one + b * gram + c * (gram @ gram)
        total, gram = total @ factor, factor @ gram @ factor
    scale = matrix.norm().clamp(min=torch.finfo(torch.float32).tiny)
    found: Tensor = matrix / scale @ total.to(matrix.dtype)
    return found
