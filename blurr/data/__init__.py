"""Raw rows: where they come from, how they are split, and the batches that are made of them."""
