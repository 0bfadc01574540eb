"""mAP as a curve for each method, in one panel that a phone can show: against the code length or the number of 3D models."""

from __future__ import annotations

import pandas as pd

from bcdh_lib.report.figures.display import Picture
from bcdh_lib.report.figures.style import BCDH, GREY, blank, face, label_ends, new_figure, styled
from bcdh_lib.retrieval.shallow import SHALLOW

AXES = {"bits": "code length (bits)", "models": "3D models to learn from"}


@styled()
def curves(table: pd.DataFrame, x: str, title: str) -> Picture:
    """The mAP of codes and of the float baseline against `x`, a column of AXES, from a table of one scoring and benchmark.

    BCDH, the best other loss and ITQ have colours, and BCDH the band of its interval; the other methods are grey.
    """
    codes, real = table[table["bits"].notna()], table[table["method"] == "float"]
    ticks = sorted({int(place) for place in codes[x]})
    if not ticks:
        figure, axes = new_figure(1, 1, height=1, width=4.5)
        blank(axes[0, 0], "make study has not been run")
        return Picture(figure, f"{title}: there is no code to draw.")
    if x == "bits":  # real vectors have no length: a level line
        real = pd.concat([real.assign(bits=bits) for bits in (ticks[0], ticks[-1])])
    losses = codes[~codes["method"].isin([BCDH, *SHALLOW])].groupby("method")["map"].mean()
    named = ["itq", *([str(losses.idxmax())] if len(losses) else []), BCDH, "float"]
    figure, axes = new_figure(1, 1, height=3.3, width=4.5)
    panel, ends, said = axes[0, 0], [], []
    lines = pd.concat([codes, real]).astype({x: float, "map": float, "low": float, "high": float}).sort_values(x)
    for method in sorted(set(lines["method"]), key=lambda method: (method in named and 1 + named.index(method), method)):
        line, look = lines[lines["method"] == method], face(method)
        if method not in named:
            panel.plot(line[x], line["map"], color=GREY, linewidth=0.7, alpha=0.6)
            continue
        marker = "" if method == "float" else look.marker
        panel.plot(line[x], line["map"], marker=marker, color=look.colour, linestyle=look.dashes, zorder=3)
        if method == BCDH:
            panel.fill_between(line[x], line["low"], line["high"], color=look.colour, alpha=0.16)
        first, last = line.iloc[0], line.iloc[-1]
        ends.append((last[x], last["map"], look.label, look.colour))
        said.append(f"{look.label} from {first['map']:.3f} to {last['map']:.3f}")
    panel.set_xscale("log", base=2)
    panel.set_xticks(ticks, ticks)
    panel.minorticks_off()
    panel.set(title=title, xlabel=AXES[x], ylabel="mAP")
    label_ends(panel, ends)
    return Picture(figure, f"{title}, mAP by {AXES[x]}, from {ticks[0]} to {ticks[-1]}: {'; '.join(said[::-1])}.")
