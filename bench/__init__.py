"""How fast the service is, as ratios to the same work written by hand: see README.md."""
