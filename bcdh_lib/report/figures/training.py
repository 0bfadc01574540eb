"""How training went: curves, bits, distances of pairs before and after; and one pair and one batch, as a loss sees them."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bcdh_lib.report.figures.display import Picture
from bcdh_lib.report.figures.style import BLUE, DISSIMILAR, GREY, INK, RED, SIMILAR, counted, face, new_figure, styled

Outputs = NDArray[np.floating[Any]]
DASHES = ("solid", (0, (6, 1.5)), (0, (3, 1.5)), (0, (1, 1)))  # of the longest codes to the shortest


@styled()
def curves(history: pd.DataFrame) -> Picture:
    """Validation mAP, and the loss as a share of its first round, for every run of the table `history`, METHOD-BITS or METHOD.

    Losses of different methods have different units, hence the share. The shorter a method's codes, the more broken its line.
    """
    figure, axes = new_figure(1, 2, height=4.2, sharex=True)
    said, drawn = [], Counter[str]()
    named = history["run"].str.extract(r"^(?P<method>.+?)(?:-(?P<bits>\d+))?$").astype({"bits": float})
    ordered = history.join(named).sort_values("bits", ascending=False, kind="stable")
    for (_, method, bits), rows in ordered.groupby(["run", "method", "bits"], dropna=False, sort=False):
        look = face(method)
        label = look.label if pd.isna(bits) else f"{look.label}, {int(bits)} bits"
        dashes = look.dashes if pd.isna(bits) else DASHES[min(drawn[method], 3)]
        style: Any = {"color": look.colour, "label": label, "marker": look.marker, "markersize": 4, "linestyle": dashes}
        drawn[method] += 1
        axes[0, 0].plot(rows["round"], rows["validation_map"], **style)
        loss = rows.dropna(subset="loss")
        axes[0, 1].plot(loss["round"], loss["loss"] / (loss["loss"].iloc[0] if len(loss) else 1), **style)
        said.append(f"{label} from {rows['validation_map'].iloc[0]:.3f} to {rows['validation_map'].max():.3f}")
    for panel, title, unit in zip(axes[0], ("Validation", "Loss"), ("mAP", "loss relative to round 1"), strict=True):
        panel.set(title=title, xlabel="round (0: untrained)", ylabel=unit)
        panel.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, handlelength=4)
    return Picture(figure, f"Validation mAP and loss by round. mAP untrained and at best: {'; '.join(said)}.")


@styled()
def bits(outputs: Outputs) -> Picture:
    """Each bit's share of +1 in the codes of outputs [n, L], and the correlation of every two bits; a constant bit is white."""
    codes = np.where(outputs >= 0, 1.0, -1.0)
    share = (codes > 0).mean(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.atleast_2d(np.corrcoef(codes.T))
    others = np.abs(correlation[~np.eye(len(correlation), dtype=bool)])
    figure, axes = new_figure(1, 2, height=3.2)
    balance, matrix = axes[0]
    balance.axhline(0.5, color=GREY, linewidth=1)
    balance.vlines(range(len(share)), 0.5, share, color=BLUE, linewidth=1)
    balance.plot(range(len(share)), share, "o", color=BLUE, markersize=3.5)
    balance.set(xlabel="bit", ylabel="share of +1 among photos", ylim=(-0.02, 1.02), title="Balance")
    drawn = matrix.imshow(correlation, vmin=-1, vmax=1, cmap="RdBu_r", interpolation="none")
    matrix.set(xlabel="bit", ylabel="bit", title="Correlation")
    matrix.grid(visible=False)
    figure.colorbar(drawn, ax=matrix, label="correlation of two bits", ticks=[-1, -0.5, 0, 0.5, 1])
    dead = int(((share == 0) | (share == 1)).sum())
    typical = f"{np.nanmean(others):.2f}" if np.isfinite(others).any() else "undefined"
    alt = f"{counted(len(share), 'bit')}: the share of +1 runs from {share.min():.2f} to {share.max():.2f}; {dead} are constant. "
    return Picture(figure, f"{alt}Two different bits correlate by {typical} on average, regardless of sign.")


@styled()
def pair_distances(outputs: Mapping[str, Outputs], similar: NDArray[np.integer], dissimilar: NDArray[np.integer]) -> Picture:
    """Hamming distances of similar and dissimilar pairs (rows of outputs, [p, 2]), a panel for each stage's outputs [n, L]."""
    figure, axes = new_figure(1, len(outputs), height=3.2, sharey=True, sharex=True)
    said = []
    for panel, (stage, real) in zip(axes[0], outputs.items(), strict=True):
        codes, length = real >= 0, real.shape[1]
        for name, pairs, colour in (("similar", similar, SIMILAR), ("dissimilar", dissimilar, DISSIMILAR)):
            distances = (codes[pairs[:, 0]] != codes[pairs[:, 1]]).sum(1)
            share = np.bincount(distances, minlength=length + 1) / max(len(distances), 1)
            panel.stairs(share, np.arange(length + 2) - 0.5, fill=True, color=colour, alpha=0.45)
            panel.stairs(share, np.arange(length + 2) - 0.5, color=colour, linewidth=1.4, label=f"{len(pairs):,} {name} pairs")
            said.append(f"{name} pairs {stage.lower()}: median {np.median(distances) if len(distances) else 0:.0f}")
        panel.set(xlabel="Hamming distance (bits)", title=stage, xlim=(-0.5, length + 0.5))
    axes[0, 0].set_ylabel("share of pairs")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return Picture(figure, f"Hamming distances in bits of pairs of photos. {'; '.join(said)}.")


@styled()
def one_pair(u: Outputs, v: Outputs, flipped: NDArray[np.integer], energy: Outputs) -> Picture:
    """The outputs [L] of a pair with the bits that flip marked, and the energy after 0, 1, 2, .. flips, the cheapest first."""
    figure, axes = new_figure(1, 2, height=3.4)
    outputs, curve = axes[0]
    rows = np.arange(len(u))
    outputs.bar(rows[flipped], 1, width=0.8, color="#E8EEF3", transform=outputs.get_xaxis_transform(), label="flips")
    outputs.vlines(rows, u, v, color=GREY, linewidth=0.8)
    outputs.plot(rows, u, "o", color=BLUE, label="u")
    outputs.plot(rows, v, "s", color=DISSIMILAR, markersize=4, label="v")
    outputs.axhline(0, color=INK, linewidth=1)
    outputs.set(xlabel="bit", ylabel="output", title="Outputs of the two photos")
    outputs.legend(loc="upper left", ncols=3, bbox_to_anchor=(0, -0.18))
    best = int(energy.argmin())
    curve.plot(energy, "o-", color=BLUE)
    curve.plot(best, energy[best], "D", color=RED, markersize=8, label=f"least energy: {counted(best, 'flip')}")
    curve.set(xlabel="number of flips, the cheapest first", ylabel="energy", title="Energy")
    curve.xaxis.get_major_locator().set_params(integer=True)
    curve.legend(loc="upper left", bbox_to_anchor=(0, -0.18))
    alt = f"Outputs of a pair of photos in {counted(len(u), 'bit')}. The energy goes from {energy[0]:.3f} without a flip to "
    return Picture(figure, f"{alt}{energy[best]:.3f} with {counted(best, 'flip')}.")


@styled()
def matrices(panels: Mapping[str, NDArray[Any]]) -> Picture:
    """A batch as the loss sees it: matrices over its photos, [n, n] each, by their titles; bool ones have no scale."""
    figure, axes = new_figure(1, len(panels), height=3.0, sharey=True)
    for panel, (title, values) in zip(axes[0], panels.items(), strict=True):
        drawn = panel.imshow(values, cmap="Blues" if values.dtype == bool else "cividis", interpolation="none")
        panel.set(xlabel="photo of the batch")
        panel.set_title(title, fontsize=9.5)
        panel.grid(visible=False)
        if values.dtype != bool:
            figure.colorbar(drawn, ax=panel, shrink=0.7)
    axes[0, 0].set_ylabel("photo of the batch")
    return Picture(figure, f"Matrices over {counted(len(values), 'photo')} of a batch: {'; '.join(panels)}.")
