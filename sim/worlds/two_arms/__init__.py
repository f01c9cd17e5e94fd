"""Two arms at one table, and what they do together."""
