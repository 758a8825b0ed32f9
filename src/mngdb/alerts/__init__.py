"""What is worth telling people: one definition of each rule, judged by Prometheus or by us."""
