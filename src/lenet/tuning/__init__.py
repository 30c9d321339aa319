"""Searches: Ray Tune's trials of trainings. The only package that imports ray, and only once a search starts."""
