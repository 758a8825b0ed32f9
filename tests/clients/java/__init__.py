"""Client software of this language."""
