"""The network trained across experiments: from a survey image to structural features.

It is trained on simulated experiments (`training/`) such that a Gaussian process on its
features predicts new kinds of targets from few measurements: deep kernel transfer
(Patacchiola et al., NeurIPS 2020). Its inputs are rotation-invariant derivatives, its
filters symmetric, so that a rotated sample gives the same features, rotated.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SCALES_PX = (0.8, 1.6, 3.2, 6.4)
"""Smoothing widths of the derivatives that the network uses."""
FEATURES = 8
_CHANNELS = 32
_DILATIONS = (1, 2, 4, 8)
_ORBITS = torch.tensor([[2, 1, 2], [1, 0, 1], [2, 1, 2]])
"""Index of the weight, out of three, at each pixel of a symmetric 3 × 3 filter."""


class SymmetricConv(nn.Module):
    """A dilated 3 × 3 convolution that commutes with quarter turns and reflections."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        spread = (9 * channels) ** -0.5
        self.weight = nn.Parameter(torch.randn(channels, channels, 3) * spread)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Filter `(n, channels, rows, columns)`, same shape; borders are repeated."""
        padded = functional.pad(x, (self.dilation,) * 4, mode="replicate")
        filters = self.weight[:, :, _ORBITS.to(x.device)]
        return functional.conv2d(padded, filters, self.bias, dilation=self.dilation)


class StructureNetwork(nn.Module):
    """Structural features of every pixel, from derivatives of the survey image."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(4 * len(SCALES_PX), _CHANNELS, 1)
        self.wide = nn.ModuleList(SymmetricConv(_CHANNELS, d) for d in _DILATIONS)
        self.mix = nn.ModuleList(nn.Conv2d(_CHANNELS, _CHANNELS, 1) for _ in _DILATIONS)
        self.leave = nn.Conv2d(_CHANNELS, FEATURES, 1)
        self.log_relevance = nn.Parameter(torch.zeros(FEATURES))

    def forward(self, invariants: Tensor) -> Tensor:
        """Map `(n, 4 * scales, rows, columns)` to `(n, FEATURES, rows, columns)`."""
        return self.standardised(self.raw_features(invariants))

    def raw_features(self, invariants: Tensor) -> Tensor:
        """Return the features before standardisation over the image; same shapes."""
        # Derivatives of sharp, rare structures have heavy tails.
        x = torch.sign(invariants) * torch.log1p(invariants.abs())
        x = functional.gelu(self.enter(x))
        for wide, mix in zip(self.wide, self.mix, strict=True):
            x = x + mix(functional.gelu(wide(x)))
        result: Tensor = self.leave(x)
        return result

    def standardised(self, features: Tensor) -> Tensor:
        """Scale to zero mean per image, with each feature's relevance as deviation."""
        centred = features - features.mean(dim=(2, 3), keepdim=True)
        deviation = centred.square().mean(dim=(2, 3), keepdim=True).sqrt()
        relevance = self.log_relevance.exp()[:, None, None]
        return centred / (deviation + 1e-3) * relevance
