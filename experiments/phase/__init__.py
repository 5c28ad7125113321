"""Phase diagrams: where a curated loop settles, over its hyper-parameters, exact and trained."""
