"""Mutants."""
MUTANTS = {}
