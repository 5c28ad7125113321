"""Detection of curation: from rewards in files, or from simulated loops whose K, temperature and λ are known."""
