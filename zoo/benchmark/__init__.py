"""Speed and memory against peers: `zoo bench`."""
