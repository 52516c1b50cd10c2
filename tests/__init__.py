"""Tests; `tests.images` builds the small images that they read."""
