"""Real servers on loopback in scratch folders, a site each, driven by the hosts' own code: for tests and benchmarks, without the lab's cloud."""
