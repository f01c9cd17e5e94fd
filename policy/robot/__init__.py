"""A robot's side of the road: contract, message decoding, streams, trajectories. No other room is imported here."""
