"""Every plot and 3D view, one file a page of the report; how they look is in style, how they are shown in display.

A plot function takes tables or arrays and gives what `show` takes: the figure, and the words that stand for it, written from its
data. Functions whose docstring says (photographic) are shown as JPEG. models.view_of gives what `show_3d` takes.

    figures.show(*training.curves(history), caption="..")
    figures.show(*photos.contact_sheet(table, study.image), caption="..", photographic=True)
    figures.show_3d(*models.view_of(folder), caption="..")
"""

from bcdh_lib.report.figures.display import show, show_3d

__all__ = ["show", "show_3d"]
