"""Searches: Ray Tune's trials of trainings. The one room that imports ray, and only once a search starts."""
