"""Networks that are fitted within one experiment."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import gpytorch
import torch
from gpytorch.priors import NormalPrior
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

    from napari_hae.agent.model_settings import ModelSettings

CLASSIC_UNITS = (1000, 500, 50)
"""Hidden layers of the published deep-kernel experiments (Roccapriore et al. 2022)."""
_RESIDUAL_UNITS = 16


class Residual(gpytorch.Module):
    """`x + network(x)`: starts as the identity, and stays so unless data require more.

    A normal prior on the weights, with the width of their usual initialisation, keeps
    the network from explaining variations that the kernel explains as well.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, _RESIDUAL_UNITS)
        self.out = nn.Linear(_RESIDUAL_UNITS, inputs, bias=False)
        nn.init.zeros_(self.out.weight)
        for name, layer in (("hidden", self.hidden), ("out", self.out)):
            width = 1 / math.sqrt(layer.in_features)
            prior = NormalPrior(
                torch.tensor(0.0).double(), torch.tensor(width).double()
            )
            self.register_prior(f"{name}_prior", prior, _weight_of(name))

    def forward(self, x: Tensor) -> Tensor:
        """Map shape `(n, inputs)` to `(n, inputs)`."""
        result: Tensor = x + self.out(torch.tanh(self.hidden(x)))
        return result


def network(settings: ModelSettings, inputs: int) -> nn.Module:
    """Return the network that the settings select, untrained."""
    if settings.network != "classic":
        return Residual(inputs)
    layers: list[nn.Module] = []
    width = inputs
    for units in CLASSIC_UNITS:
        layers += [nn.Linear(width, units), nn.ReLU()]
        width = units
    layers.append(nn.Linear(width, settings.embedding_dim))
    return nn.Sequential(*layers)


def _weight_of(name: str):  # type: ignore[no-untyped-def]
    def weight(module: Residual) -> Tensor:
        layer: nn.Linear = getattr(module, name)
        return layer.weight

    return weight
