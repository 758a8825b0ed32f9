"""Questions about live servers, each judged from facts alone."""
