"""How training went: its curves, the bits, the distances of pairs before and after; and one pair and one batch worked through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import seaborn
import torch
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from bcdh_lib.report.figures.display import Picture
from bcdh_lib.report.figures.labels import blank, counted, label_ends, system_label
from bcdh_lib.report.figures.style import BLUE, DISSIMILAR, GREY, INK, RED, SIMILAR, face, new_figure, styled
from bcdh_lib.training.losses.binary_constrained import BinaryConstrained

Outputs = NDArray[np.floating[Any]]
CURVES = {
    "validation_map": "validation mAP",
    "loss": "loss, as a share of round 1",
    "quantization": "quantization error\n$\\|u - \\mathrm{sgn}\\,u\\|^2 / L$",
}


@styled()
def curves(history: pd.DataFrame) -> Picture:
    """Validation mAP, loss and quantization error by round for every run of the table `history`.

    Losses of different methods have different units, so each is shown as a share of its first round. The longer a method's codes,
    the darker its line. The float baseline has no codes, hence no quantization error.
    """
    figure, axes = new_figure(3, 1, height=7.6, sharex=True)
    runs = [(run, *_method_and_bits(run), rows) for run, rows in history.groupby("run", sort=False)]
    longest = max((bits for _, _, bits, _ in runs if bits), default=0)
    for panel, column in zip(axes[:, 0], CURVES, strict=True):
        ends = []
        for _, method, bits, rows in runs:
            values = rows.set_index("round")[column].dropna()
            if values.empty or (column == "quantization" and bits is None):
                continue
            if column == "loss":
                values = values / values.iloc[0]
            colour, style = _tint(face(method).colour, bits, longest), face(method)
            panel.plot(values.index, values, color=colour, marker=style.marker, linestyle=style.dashes, markersize=4)
            ends.append((float(values.index[-1]), float(values.iloc[-1]), system_label(method, bits), colour))
        panel.set_ylabel(CURVES[column])
        panel.set_xlim(-0.2, max(history["round"].max(), 1) + 0.1)
        if not ends:
            blank(panel, "no round yet")
        label_ends(panel, ends)
    axes[0, 0].xaxis.get_major_locator().set_params(integer=True)
    axes[2, 0].set_xlabel("round (0: untrained)")
    return Picture(figure, _curves_alt(history))


def _method_and_bits(run: str) -> tuple[str, int | None]:
    """The parts of a run's name, METHOD-BITS, or METHOD alone for real vectors."""
    method, _, bits = run.rpartition("-")
    return (method, int(bits)) if method and bits.isdecimal() else (run, None)


def _tint(colour: str, bits: int | None, longest: int) -> tuple[float, float, float]:
    """The colour, paler by a fifth for each halving of the longest code, down to a third of its strength."""
    strength = max(1 - 0.2 * np.log2(longest / bits), 1 / 3) if bits else 1.0
    red, green, blue = (1 - strength * (1 - part) for part in to_rgb(colour))
    return red, green, blue


def _curves_alt(history: pd.DataFrame) -> str:
    first = history[history["round"] == 0].set_index("run")["validation_map"]
    best = history.groupby("run", sort=False)["validation_map"].max()
    said = [f"{system_label(*_method_and_bits(run))} from {first.get(run, np.nan):.3f} to {top:.3f}" for run, top in best.items()]
    return f"Validation mAP, loss and quantization error by round. mAP untrained and at best: {'; '.join(said)}."


