"""Models: families of distributions, each with a fit on weighted points inside the trace."""
