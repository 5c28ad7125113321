"""How well a forecast foretells a trained loop."""
