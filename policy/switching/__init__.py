"""Switch episodes synthesised from plain demonstrations."""
