"""A learned reward beside the true one."""
