"""Pairs as they were read to pairs worth training on."""
