"""One HTML page from saved results: no script, no network, readable in light and dark and on a phone."""
