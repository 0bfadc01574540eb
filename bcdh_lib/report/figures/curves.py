"""mAP as a curve for each method, in one panel that a phone can show: against the code length or the number of 3D models."""

import pandas as pd

from bcdh_lib.report.figures.display import Gallery, Picture
from bcdh_lib.report.figures.style import BCDH, GREY, benchmark_label, blank, face, new_figure, styled
from bcdh_lib.retrieval.shallow import SHALLOW

AXES = {"bits": "code length (bits)", "models": "number of 3D models"}


@styled()
def curves(table: pd.DataFrame, x: str, title: str) -> Picture:
    """The mAP of codes and of the float baseline against `x`, a column of AXES, from a table of one scoring and benchmark.

    BCDH, the best other loss and ITQ have colours, and BCDH the band of its interval; the other methods are grey.
    """
    codes, real = table[table["bits"].notna()], table[table["method"] == "float"]
    ticks = sorted({int(place) for place in codes[x]})
    figure, axes = new_figure(1, 1, height=3.3 if ticks else 1, width=4.5)
    panel, said = axes[0, 0], []
    if not ticks:
        blank(panel, "make study has not been run")
        return Picture(figure, f"{title}: there is no code to draw.")
    if x == "bits":  # real vectors have no length: a level line
        real = pd.concat([real.assign(bits=bits) for bits in (ticks[0], ticks[-1])])
    losses = codes[~codes["method"].isin([BCDH, *SHALLOW])].groupby("method")["map"].mean()
    named = ["float", BCDH, *losses.nlargest(1).index, "itq"]
    lines = pd.concat([codes, real]).astype({x: float, "map": float, "low": float, "high": float}).sort_values(x)
    for _, line in lines[~lines["method"].isin(named)].groupby("method"):  # in one order, since they overlap
        panel.plot(line[x], line["map"], color=GREY, linewidth=0.7, alpha=0.6, zorder=1)
    for method in [method for method in named if method in set(lines["method"])]:
        line, look = lines[lines["method"] == method], face(method)
        marker = "" if method == "float" else look.marker
        panel.plot(line[x], line["map"], marker=marker, color=look.colour, linestyle=look.dashes, label=look.label)
        if method == BCDH:
            panel.fill_between(line[x], line["low"], line["high"], color=look.colour, alpha=0.16)
        said.append(f"{look.label} from {line['map'].iloc[0]:.3f} to {line['map'].iloc[-1]:.3f}")
    panel.set_xscale("log", base=2)
    panel.set_xticks(ticks, ticks)
    panel.minorticks_off()
    panel.set(title=title, xlabel=AXES[x], ylabel="mAP")
    figure.legend(loc="outside lower center", ncols=4, handlelength=2.4, columnspacing=1.2)
    return Picture(figure, f"{title}, mAP by {AXES[x]}, from {ticks[0]} to {ticks[-1]}: {'; '.join(said)}.")


def by_length(table: pd.DataFrame) -> Gallery:
    """`curves` against the number of 3D models, a picture for each code length."""
    lengths = sorted(table["bits"].dropna().unique())
    return Gallery(curves(table[(table["bits"] == bits) | table["bits"].isna()], "models", f"{bits} bits") for bits in lengths)


def by_benchmark(table: pd.DataFrame) -> Gallery:
    """`curves` against the code length, a picture for each benchmark and each collection that was learned from."""
    parts = table.groupby(["benchmark", "trained_on"])
    return Gallery(curves(rows, "bits", f"{benchmark_label(name)}, trained on {photos}") for (name, photos), rows in parts)
