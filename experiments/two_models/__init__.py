"""Two models that are retrained on each other's samples."""
