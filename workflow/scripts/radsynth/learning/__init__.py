"""What is trained step by step in torch: the loop, its checkpoints, seeds, metrics and devices."""
