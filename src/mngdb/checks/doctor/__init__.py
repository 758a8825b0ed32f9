"""Judges what is wrong with a whole stack, and what explains what. Pure."""
