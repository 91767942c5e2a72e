"""From thresholds to rules: pure. It opens nothing, reads no clock and knows no path."""
