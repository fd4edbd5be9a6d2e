"""The sandbox: platform hosts and the world outside them, on one machine."""
