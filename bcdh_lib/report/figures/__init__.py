"""Every plot and 3D view, one file for each page of the report. A plot function takes tables or arrays and returns a picture."""
