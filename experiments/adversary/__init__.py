"""Adversaries among the annotators, and attacks on the comparisons that a reward is learnt from."""
