"""Trained networks as files that need no lenet: one writer per format, and the proof that a file equals its network."""
