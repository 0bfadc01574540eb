"""Every plot and 3D view, one file a page of the report; how they look is in style, how they are shown in display."""

from bcdh_lib.figures.display import show, show_3d

__all__ = ["show", "show_3d"]
