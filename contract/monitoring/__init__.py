"""What is measured of a pair, what somebody is told of it and what is looked at: each metric, rule and panel stands here once."""
