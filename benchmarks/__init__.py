"""Speed, latency and CPU of the store beside a minimal relay and nginx, measured in one run."""
