"""Other ways than the agent's to learn from an earlier run, to compare with."""

from __future__ import annotations

import copy
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_hae.agent.covariance import prior_of
from napari_hae.agent.descriptors import derivatives
from napari_hae.agent.embedding import POSITION_UNIT_PX, load_network
from napari_hae.agent.model_settings import ModelSettings
from napari_hae.agent.structure_network import SCALES_PX
from napari_hae.agent.surrogate import Surrogate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_hae.agent.experience import Visit

PRIOR_STD = 0.4
"""Of the hyperparameters' logarithms about those of the earlier run."""
STEPS, LEARNING_RATE, PULL = 150, 3e-4, 0.1
HYPER_LEARNING_RATE = 2e-2


@contextmanager
def earlier_hyperparameters(visit: Visit, weights: Path) -> Iterator[None]:
    """Fits start from, and are drawn to, what fitted the earlier run."""
    model = Surrogate(visit.image, ModelSettings(weights=weights), seed=0)
    model.fit(visit.pixels, visit.values[:, 0])
    logs = model.state_dict()["fitted"].logs

    def prior(parts: tuple) -> tuple:
        return logs, np.minimum(prior_of(parts)[1], PRIOR_STD)

    with ExitStack() as patches:
        for module in ("evidence", "surrogate"):
            name = f"napari_hae.agent.{module}.prior_of"
            patches.enter_context(mock.patch(name, prior))
        yield


def tuned_on(visit: Visit, weights: Path, out: Path) -> None:
    """Train the network on an earlier run, and write its weights.

    The objective is that of `training/pretrain.py`, on random divisions of the run's
    measurements; all quantities share the network, and its weights are pulled back.
    """
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    network = copy.deepcopy(load_network(weights)).train().requires_grad_(True)
    start = [parameter.detach().clone() for parameter in network.parameters()]
    spread = visit.values.std(axis=0) + 1e-12
    targets = torch.from_numpy((visit.values - visit.values.mean(axis=0)) / spread)
    process = _Process(targets.shape[1])
    optimizer = torch.optim.Adam(
        [
            {"params": network.parameters(), "lr": LEARNING_RATE},
            {"params": process.parameters(), "lr": HYPER_LEARNING_RATE},
        ]
    )
    shape = visit.image.shape[1:]
    plane = (visit.image[0] - visit.image[0].mean()) / visit.image[0].std()
    flat = derivatives(plane[None].astype(np.float32), SCALES_PX)
    invariants = torch.from_numpy(flat.reshape(*shape, -1)).permute(2, 0, 1)[None]
    places = np.stack(np.unravel_index(visit.pixels, shape), axis=1)
    near = torch.from_numpy(places / POSITION_UNIT_PX).float()
    count = len(visit.pixels)
    for _ in range(STEPS):
        order = torch.from_numpy(rng.permutation(count))
        known = int(np.exp(rng.uniform(np.log(8), np.log(0.75 * count))))
        seen = network(invariants)[0].flatten(1).T[torch.from_numpy(visit.pixels)]
        loss = process.loss(seen[order], near[order], targets[order].float().T, known)
        moved = [
            (now - before).square().sum()
            for now, before in zip(network.parameters(), start, strict=True)
        ]
        loss = loss + PULL * torch.stack(moved).sum()
        loss = loss + process.misfit_of_prior() / targets.numel()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    state = network.state_dict()
    np.savez(out, **{name: value.numpy() for name, value in state.items()})


class _Process(nn.Module):
    """A Gaussian process for each quantity, on shared features and the position."""

    def __init__(self, quantities: int) -> None:
        super().__init__()
        self.centres = {"variance": torch.tensor([[0.0], [-1.0]]), "noise": -2.5}
        self.variance = nn.Parameter(
            torch.tensor([[0.0], [-1.0]]).repeat(1, quantities)
        )
        self.noise = nn.Parameter(torch.full((quantities,), -2.5))
        self.lengths = nn.Parameter(torch.tensor([0.3, 0.35]))

    def misfit_of_prior(self) -> Tensor:
        """Half the squared distance of the logarithms from their centres."""
        variance = (self.variance - self.centres["variance"]).square().sum()
        noise = ((self.noise - self.centres["noise"]) / 1.5).square().sum()
        return (variance + noise + ((self.lengths[0] - 0.3) / 0.7) ** 2) / 2

    def loss(self, seen: Tensor, near: Tensor, targets: Tensor, known: int) -> Tensor:
        """Negative log predictive density, per query, up to a constant.

        Targets have the shape `(quantities, n)`; the first `known` columns are given.
        """
        scales = self.lengths.exp()
        kernels = _matern(seen / scales[0]), _matern(near / scales[1])
        feature, position = self.variance.exp()[..., None, None]
        covariance = feature * kernels[0] + position * kernels[1]
        noise = self.noise.exp()[:, None] + 1e-3
        noisy = covariance[:, :known, :known] + torch.diag_embed(
            noise.expand(-1, known)
        )
        factor = torch.linalg.cholesky(noisy)
        across = torch.linalg.solve_triangular(
            factor, covariance[:, :known, known:], upper=False
        )
        white = torch.linalg.solve_triangular(
            factor, targets[:, :known, None], upper=False
        )
        own = covariance[:, known:, known:].diagonal(dim1=1, dim2=2)
        variance = (own - across.square().sum(1)).clamp_min(1e-4) + noise
        missed = (targets[:, known:] - (across * white).sum(1)).square()
        # As in the training: one surprising pixel must not outweigh the others.
        misfit = 20 - functional.softplus(20 - missed / variance / 2)
        return (misfit + variance.log() / 2).mean()


def _matern(inputs: Tensor) -> Tensor:
    squared = (inputs[:, None] - inputs[None]).square().sum(-1)
    r = (5 * squared + 1e-12).sqrt()
    return (1 + r + 5 * squared / 3) * torch.exp(-r)
