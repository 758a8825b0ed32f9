"""Side by side with what a user would do instead, as ratios of one run."""
