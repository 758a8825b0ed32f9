"""What checks judge, as observed on live servers: one typed module for each engine.

Kept apart from both: engines fill them in, checks read them, and neither knows the other.
"""
