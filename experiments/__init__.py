"""Experiments: flags in, a folder of numbers and figures out."""
