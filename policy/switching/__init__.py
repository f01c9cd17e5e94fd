"""Switches made of plain demonstrations: stitched from two of them, or a recording reversed."""