@styled()
def bits(outputs: Outputs) -> Picture:
    """How balanced and how independent the bits of outputs [n, L] are: each bit's share of +1, and the correlation of every two.

    Of the codes sgn(u). A bit that is the same for every photo has no correlation; it is left white.
    """
    codes = np.where(outputs >= 0, 1.0, -1.0)
    share = (codes > 0).mean(0)
    with np.errstate(invalid="ignore"):
        correlation = np.corrcoef(codes.T) if len(codes) > 1 else np.full((codes.shape[1],) * 2, np.nan)
    others = np.abs(correlation[~np.eye(len(correlation), dtype=bool)])
    figure, axes = new_figure(1, 2, height=3.2)
    balance, matrix = axes[0]
    balance.set_box_aspect(1)
    balance.axhline(0.5, color=GREY, linewidth=1)
    balance.vlines(range(len(share)), 0.5, share, color=BLUE, linewidth=1)
    balance.plot(range(len(share)), share, "o", color=BLUE, markersize=3.5)
    balance.set(xlabel="bit", ylabel="share of +1 among photos", ylim=(-0.02, 1.02), title="Balance")
    bar = {"label": "correlation of two bits", "ticks": [-1, -0.5, 0, 0.5, 1]}
    every = max(1, len(share) // 8)
    seaborn.heatmap(
        correlation, vmin=-1, vmax=1, cmap="RdBu_r", square=True, ax=matrix, cbar_kws=bar, xticklabels=every, yticklabels=every
    )
    matrix.set(xlabel="bit", ylabel="bit", title="Correlation")
    dead = int(((share == 0) | (share == 1)).sum())
    typical = f"{np.nanmean(others):.2f}" if np.isfinite(others).any() else "undefined"
    alt = (
        f"{counted(len(share), 'bit')}: the share of +1 runs from {share.min():.2f} to {share.max():.2f}; {dead} are constant. "
        f"Two different bits correlate by {typical} on average, regardless of sign."
    )
    return Picture(figure, alt)


@styled()
def pair_distances(outputs: Mapping[str, Outputs], similar: NDArray[np.integer], dissimilar: NDArray[np.integer]) -> Picture:
    """Hamming distances of similar and dissimilar pairs, one panel a stage, such as {"before training": .., "after ..": ..}.

    outputs [n, L] a stage; pairs are rows of outputs, [p, 2].
    """
    figure, axes = new_figure(1, len(outputs), height=3.2, sharey=True, sharex=True)
    said = []
    for panel, (stage, real) in zip(axes[0], outputs.items(), strict=True):
        length, kinds = real.shape[1], {"similar": (similar, SIMILAR), "dissimilar": (dissimilar, DISSIMILAR)}
        for name, (pairs, colour) in kinds.items():
            distances = code_distances(real, pairs)
            share = np.bincount(distances, minlength=length + 1) / max(len(distances), 1)
            panel.stairs(share, np.arange(length + 2) - 0.5, fill=True, color=colour, alpha=0.45)
            panel.stairs(share, np.arange(length + 2) - 0.5, color=colour, linewidth=1.4, label=f"{len(pairs):,} {name} pairs")
            middle = f"{np.median(distances):.0f}" if len(distances) else "none"
            said.append(f"{name} pairs {stage}: median {middle}")
        panel.set(xlabel="Hamming distance (bits)", title=stage[:1].upper() + stage[1:], xlim=(-0.5, length + 0.5))
    axes[0, 0].set_ylabel("share of pairs")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return Picture(figure, f"Hamming distances in bits of pairs of photos. {'; '.join(said)}.")


def code_distances(outputs: Outputs, pairs: NDArray[np.integer]) -> NDArray[np.int64]:
    """Hamming distances in bits, [p], of the codes of outputs [n, L] at the rows pairs [p, 2]."""
    codes = outputs >= 0
    return (codes[pairs[:, 0]] != codes[pairs[:, 1]]).sum(1)


@dataclass(frozen=True)
class WorkedPair:
    """The exact code step on one pair of outputs, worked through: what each flip costs, and the energy at each distance.

    `distance` is the Hamming distance of sgn(u) and sgn(v). `flips` are the bits in the order in which the step would flip them:
    those in which the codes of a similar pair differ, or those in which the codes of a dissimilar pair agree, the cheapest first;
    `costs` [n] is what each adds to the quantization error; `energy` [n + 1] the whole energy after 0 .. n flips.
    """

    u: Outputs
    v: Outputs
    similar: bool
    weight: float
    distance: int
    flips: NDArray[np.int64]
    costs: Outputs
    energy: Outputs

    @property
    def flipped(self) -> NDArray[np.int64]:
        """The bits that the exact step flips."""
        return self.flips[: int(self.energy.argmin())]

    @property
    def codes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The codes a*, b* of least energy; a flip changes the output nearer to zero."""
        a, b = (np.where(each >= 0, 1, -1) for each in (self.u, self.v))
        for bit in self.flipped:
            nearer = a if abs(self.u[bit]) <= abs(self.v[bit]) else b
            nearer[bit] *= -1
        return a, b

    @property
    def gradient(self) -> tuple[Outputs, Outputs]:
        """The gradient of the energy with respect to u and v: lambda (u - a*), lambda (v - b*)."""
        a, b = self.codes
        return self.weight * (self.u - a), self.weight * (self.v - b)


def work_through(loss: BinaryConstrained, u: Outputs, v: Outputs, similar: bool) -> WorkedPair:
    """The exact code step of the loss for one pair of outputs, each [L]; O(L log L), as in training."""
    weight = loss.settings.quantization_weight
    a, b = np.where(u >= 0, 1, -1), np.where(v >= 0, 1, -1)
    may_flip = np.flatnonzero((a != b) == similar)
    cost = 2 * weight * np.minimum(np.abs(u), np.abs(v))
    flips = may_flip[np.argsort(cost[may_flip], kind="stable")]
    distance = int((a != b).sum())
    reached = distance + np.arange(len(flips) + 1) * (-1 if similar else 1)
    charged = loss.distance_loss(torch.tensor(reached, dtype=torch.float64), torch.tensor(similar)).numpy()
    error = weight / 2 * (((u - a) ** 2).sum() + ((v - b) ** 2).sum())
    energy = charged + error + np.concatenate([[0.0], np.cumsum(cost[flips])])
    return WorkedPair(u, v, similar, weight, distance, flips, cost[flips], energy)


@styled()
def one_pair(pair: WorkedPair) -> Picture:
    """The outputs of a pair bit by bit with the flipped bits marked, and the energy after each possible number of flips."""
    figure, axes = new_figure(2, 1, height=5.2)
    outputs, energy = axes[:, 0]
    bits = np.arange(len(pair.u))
    outputs.plot(bits, pair.u, "o", color=BLUE, label="u")
    outputs.plot(bits, pair.v, "s", color=DISSIMILAR, markersize=4, label="v")
    outputs.vlines(bits, pair.u, pair.v, color=GREY, linewidth=0.8)
    outputs.axhline(0, color=INK, linewidth=1)
    outputs.vlines(pair.flipped, *outputs.get_ylim(), color=INK, linestyle=":", linewidth=1, label="flipped")
    kind = "Similar" if pair.similar else "Dissimilar"
    outputs.set(xlabel="bit", ylabel="output", title=f"{kind} pair, {pair.distance} bits apart before the step")
    outputs.legend(loc="upper right", ncols=3)
    steps = np.arange(len(pair.energy))
    energy.plot(steps, pair.energy, "o-", color=BLUE)
    best = int(pair.energy.argmin())
    energy.plot(best, pair.energy[best], "o", color=RED, markersize=9, label=f"least energy: {counted(best, 'flip')}")
    energy.set(xlabel="number of flips, the cheapest first", ylabel="energy")
    energy.xaxis.get_major_locator().set_params(integer=True)
    energy.legend()
    alt = (
        f"{kind} pair of {len(bits)} bits, {pair.distance} apart: the energy falls from {pair.energy[0]:.3f} without a flip to "
        f"{pair.energy[best]:.3f} with {counted(best, 'flip')}."
    )
    return Picture(figure, alt)


@styled()
def pair_matrix(distances: Outputs, similar: NDArray[np.bool_]) -> Picture:
    """A batch as the loss sees it: which pairs are similar [n, n], and the Hamming distances of their codes [n, n]."""
    figure, axes = new_figure(1, 2, height=3.4)
    titles = ("Similar pairs", "Hamming distance (bits)")
    for panel, values, title, colours in zip(axes[0], (similar, distances), titles, ("Blues", "cividis_r"), strict=True):
        drawn = panel.imshow(values, cmap=colours, interpolation="none")
        panel.set(title=title, xlabel="photo of the batch", ylabel="photo of the batch")
        panel.grid(visible=False)
    figure.colorbar(drawn, ax=axes[0, 1], shrink=0.8)
    means = [
        f"{distances[kind].mean():.1f}" if kind.any() else "none"
        for kind in (similar & ~np.eye(len(similar), dtype=bool), ~similar)
    ]
    return Picture(
        figure, f"{counted(len(similar), 'photo')}: similar pairs are {means[0]} bits apart on average, the others {means[1]}."
    )
