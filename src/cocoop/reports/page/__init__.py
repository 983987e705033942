"""One self-contained HTML page with pictures, from records."""
