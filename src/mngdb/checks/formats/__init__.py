"""Findings as documents for other tools and for people: pure, text in the end."""
