"""The network and how it is trained: encoders, mixers, heads, recipe, checkpoint. The only room with torch."""
