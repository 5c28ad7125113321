"""One page, complete in itself, of what runs left in their folders."""
