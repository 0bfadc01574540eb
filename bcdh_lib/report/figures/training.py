"""How training went: its curves, the bits it made, the distances of pairs before and after, and the energy of one bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import seaborn
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from bcdh_lib.report.figures.labels import blank, counted, label_ends, system_label
from bcdh_lib.report.figures.style import BLUE, DISSIMILAR, GREY, INK, SIMILAR, Drawn, face, new_figure, styled
from bcdh_lib.training.losses.binary_constrained import BinaryConstrained, code_step

Outputs = NDArray[np.floating[Any]]
CURVES = {
    "validation_map": "validation mAP",
    "loss": "loss, as a share of round 1",
    "quantization": "quantization error\n$\\|u - \\mathrm{sgn}\\,u\\|^2 / L$",
}
REACH = 2.0
"""How far the energy of one bit is drawn, either way."""


@styled()
def curves(history: pd.DataFrame) -> Drawn:
    """Validation mAP, loss and quantization error by round for every run of the table `history`, each line named at its end.

    Losses of different methods have different units, so each is shown as a share of its first round. Of a method's runs the
    longer codes have the darker line. The float parent has no codes, hence no quantization error.
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
    return figure, _curves_alt(history)


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
def bits(outputs: Outputs) -> Drawn:
    """How balanced and how independent the bits of outputs [n, L] are: each bit's share of +1, and the correlation of every two.

    The codes sgn(u) are what is looked at. A bit that is the same for every photo correlates with nothing; it is left white.
    """
    codes = np.where(outputs >= 0, 1.0, -1.0)
    share = (codes > 0).mean(0)
    correlation = bit_correlation(codes)
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
    return figure, alt


def bit_correlation(codes: Outputs) -> NDArray[np.float64]:
    """Pearson's correlation of every two bits of codes [n, L], [L, L]; NaN for a bit that never changes."""
    centred = codes - codes.mean(0)
    spread = np.sqrt((centred**2).sum(0))
    spread[spread == 0] = np.nan
    return centred.T @ centred / np.outer(spread, spread)


@styled()
def pair_distances(outputs: Mapping[str, Outputs], similar: NDArray[np.integer], dissimilar: NDArray[np.integer]) -> Drawn:
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
    return figure, f"Hamming distances in bits of pairs of photos. {'; '.join(said)}."


def code_distances(outputs: Outputs, pairs: NDArray[np.integer]) -> NDArray[np.int64]:
    """Hamming distances in bits, [p], of the codes of outputs [n, L] at the rows pairs [p, 2]."""
    codes = outputs >= 0
    return (codes[pairs[:, 0]] != codes[pairs[:, 1]]).sum(1)


@styled()
def energy_of_one_bit(settings: Mapping[str, Any]) -> Drawn:
    """The energy of one bit over all outputs u, v, for similar and dissimilar pairs, and the slope that training follows.

    Above E(u, v; s), the exact form, with the code that its step takes in each region; below E_tau, the smooth form, at the
    temperature of the last round. `settings` are params.losses["binary_constrained"].
    """
    figure, axes = new_figure(2, 2, height=6.4, sharex=True, sharey=True)
    losses = {
        form: BinaryConstrained(1, BinaryConstrained.Settings.model_validate({**settings, "form": form}))
        for form in ("exact", "smooth")
    }
    tau = losses["smooth"].temperature
    spans = []
    for row, (form, loss) in zip(axes, losses.items(), strict=True):
        surfaces = [one_bit(loss, similar) for similar in (True, False)]
        low, high = (float(bound([energy for energy, _ in surfaces])) for bound in (np.min, np.max))
        for panel, kind, (energy, codes) in zip(row, ("Similar pair", "Dissimilar pair"), surfaces, strict=True):
            ticks = np.linspace(-REACH, REACH, len(energy))
            levels = MaxNLocator(16).tick_values(low, high)
            filled = panel.contourf(ticks, ticks, energy, levels=levels, cmap="cividis")
            if form == "exact":
                _mark_codes(panel, ticks, codes)
            _point_downhill(panel, ticks, energy)
            panel.set(title=kind if form == "exact" else f"{kind}, τ = {tau:.2g}", aspect="equal")
            panel.grid(visible=False)
        row[0].set_ylabel("output v")
        figure.colorbar(filled, ax=row.tolist(), label=f"{form} energy", ticks=MaxNLocator(6), shrink=0.9)
        spans.append(f"{low:.2f} to {high:.2f}".replace("-", "−"))
    for panel in axes[1]:
        panel.set_xlabel("output u")
    alt = (
        "Energy of one bit over outputs u and v. Exact form: for a similar pair its wells are the equal codes, for a dissimilar "
        "pair the different ones; white lines bound the regions where the exact step takes another code, and arrows point "
        f"downhill; energies from {spans[0]}. Smooth form at τ = {tau:.2g}, below: no such corners, energies from {spans[1]}."
    )
    return figure, alt


def one_bit(loss: BinaryConstrained, similar: bool, steps: int = 160) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Energy and code of every (u, v) on a grid, each [steps, steps] with v by row; code 2 [a = +1] + [b = +1]."""
    ticks = torch.linspace(-REACH, REACH, steps, dtype=torch.float64)
    v, u = (grid.reshape(-1, 1) for grid in torch.meshgrid(ticks, ticks, indexing="ij"))
    label = torch.full((len(u),), similar)
    pairs = torch.stack([torch.arange(len(u)), torch.arange(len(u)) + len(u)], dim=1)
    energy = loss(torch.cat([u, v]), pairs, label)
    a, b = code_step(u, v, label, loss.distance_loss, loss.settings.quantization_weight)
    return energy.numpy().reshape(steps, steps), (2 * (a > 0) + (b > 0)).numpy().reshape(steps, steps)


def _mark_codes(axes: Axes, ticks: NDArray[np.float64], codes: NDArray[np.int64]) -> None:
    """Name each region's code (a, b), with a dot where outputs equal it, and bound the regions."""
    plate = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.9}
    for code in np.unique(codes):
        axes.contour(ticks, ticks, codes == code, levels=[0.5], colors="white", linewidths=1.6)
        a, b = (1 if code & 2 else -1), (1 if code & 1 else -1)
        v, u = (float(ticks[places].mean()) for places in np.nonzero(codes == code))
        if codes[np.abs(ticks - b).argmin(), np.abs(ticks - a).argmin()] == code:
            axes.plot(a, b, "o", color="white", markersize=4)
            u, v = a, b + 0.33 * b  # outwards, away from where regions meet
        words = " ".join("+" if side > 0 else "−" for side in (a, b))
        axes.text(u, v, words, ha="center", va="center", color=INK, weight="bold", bbox=plate)


def _point_downhill(axes: Axes, ticks: NDArray[np.float64], energy: NDArray[np.float64]) -> None:
    some = slice(10, None, 14)
    down_v, down_u = -np.array(np.gradient(energy, ticks, ticks))[:, some, some]
    axes.quiver(ticks[some], ticks[some], down_u, down_v, color="white", alpha=0.75, width=0.005, pivot="middle")
