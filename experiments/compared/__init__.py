"""What comparisons of curation on the ring of eight Gaussians share."""
