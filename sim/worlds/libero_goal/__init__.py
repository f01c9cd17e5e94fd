"""LIBERO-Goal (LIBERO: Benchmarking Knowledge Transfer for Lifelong Robot Learning, Liu et al. 2023) as a world."""
