"""Trains the structure network on simulated experiments, and saves its weights.

    python training/pretrain.py OUT.npz [--hold-out FAMILY …] [--minutes 40] [--seed 0]

Each step draws a few experiments. Of each, some pixels are measured with noise, more of
them where the target is large, as an agent would; the loss is how badly a Gaussian
process on the features predicts others: their negative log predictive density.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from families import FAMILIES, Experiment, draw_experiment
from napari_hae.agent.descriptors import derivatives
from napari_hae.agent.structure_network import SCALES_PX, StructureNetwork

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SIZE_PX = 48
QUERIES = 256
EXPERIMENTS_PER_STEP = 6
LEARNING_RATE = 2e-3
POSITION_UNIT_PX = 10.0


class TransferKernel(nn.Module):
    """Matérn 5/2 on features, plus one on the position, as the surrogate has them."""

    def __init__(self) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(torch.tensor([0.0, -1.0]))
        self.log_position = nn.Parameter(torch.tensor(0.0))

    def forward(
        self, one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Covariance of (features, positions), `(b, n, m)`."""
        feature, position = self.log_variance.exp()
        scale = self.log_position.exp()
        near = _matern(one[1] / scale, other[1] / scale)
        return feature * _matern(one[0], other[0]) + position * near


def _matern(one: Tensor, other: Tensor) -> Tensor:
    squared = (one[:, :, None] - other[:, None]).square().sum(-1)
    r = (5 * squared + 1e-12).sqrt()
    return (1 + r + 5 * squared / 3) * torch.exp(-r)


def invariants_of(image: NDArray[np.float64]) -> NDArray[np.float32]:
    """What the network sees of an image, `(4 * scales, rows, columns)`."""
    plane = (image - image.mean()) / max(image.std(), 1e-9)
    flat = derivatives(plane[None].astype(np.float32), SCALES_PX)
    return flat.reshape(*plane.shape, -1).transpose(2, 0, 1)


def batch_of(
    experiments: list[Experiment], known: int, rng: np.random.Generator
) -> tuple[Tensor, ...]:
    """Invariants, then pixels, standardised targets and noise of both groups."""
    invariants, pixels, targets, noises = [], [], [], []
    for each in experiments:
        invariants.append(invariants_of(each.image))
        greed = rng.choice([0.0, 1.0, 2.0])
        lottery = rng.gumbel(size=each.target.size) + greed * each.target.ravel()
        first = np.argsort(-lottery)[:known]
        rest = np.setdiff1d(rng.permutation(each.target.size)[: QUERIES + known], first)
        chosen = np.concatenate([first, rng.permutation(rest)[:QUERIES]])
        noise = each.noise_std.ravel()[chosen]
        target = each.target.ravel()[chosen] + noise * rng.standard_normal(len(chosen))
        centre, spread = target[:known].mean(), target[:known].std() + 1e-3
        pixels.append(chosen)
        targets.append(np.clip((target - centre) / spread, -8, 8))
        noises.append((noise / spread) ** 2 + 0.01)
    as_tensors = (torch.from_numpy(np.stack(x)) for x in (invariants, pixels))
    as_floats = (torch.from_numpy(np.stack(x)).float() for x in (targets, noises))
    return (*as_tensors, *as_floats)


def loss_of(
    network: StructureNetwork, kernel: TransferKernel, batch: tuple[Tensor, ...], n: int
) -> Tensor:
    """Negative log predictive density of the queries, per query."""
    invariants, pixels, targets, noise = batch
    features = network(invariants.float()).flatten(2).transpose(1, 2)
    picked = features.gather(1, pixels[..., None].expand(-1, -1, features.shape[2]))
    rows = torch.div(pixels, SIZE_PX, rounding_mode="floor")
    places = torch.stack([rows, pixels % SIZE_PX], dim=-1) / POSITION_UNIT_PX
    known, asked = (picked[:, :n], places[:, :n]), (picked[:, n:], places[:, n:])
    covariance = kernel(known, known) + torch.diag_embed(noise[:, :n])
    factor = torch.linalg.cholesky(covariance)
    cross = torch.linalg.solve_triangular(factor, kernel(known, asked), upper=False)
    white = torch.linalg.solve_triangular(factor, targets[:, :n, None], upper=False)
    mean = (cross * white).sum(1)
    prior = kernel.log_variance.exp().sum()
    variance = (prior - cross.square().sum(1)).clamp_min(1e-4) + noise[:, n:]
    missed = (targets[:, n:] - mean).square()
    # One surprising pixel must not outweigh a batch.
    misfit = functional.softplus(20 - missed / variance / 2)
    per_query = (20 - misfit) + variance.log() / 2 + math.log(2 * math.pi) / 2
    return per_query.mean()


def train(
    draw: Callable[[str, int, np.random.Generator], Experiment],
    families: list[str],
    minutes: float,
    seed: int,
    out: Path,
) -> StructureNetwork:
    """Train for some minutes; the learning rate falls to nothing at the end.

    `draw` makes an experiment of a family and a size.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network, kernel = StructureNetwork(), TransferKernel()
    parameters = [*network.parameters(), *kernel.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE)
    begin, step, losses = time.monotonic(), 0, []
    while (done := (time.monotonic() - begin) / 60 / minutes) < 1:
        rate = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * done))
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 100)
        drawn = rng.choice(families, EXPERIMENTS_PER_STEP)
        experiments = [draw(name, SIZE_PX, rng) for name in drawn]
        known = int(np.exp(rng.uniform(np.log(8), np.log(100))))
        optimizer.zero_grad()
        loss = loss_of(network, kernel, batch_of(experiments, known, rng), known)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
        step += 1
        if step % 200 == 0:
            print(f"{done:6.1%} {step:6d} {np.mean(losses[-200:]):.4f}", flush=True)
            save(network, out)
    save(network, out)
    variances = [round(float(v), 3) for v in kernel.log_variance.detach().exp()]
    print(f"{step} steps; kernel variances {variances}")
    return network


def save(network: StructureNetwork, out: Path) -> None:
    """Write the weights; half precision is more than the features' own noise."""
    state = network.state_dict()
    np.savez_compressed(out, **{k: v.half().numpy() for k, v in state.items()})


def run(
    description: str, draw: Callable[[str, int, np.random.Generator], Experiment]
) -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("out", type=Path)
    parser.add_argument("--hold-out", nargs="*", default=[], choices=sorted(FAMILIES))
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    families = [name for name in FAMILIES if name not in given.hold_out]
    train(draw, families, given.minutes, given.seed, given.out)


if __name__ == "__main__":
    run(__doc__.split("\n")[0], draw_experiment)
