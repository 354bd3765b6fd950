"""What is measured of a pair and what somebody is told of it: each metric and each rule stands here once."""
