"""The optimiser Muon, which takes a network further than Adam in as many steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
BETAS = 0.9, 0.99  # of Adam
# Coefficients of a polynomial that brings singular values from (0, 1] near 1, repeated five times.
QUINTIC, REPEATS = (3.4445, -4.7750, 2.0315), 5
ADAMS_SIZE = 0.2  # the root mean square of Adam's steps, in learning rates, is about that


class Muon(torch.optim.Adam):
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
        super().__init__(groups, betas=BETAS)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient; hidden layers' kernels have none after it."""
        for group in self.param_groups:
            for kernel in group["params"] if group["hidden"] else ():
                if kernel.grad is not None:
                    self._step_hidden(kernel, kernel.grad, group["lr"])
                    kernel.grad = None  # so that Adam leaves it alone
        super().step()

    def _step_hidden(self, kernel: nn.Parameter, gradient: Tensor, rate: float) -> None:
        state = self.state[kernel]
        if not state:
            state["step"] = torch.zeros(())  # Adam's `load_state_dict` asks for one
            state["momentum"] = torch.zeros_like(kernel)
        momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        matrix = gradient.lerp(momentum, MOMENTUM).flatten(0, 1)  # Nesterov's
        size = ADAMS_SIZE * max(matrix.shape) ** 0.5
        kernel.add_(orthogonalized(matrix).reshape_as(kernel), alpha=-rate * size)


def is_hidden(parameter: nn.Parameter) -> bool:
    """Whether it is the kernel of a convolution from several channels to several.

    One of size 1 classifies voxels, from the last hidden layer on.
    """
    return parameter.ndim == 3 and min(parameter.shape) > 1


def orthogonalized(matrix: Tensor) -> Tensor:
    """A matrix (R, C) with the same singular vectors, and singular values of 0.7 to 1.2.

    The polynomial is computed of the Gram matrix, which is small, in float64.
    """
    if matrix.shape[0] < matrix.shape[1]:
        return orthogonalized(matrix.T).T
    gram = (matrix.T @ matrix).double()
    square = gram.trace().clamp(min=torch.finfo(torch.float32).tiny)  # of the matrix's norm
    gram = gram / square
    one = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    total = one
    a, b, c = QUINTIC
    for _ in range(REPEATS):
        factor = a * one + b * gram + c * (gram @ gram)
        total, gram = total @ factor, factor @ gram @ factor
    found: Tensor = matrix @ (total / square.sqrt()).to(matrix.dtype)
    return found
