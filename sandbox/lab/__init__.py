"""The sandbox: platform hosts, and world, which simulates the internet outside them, on one machine."""
