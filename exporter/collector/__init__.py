"""Collecting in the background, and the page made of it."""
