"""Bags in and out, and the cache that training reads."""
