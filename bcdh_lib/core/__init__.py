"""What every step uses: tables, codes, metrics, work side by side."""
